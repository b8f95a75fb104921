"""How a command line may go on, for shells: names of commands, of their options, and the values of these."""

from __future__ import annotations

from deskhand.agents.commands.agent import COMMANDS


def complete(typed: str) -> list[str]:
    """Return whole lines that begin with what was typed; none where anything may follow."""
    before, _, last = typed.rpartition(" ")
    if not before:
        return [f"/{one.name}" for one in COMMANDS if f"/{one.name}".startswith(typed)]
    words = before.split()
    found = next((one for one in COMMANDS if f"/{one.name}" == words[0].casefold()), None)
    if found is None:
        return []
    if found.name == "help":
        return [f"{before} {one.name}" for one in COMMANDS if one.name.startswith(last)]
    values = next((one.choices for one in found.info.options if f"--{one.name}" == words[-1]), ())
    names = [f"--{one.name}" for one in found.info.options if f"--{one.name}" not in words]
    ways = values or (names if last.startswith("-") else [])
    return [f"{before} {way}" for way in ways if way.startswith(last)]
