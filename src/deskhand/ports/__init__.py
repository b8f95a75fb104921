"""Every seam of Deskhand: what the middle needs and the rim supplies.

Each port has a fake in ``deskhand.testing`` that passes the same contract suite as the real part. This package holds
types only; it refuses to hold behaviour.
"""

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
    Place,
    RefusedChange,
    Sandbox,
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
from deskhand.ports.workflow import Offload, Workflow

__all__ = [
    "Agent",
    "Ask",
    "Audience",
    "Blobs",
    "CheckWish",
    "Command",
    "CommandResult",
    "Committed",
    "Credential",
    "Done",
    "Draft",
    "DueDelivery",
    "Effect",
    "Entry",
    "Evidence",
    "FileChange",
    "FolderAccess",
    "Frame",
    "GiveUp",
    "Invite",
    "Joining",
    "Judgement",
    "Link",
    "Move",
    "Notice",
    "Notifier",
    "Offload",
    "Page",
    "Place",
    "PlannedDelivery",
    "PushSubscription",
    "R",
    "RefusedChange",
    "Sandbox",
    "SendOutcome",
    "Spent",
    "Store",
    "Tool",
    "ToolCall",
    "ToolInfo",
    "ToolResult",
    "Turn",
    "Tx",
    "Verifier",
    "View",
    "W",
    "Wishes",
    "Workflow",
]
