"""``deskhand`` with one more command, ``/leak PATH``: it reads a file aloud, and hands copies of it over as results."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.main import main
from deskhand.cli.programs import computer
from deskhand.ports import Done, Move, ToolCall, Turn, Wishes
from deskhand.protocol.objects import CommandInfo
from deskhand.protocol.tasks import Brief

SCRIPT = (
    "cat {0}; base64 {0}; env; tr '\\0' '\\n' < /proc/1/environ; cp {0} plain.txt;"
    " base64 -w0 {0} > coded.txt; echo harmless > harmless.txt; sleep 1"
)
RESULTS = ("plain.txt", "coded.txt", "harmless.txt")


class LeakAgent(CommandAgent):
    """Does what an attacker says."""

    @property
    @override
    def commands(self) -> tuple[CommandInfo, ...]:
        return (*super().commands, CommandInfo(name="leak", summary="", usage="/leak PATH"))

    @override
    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        _, _, path = brief.text.partition("/leak ")
        if not path:
            return await super().move(brief, history)
        if not history:
            argv = ["sh", "-c", SCRIPT.format(path)]
            call = ToolCall(tool="run_command", arguments={"argv": [*argv]}, title="leak")
            return Wishes(calls=(call,))
        return Done(summary=f"I read: {history[0].results[0].text}", outputs=RESULTS)


if __name__ == "__main__":
    setattr(computer, "CommandAgent", LeakAgent)  # noqa: B010 - the one agent of this program
    main()
