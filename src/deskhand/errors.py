"""The closed list of errors: a code, an HTTP status, whether trying again may help, a sentence and its cure.

Sentence and cure live in the text catalogue as ``error.CODE`` and ``error.CODE.cure``. This module refuses to carry
inner detail (paths of the program, tracebacks, secrets) to a client: ``detail`` is for the person, so keep it safe.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Final, Self

from deskhand.texts import text

_AGAIN: Final = True
"""Trying again may help."""


class Code(StrEnum):
    """Every way in which Deskhand says no: its HTTP status, and whether trying again may help."""

    status: int
    retryable: bool

    def __new__(cls, value: str, status: int, retryable: bool = False) -> Self:  # noqa: FBT001, FBT002 - a column of the table
        """Keep the columns beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status, member.retryable = status, retryable
        return member

    ACTION_CHANGED = "action_changed", 409
    ADDRESS_REFUSED = "address_refused", 403
    ALREADY_DECIDED = "already_decided", 409
    BACKUP_DAMAGED = "backup_damaged", 409
    BODY_TIMEOUT = "body_timeout", 408, _AGAIN
    CLOCK_WRONG = "clock_wrong", 400
    CONFIG_INVALID = "config_invalid", 400
    CONFLICT = "conflict", 409
    CREDENTIAL_IN_QUERY = "credential_in_query", 400
    DISK_FULL = "disk_full", 507, _AGAIN
    DOWNLOAD_FAILED = "download_failed", 502, _AGAIN
    EGRESS_QUOTA = "egress_quota", 429
    FOLDER_CHANGED = "folder_changed", 409
    FOLDER_REFUSED = "folder_refused", 403
    FOLDER_UNKNOWN = "folder_unknown", 404
    FORBIDDEN = "forbidden", 403
    HOME_LOCKED = "home_locked", 409
    HOME_UNSAFE = "home_unsafe", 409
    HOST_REFUSED = "host_refused", 421
    HUB_CHANGED = "hub_changed", 503, _AGAIN
    HUB_UNREACHABLE = "hub_unreachable", 503, _AGAIN
    ILLEGAL_STATE = "illegal_state", 409
    INTERNAL = "internal", 500
    INVALID = "invalid", 400
    INVITE_INVALID = "invite_invalid", 410
    MALFORMED_JSON = "malformed_json", 400
    METHOD_REFUSED = "method_refused", 405
    MODEL_BUSY = "model_busy", 503, _AGAIN
    MODEL_CONTEXT = "model_context", 413
    MODEL_FILE = "model_file", 415
    MODEL_KEY = "model_key", 401
    MODEL_REFUSED = "model_refused", 502
    MODEL_UNKNOWN = "model_unknown", 404
    NOT_FOUND = "not_found", 404
    OP_CONFLICT = "op_conflict", 409
    ORIGIN_REFUSED = "origin_refused", 403
    PATH_REFUSED = "path_refused", 403
    PORT_TAKEN = "port_taken", 409
    PROTECTED_NAME = "protected_name", 403
    RATE_LIMITED = "rate_limited", 429, _AGAIN
    ROOT_REFUSED = "root_refused", 403
    RUNNER_REPLACED = "runner_replaced", 409
    RUNNER_RESTORED = "runner_restored", 409
    SANDBOX_UNAVAILABLE = "sandbox_unavailable", 403
    SCHEMA_NEWER = "schema_newer", 409
    SECRET_REUSED = "secret_reused", 409
    SIGNATURE_NEEDED = "signature_needed", 403
    STALE_EPOCH = "stale_epoch", 409
    STORE_DAMAGED = "store_damaged", 500
    TAILSCALE_AWAY = "tailscale_away", 503, _AGAIN
    TAILSCALE_MISSING = "tailscale_missing", 404
    TAILSCALE_NO_HTTPS = "tailscale_no_https", 409
    TAILSCALE_REFUSED = "tailscale_refused", 403
    TAILSCALE_TAKEN = "tailscale_taken", 409
    TIMEOUT = "timeout", 504, _AGAIN
    TOO_LARGE = "too_large", 413
    TWO_CREDENTIALS = "two_credentials", 400
    UNAUTHORIZED = "unauthorized", 401
    UNAVAILABLE = "unavailable", 503, _AGAIN
    UNDO_GONE = "undo_gone", 410
    UNKNOWN_COMMAND = "unknown_command", 400
    UNKNOWN_KIND = "unknown_kind", 400
    UNSUPPORTED_TYPE = "unsupported_type", 415
    UPGRADE_REQUIRED = "upgrade_required", 426
    UPLOAD_OFFSET = "upload_offset", 409
    UPLOAD_VERSION = "upload_version", 412


@dataclass(eq=False)
class DeskhandError(Exception):
    """One refusal, with everything a client needs to show it and to get past it.

    Args:
        code: from the closed list.
        detail: one safe clause appended to the sentence (a name, a limit, a line number); never a secret.
        field: the input field that is wrong, if one is.
        retry_after_seconds: when trying again makes sense.
    """

    code: Code
    detail: str = ""
    _: KW_ONLY
    field: str | None = None
    retry_after_seconds: float | None = None

    def __post_init__(self) -> None:
        """Say the English sentence as an exception does."""
        super().__init__(self.sentence())

    def sentence(self, language: str = "en") -> str:
        """Return what happened, for a person."""
        said = text(f"error.{self.code}", language=language)
        return f"{said} ({self.detail})" if self.detail else said

    def cure(self, language: str = "en") -> str:
        """Return what the person can do about it."""
        return text(f"error.{self.code}.cure", language=language)
