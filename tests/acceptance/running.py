"""``deskhand`` with one more command, ``/run SHELL``: real work in the real sandbox that takes as long as a test says."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.main import main
from deskhand.cli.programs import computer
from deskhand.ports import Done, Move, ToolCall, Turn, Wishes
from deskhand.protocol.objects import CommandInfo
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject


class RunAgent(CommandAgent):
    """Runs one shell command, and then says that it is done."""

    @property
    @override
    def commands(self) -> tuple[CommandInfo, ...]:
        return (*super().commands, CommandInfo(name="run", summary="", usage="/run SHELL"))

    @override
    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        _, _, line = brief.text.partition("/run ")
        if history or not line:
            return Done(summary="It ran.")
        arguments: JsonObject = {"argv": ["sh", "-c", line]}
        return Wishes(calls=(ToolCall(tool="run_command", arguments=arguments, title=line),))


if __name__ == "__main__":
    setattr(computer, "CommandAgent", RunAgent)  # noqa: B010 - the one agent of this program
    main()
