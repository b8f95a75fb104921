"""``/table FILE [--where CONDITION] [--by COLUMNS] [--sum COLUMNS] ...``: rows chosen, added up and sorted exactly.

The agent never holds the table. It refuses sums that are not honest and conditions that compare words with numbers.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Command, Line, Plan, voice_for
from deskhand.agents.commands.filing.making import TABLES, make_table
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject


def _plan(line: Line, before: Done | None) -> Plan:
    """Write, compute anew."""
    said = line.options
    voice = voice_for(line, " ".join(map(str, said.values())) or line.operands[0])
    wanted = voice.name_for(line, "table.xlsx", *(f".{kind}" for kind in TABLES))
    shape: JsonObject = {name: said[name] for name in ("where", "sort", "top") if name in said}
    for name in ("by", "sum", "columns"):
        names = [each.strip() for each in str(said.get(name, "")).split(",")]
        shape[name] = [each for each in names if each]
    shape["count"] = voice.say("table.rows")
    name = yield from voice.free_name(wanted, before)
    return (yield from make_table({"paths": [line.operands[0]]}, shape, name, voice, "table.done"))


TABLE: Final = Command.of("table", _plan)
