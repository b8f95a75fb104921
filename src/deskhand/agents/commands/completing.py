"""How a command line may go on, for shells: names of commands, of their options, and the values of these."""

from __future__ import annotations

from deskhand.agents.commands.agent import COMMANDS


def complete(typed: str) -> list[str]:
    """Return whole lines that begin with what was typed; none where anything may follow."""
    before, _, last = typed.rpartition(" ")
    words, known = before.split(), {f"/{one.name}": one.info for one in COMMANDS}
    ways = [*known]
    if words[:1] == ["/help"]:
        ways = [name[1:] for name in known]
    elif words:
        options = known[words[0]].options if words[0] in known else ()
        values = [way for one in options if f"--{one.name}" == words[-1] for way in one.choices]
        names = [f"--{one.name}" for one in options if last.startswith("-")]
        ways = values or [name for name in names if name not in words]
    return [f"{before} {way}".lstrip() for way in ways if way.startswith(last)]
