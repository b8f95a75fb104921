"""The agent without a model: reads one command line, replays the command's plan over the history, returns the next move.

It keeps nothing between moves. A history that the present plan would not have made (an upgrade in between) is
given up honestly instead of being guessed on.
"""

from __future__ import annotations

from collections.abc import Sequence

from deskhand.agents.commands.brief import BriefCommand
from deskhand.agents.commands.command import Command, Line, Plan, StoppedError
from deskhand.agents.commands.help import HelpCommand
from deskhand.agents.commands.parse import parse_line
from deskhand.agents.commands.report import ReportCommand
from deskhand.ports import Done, GiveUp, Move, Offload, Turn
from deskhand.protocol.objects import CommandInfo
from deskhand.protocol.tasks import Brief
from deskhand.texts import text


class CommandAgent:
    """Runs typed commands.

    Args:
        offload: runs the thinking of a plan, which can be long for a thousand notes; inline in the simulation.
    """

    name = "commands"

    def __init__(self, *, offload: Offload) -> None:
        """Know the commands."""
        self._offload = offload
        working: tuple[Command, ...] = (BriefCommand(), ReportCommand())
        helping = HelpCommand(tuple(command.spec for command in working))
        self._commands: tuple[Command, ...] = (*working, helping)

    @property
    def commands(self) -> tuple[CommandInfo, ...]:
        """What a runner advertises."""
        return tuple(command.spec.info for command in self._commands)

    def understand(self, line: str) -> Line:
        """Return the typed form of a command line.

        Raises:
            DeskhandError: ``unknown_command``, ``invalid``.
        """
        return parse_line(line, [command.spec for command in self._commands])

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``unknown_command``, ``invalid``: the line itself is wrong.
        """
        line = self.understand(brief.text)
        command = next(each for each in self._commands if each.spec.name == line.name)
        return await self._offload(lambda: _replayed(command, line, brief, history))


def _replayed(command: Command, line: Line, brief: Brief, history: Sequence[Turn]) -> Move:
    plan = command.plan(line, brief, None)
    move = _started(plan)
    for turn in history:
        if turn.move != move:
            return GiveUp(reasons=(text("command.other_plan", language=line.language),))
        if isinstance(move, GiveUp):
            return move
        if isinstance(move, Done):
            # Its checks failed: begin anew with what the folder holds now.
            plan = command.plan(line, brief, move)
            move = _started(plan)
        else:
            move = _advanced(plan, turn)
    return move


def _started(plan: Plan) -> Move:
    try:
        return next(plan)
    except StopIteration as ended:
        return _end(ended)
    except StoppedError as stopped:
        return GiveUp(reasons=stopped.reasons)


def _advanced(plan: Plan, turn: Turn) -> Move:
    try:
        return plan.send(turn)
    except StopIteration as ended:
        return _end(ended)
    except StoppedError as stopped:
        return GiveUp(reasons=stopped.reasons)


def _end(ended: StopIteration) -> Done | GiveUp:
    end: object = ended.value
    if not isinstance(end, (Done, GiveUp)):
        raise TypeError("a plan ends with Done or GiveUp")
    return end
