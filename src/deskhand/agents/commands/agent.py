"""The agent without a model: reads one command line, replays the command's plan over the history, returns the next move.

It keeps nothing between moves. A history that the present plan would not have made (an upgrade in between) is
given up honestly instead of being guessed on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from deskhand.agents.commands.command import Line, Plan, StoppedError, Work, info_of, parse_line
from deskhand.agents.commands.filing import convert, merge, organize, rename, report, run, table, undo
from deskhand.agents.commands.reading import actions, brief, duplicates, find, risks
from deskhand.ports import Done, GiveUp, Move, Offload, Turn, Wishes
from deskhand.protocol.tasks import Brief


def _help(work: Work) -> Plan:
    """Say what there is, or how one is typed."""
    yield from ()
    wanted = "".join(work.line.operands).lstrip("/").casefold()
    chosen = [command for command in COMMANDS if wanted in ("", command.name)]
    if not chosen:
        raise StoppedError(work.say("help.unknown", name=wanted))
    said = [f"{one.usage}\n  {work.say(f'{one.name}.summary')}" for one in chosen]
    if wanted:
        said.append(f"  {work.say(f'{wanted}.details')}")
        said += [f"  · {each}" for each in work.say(f"{wanted}.examples").splitlines()]
    return Done(summary="\n".join(said))


_TYPED: Final = (brief, actions, risks, report, find, duplicates, run, table, merge, convert, organize, rename, undo)
_PLANS: Final = {plan.__name__: plan for plan in _TYPED} | {"help": _help}
COMMANDS: Final = tuple(map(info_of, _PLANS))


def complete(typed: str) -> list[str]:
    """Return how a line may go on, for shells: whole lines that begin with what was typed; none where anything may follow."""
    before, _, last = typed.rpartition(" ")
    words, known = before.split(), {f"/{one.name}": one for one in COMMANDS}
    ways = [*known]
    if words[:1] == ["/help"]:
        ways = [name[1:] for name in known]
    elif words:
        options = known[words[0]].options if words[0] in known else ()
        values = [way for one in options if f"--{one.name}" == words[-1] for way in one.choices]
        names = [f"--{one.name}" for one in options if last.startswith("-")]
        ways = values or [name for name in names if name not in words]
    return [f"{before} {way}".lstrip() for way in ways if way.startswith(last)]


class CommandAgent:
    """Runs typed commands.

    Args:
        offload: runs the thinking of a plan, which can be long for a thousand notes; inline in the simulation.
    """

    name = "commands"
    hears = False
    """A plan cannot be guided: a person who tries is told so."""
    commands = COMMANDS
    """What a runner advertises."""

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``unknown_command``, ``invalid``: the line itself is wrong.
        """
        line = replace(parse_line(brief.text, COMMANDS), at=brief.created_at)
        return await self._offload(lambda: _replayed(line, history))


def _replayed(line: Line, history: Sequence[Turn]) -> Move:
    work = Work(line=line, before=None, language=line.language)
    moves = _moves(work)
    move = next(moves)
    for turn in history:
        if turn.move != move:
            return GiveUp(reasons=(work.say("other_plan"),))
        move = moves.send(turn)
    return move


def _moves(work: Work) -> Generator[Wishes | Done | GiveUp, Turn]:
    """Yield what a command does; after an end whose checks failed, anew with what the folder holds then."""
    while True:
        try:
            end = yield from _PLANS[work.line.name](work)
        except StoppedError as stopped:
            end = GiveUp(reasons=stopped.args)
        yield end
        while isinstance(end, GiveUp):
            yield end
        work = replace(work, before=end)
