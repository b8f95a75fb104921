"""The closed list of errors: a code, an HTTP status, whether trying again may help, a sentence and its cure.

Sentence and cure live in the text catalogue as ``error.CODE`` and ``error.CODE.cure``. This module refuses to carry
inner detail (paths of the program, tracebacks, secrets) to a client: ``detail`` is for the person, so keep it safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deskhand.texts import text


class Code(StrEnum):
    """Every way in which Deskhand says no."""

    ACTION_CHANGED = "action_changed"
    ADDRESS_REFUSED = "address_refused"
    ALREADY_DECIDED = "already_decided"
    BACKUP_DAMAGED = "backup_damaged"
    BODY_TIMEOUT = "body_timeout"
    CLOCK_WRONG = "clock_wrong"
    CONFIG_INVALID = "config_invalid"
    CONFLICT = "conflict"
    CREDENTIAL_IN_QUERY = "credential_in_query"
    DISK_FULL = "disk_full"
    DOWNLOAD_FAILED = "download_failed"
    FOLDER_CHANGED = "folder_changed"
    FOLDER_REFUSED = "folder_refused"
    FOLDER_UNKNOWN = "folder_unknown"
    FORBIDDEN = "forbidden"
    HOME_LOCKED = "home_locked"
    HOME_UNSAFE = "home_unsafe"
    HOST_REFUSED = "host_refused"
    HUB_UNREACHABLE = "hub_unreachable"
    ILLEGAL_STATE = "illegal_state"
    INTERNAL = "internal"
    INVALID = "invalid"
    INVITE_INVALID = "invite_invalid"
    MALFORMED_JSON = "malformed_json"
    METHOD_REFUSED = "method_refused"
    MODEL_BUSY = "model_busy"
    MODEL_CONTEXT = "model_context"
    MODEL_FILE = "model_file"
    MODEL_KEY = "model_key"
    MODEL_REFUSED = "model_refused"
    MODEL_UNKNOWN = "model_unknown"
    NOT_FOUND = "not_found"
    OP_CONFLICT = "op_conflict"
    ORIGIN_REFUSED = "origin_refused"
    PATH_REFUSED = "path_refused"
    PORT_TAKEN = "port_taken"
    PROTECTED_NAME = "protected_name"
    RATE_LIMITED = "rate_limited"
    ROOT_REFUSED = "root_refused"
    RUNNER_REPLACED = "runner_replaced"
    RUNNER_RESTORED = "runner_restored"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"
    SCHEMA_NEWER = "schema_newer"
    STALE_EPOCH = "stale_epoch"
    STORE_DAMAGED = "store_damaged"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    TWO_CREDENTIALS = "two_credentials"
    UNAUTHORIZED = "unauthorized"
    UNAVAILABLE = "unavailable"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_KIND = "unknown_kind"
    UNSUPPORTED_TYPE = "unsupported_type"
    UPGRADE_REQUIRED = "upgrade_required"
    UPLOAD_OFFSET = "upload_offset"
    UPLOAD_VERSION = "upload_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What HTTP and retry logic need to know about a code."""

    status: int
    retryable: bool = False


FAULTS: dict[Code, Fault] = {
    Code.ACTION_CHANGED: Fault(status=409),
    Code.ADDRESS_REFUSED: Fault(status=403),
    Code.ALREADY_DECIDED: Fault(status=409),
    Code.BACKUP_DAMAGED: Fault(status=409),
    Code.BODY_TIMEOUT: Fault(status=408, retryable=True),
    Code.CLOCK_WRONG: Fault(status=400),
    Code.CONFIG_INVALID: Fault(status=400),
    Code.CONFLICT: Fault(status=409),
    Code.CREDENTIAL_IN_QUERY: Fault(status=400),
    Code.DISK_FULL: Fault(status=507, retryable=True),
    Code.DOWNLOAD_FAILED: Fault(status=502, retryable=True),
    Code.FOLDER_CHANGED: Fault(status=409),
    Code.FOLDER_REFUSED: Fault(status=403),
    Code.FOLDER_UNKNOWN: Fault(status=404),
    Code.FORBIDDEN: Fault(status=403),
    Code.HOME_LOCKED: Fault(status=409),
    Code.HOME_UNSAFE: Fault(status=409),
    Code.HOST_REFUSED: Fault(status=421),
    Code.HUB_UNREACHABLE: Fault(status=503, retryable=True),
    Code.ILLEGAL_STATE: Fault(status=409),
    Code.INTERNAL: Fault(status=500),
    Code.INVALID: Fault(status=400),
    Code.INVITE_INVALID: Fault(status=410),
    Code.MALFORMED_JSON: Fault(status=400),
    Code.METHOD_REFUSED: Fault(status=405),
    Code.MODEL_BUSY: Fault(status=503, retryable=True),
    Code.MODEL_CONTEXT: Fault(status=413),
    Code.MODEL_FILE: Fault(status=415),
    Code.MODEL_KEY: Fault(status=401),
    Code.MODEL_REFUSED: Fault(status=502),
    Code.MODEL_UNKNOWN: Fault(status=404),
    Code.NOT_FOUND: Fault(status=404),
    Code.OP_CONFLICT: Fault(status=409),
    Code.ORIGIN_REFUSED: Fault(status=403),
    Code.PATH_REFUSED: Fault(status=403),
    Code.PORT_TAKEN: Fault(status=409),
    Code.PROTECTED_NAME: Fault(status=403),
    Code.RATE_LIMITED: Fault(status=429, retryable=True),
    Code.ROOT_REFUSED: Fault(status=403),
    Code.RUNNER_REPLACED: Fault(status=409),
    Code.RUNNER_RESTORED: Fault(status=409),
    Code.SANDBOX_UNAVAILABLE: Fault(status=403),
    Code.SCHEMA_NEWER: Fault(status=409),
    Code.STALE_EPOCH: Fault(status=409),
    Code.STORE_DAMAGED: Fault(status=500),
    Code.TIMEOUT: Fault(status=504, retryable=True),
    Code.TOO_LARGE: Fault(status=413),
    Code.TWO_CREDENTIALS: Fault(status=400),
    Code.UNAUTHORIZED: Fault(status=401),
    Code.UNAVAILABLE: Fault(status=503, retryable=True),
    Code.UNKNOWN_COMMAND: Fault(status=400),
    Code.UNKNOWN_KIND: Fault(status=400),
    Code.UNSUPPORTED_TYPE: Fault(status=415),
    Code.UPGRADE_REQUIRED: Fault(status=426),
    Code.UPLOAD_OFFSET: Fault(status=409),
    Code.UPLOAD_VERSION: Fault(status=412),
}


class DeskhandError(Exception):
    """One refusal, with everything a client needs to show it and to get past it.

    Args:
        code: from the closed list.
        detail: one safe clause appended to the sentence (a name, a limit, a line number); never a secret.
        field: the input field that is wrong, if one is.
        retry_after_seconds: when trying again makes sense.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        field: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep the parts; the message is the English sentence."""
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.sentence())

    def sentence(self, language: str = "en") -> str:
        """Return what happened, for a person."""
        said = text(f"error.{self.code}", language=language)
        return f"{said} ({self.detail})" if self.detail else said

    def cure(self, language: str = "en") -> str:
        """Return what the person can do about it."""
        return text(f"error.{self.code}.cure", language=language)

    @property
    def fault(self) -> Fault:
        """Return status and retryability of the code."""
        return FAULTS[self.code]
