"""Every limit of Deskhand in one place, with its unit in its name."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

PROTOCOL: Final = 1
"""The protocol this build speaks; outside the range a client gets ``upgrade_required``."""
PROTOCOL_OLDEST: Final = 1

# Wire
BODY_BYTES_MAX: Final = 1024 * 1024
OPS_PER_BATCH_MAX: Final = 100
JSON_DEPTH_MAX: Final = 64
INTEGER_MAX: Final = 2**53 - 1
TEXT_CHARS_MAX: Final = 100_000
NAME_CHARS_MAX: Final = 200
LIST_LIMIT_MAX: Final = 500
SEARCH_LIMIT_DEFAULT: Final = 30
LIST_LIMIT_DEFAULT: Final = 100
SYNC_WAIT_SECONDS_MAX: Final = 25
HEARTBEAT_SECONDS: Final = 15
OP_KEPT_DAYS: Final = 90
BODY_SECONDS_MAX: Final = 20
HEADER_SECONDS_MAX: Final = 10
STALL_SECONDS_MAX: Final = 30
SHUTDOWN_SECONDS_MAX: Final = 2
REQUESTS_PER_TEN_SECONDS_MAX: Final = 10_000
BAD_LOGINS_PER_MINUTE_MAX: Final = 30

# Streams
STREAM_BUFFER_EVENTS: Final = 1000
STREAMS_PER_PRINCIPAL_MAX: Final = 16

# Uploads and blobs
UPLOAD_BYTES_MAX: Final = 2 * 1024**3
UPLOAD_CHUNK_BYTES_MAX: Final = 16 * 1024**2
UPLOAD_QUOTA_BYTES: Final = 8 * 1024**3
UPLOAD_KEPT_SECONDS: Final = 24 * 3600
SWEEP_SECONDS: Final = 3600
SWEEP_AFTER_START_SECONDS: Final = 60
UNNAMED_KEPT_SECONDS: Final = 300

# Pairing
INVITE_SECONDS: Final = 600
RECOVERY_SECONDS: Final = 10 * 365 * 24 * 3600
CLAIM_SECONDS: Final = 60
CODE_TRIES_MAX: Final = 5
APPROVAL_TRIES_MAX: Final = 3
APPROVAL_TRIES_SECONDS: Final = 600
PAIR_FAILURES_PER_MINUTE_MAX: Final = 20
PAIR_PENDING_MAX: Final = 20

# Tasks
LEASE_SECONDS: Final = 30
TASKS_OPEN_MAX: Final = 5_000
"""How many tasks of an account are given out or counted at once; later ones wait until these are over."""
TASKS_PER_RUNNER: Final = 20
CONTEXT_MESSAGES_MAX: Final = 20
CONTEXT_ITEM_CHARS_MAX: Final = 4_000
CONTEXT_CHARS_MAX: Final = 16_000
IDLE_MOVES_MAX: Final = 8
ASKS_WITHIN: Final = timedelta(minutes=10)
DENIALS_MAX: Final = 5
"""How often a task may try what it may not, before it waits for a person's word (PI-15)."""
TRIES_MAX: Final = 3
PLAN_LINES_MAX: Final = 50
INSTRUCTIONS_BYTES_MAX: Final = 1024**2
INSTRUCTIONS_CHARS_MAX: Final = 16_000
CHECK_SECONDS_MAX: Final = 300
EVIDENCE_CHARS_MAX: Final = 4_000
ADVANCE_SECONDS: Final = 30
TITLE_CHARS_MAX: Final = 80
SUGGESTIONS_MAX: Final = 3

# Files and commands
READ_BYTES_MAX: Final = 32 * 1024**2
LIST_ENTRIES_MAX: Final = 10_000
TOOL_TEXT_CHARS_MAX: Final = 20_000
"""How much of one result a model gets."""
COMMAND_SECONDS: Final = 120
STEP_COUNTED_SECONDS_MAX: Final = 900
"""What one step counts as work at most: longer took only a computer that slept in it."""
COMMAND_OUTPUT_BYTES_MAX: Final = 256 * 1024
COMMAND_MEMORY_BYTES_MAX: Final = 2 * 1024**3
COMMAND_PROCESSES_MAX: Final = 512
COMMAND_FILE_BYTES_MAX: Final = 512 * 1024**2
COMMAND_CHANGES_MAX: Final = 10_000
COMMAND_DEPTH_MAX: Final = 64
COMMAND_COPIED_MAX: Final = 50_000
COMMAND_COPIED_BYTES_MAX: Final = 1024**3
"""What a folder may hold that must be copied for a command, where no overlay can be mounted."""
COMMAND_CHANGED_BYTES_MAX: Final = 2 * 1024**3
KEPT_FILE_BYTES_MAX: Final = 64 * 1024**2
"""What is larger is not kept for an undo."""
DISK_FREE_BYTES_MIN: Final = 256 * 1024**2
ARTIFACT_BYTES_MAX: Final = 512 * 1024**2

# Notifications
PUSH_SUBSCRIPTIONS_PER_DEVICE: Final = 5
DELIVERY_TRIES_MAX: Final = 12
NOTICES_PER_MINUTE_MAX: Final = 10
"""What one device gets at most, apart from what needs somebody; the rest comes as one message."""
DELIVERY_CLAIM_SECONDS: Final = 60
DELIVERY_BACKOFF_SECONDS: Final = (2, 5, 15, 60, 300, 900, 3600)
PUSH_TITLE_CHARS_MAX: Final = 120
PUSH_TEXT_CHARS_MAX: Final = 500
PUSH_WAITING_MAX: Final = 20
PUSH_PAD_BYTES: Final = 512
PUSH_SECONDS_MAX: Final = 10
PUSH_ANSWER_BYTES_MAX: Final = 1024
PUSH_TTL_SECONDS_MAX: Final = 28 * 24 * 3600
RETRY_AFTER_SECONDS_MAX: Final = 24 * 3600

# Calls to the outside
URL_CHARS_MAX: Final = 4096
EGRESS_SECONDS_MAX: Final = 30
EGRESS_CONNECT_SECONDS_MAX: Final = 5
EGRESS_ADDRESSES_MAX: Final = 4
EGRESS_RESPONSE_BYTES_MAX: Final = 4 * 1024**2
EGRESS_TASK_OUT_BYTES_MAX: Final = 16 * 1024**2
EGRESS_TASK_IN_BYTES_MAX: Final = 512 * 1024**2
EGRESS_REQUEST_BYTES_MIN: Final = 512
"""What a request counts as at least, so that the lines about a task's requests have an end too."""
EGRESS_LOG_BYTES_MAX: Final = 8 * 1024**2
EGRESS_HEAD_BYTES_MAX: Final = 16 * 1024
EGRESS_TUNNELS_MAX: Final = 64
