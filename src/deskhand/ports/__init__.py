"""Every seam of Deskhand: what the middle needs and the rim supplies.

Each port has a fake in ``deskhand.testing`` that passes the same contract suite as the real part. This package holds
types only; it refuses to hold behaviour.
"""

# What is imported here is what the package offers.
# ruff: noqa: F401
# pyright: reportUnusedImport=false

from __future__ import annotations

from deskhand.core.drafting import Audience, Draft, W
from deskhand.ports.agent import (
    Agent,
    Ask,
    CheckWish,
    Done,
    Effect,
    Evidence,
    GiveUp,
    Judgement,
    Move,
    Spent,
    ToolCall,
    ToolInfo,
    ToolResult,
    Turn,
    Verifier,
    Wishes,
)
from deskhand.ports.link import Frame, Link
from deskhand.ports.notice import Notifier, SendOutcome
from deskhand.ports.place import (
    Command,
    CommandResult,
    Entry,
    FileChange,
    FolderAccess,
    Offload,
    Place,
    RefusedChange,
    Sandbox,
    Together,
    Tool,
)
from deskhand.ports.store import (
    Blobs,
    Committed,
    Credential,
    DueDelivery,
    Invite,
    Joining,
    Notice,
    Page,
    PlannedDelivery,
    PushSubscription,
    R,
    Store,
    Tx,
    View,
)
