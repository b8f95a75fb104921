"""No wall: says so and refuses every command (SH-10)."""

from __future__ import annotations

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, FolderAccess
from deskhand.protocol.objects import SandboxInfo


class NoSandbox:
    """What a computer has on which no wall could be raised; ``reason`` tells a person what stood in the way."""

    def __init__(self, reason: str) -> None:
        self._info = SandboxInfo(name="none", level="none", reason=reason)

    @property
    def info(self) -> SandboxInfo:
        """Level ``none`` and why."""
        return self._info

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Refuse with ``sandbox_unavailable``, always."""
        del command, access
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, self._info.reason or "")

    async def ended(self, key: str) -> None:
        """Nothing ever ran."""
