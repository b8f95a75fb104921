"""``/brief PATH... [--pages N] [--out NAME]``: an extractive briefing over notes. Every line is a quote with its source.

It never paraphrases and never leaves out an action silently: what had no room is counted and its file is named.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from deskhand.agents.commands.brief_lines import choose
from deskhand.agents.commands.brief_page import WORDS_PER_PAGE, Paper, compose
from deskhand.agents.commands.command import Command, Line, Plan, voice_for
from deskhand.agents.commands.notes import page_checks, read_notes
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject


def _plan(line: Line, before: Done | None) -> Plan:
    """List, read, choose, write, read again."""
    voice = voice_for(line)
    wanted = voice.name_for(line, "briefing.md", ".md", ".markdown", ".txt")
    found = yield from read_notes(line, voice)
    notes = found.notes
    voice = voice_for(line, found.sample)
    name, replacing = yield from voice.free_name(wanted, before)
    pages = line.options.get("pages")
    paper = Paper(
        title=" ".join(line.operands),
        pages=pages if isinstance(pages, int) else 1,
        voice=voice,
        notes=notes,
        not_read=found.left_aside(voice),
    )
    page = compose(choose(notes), paper)
    text, left = page.render(), page.actions_left
    content: JsonObject = {"path": name, "content": text, "replace": replacing}
    checks = page_checks(text, name, voice, () if left else notes)
    count = math.ceil(len(text.split()) / WORDS_PER_PAGE)
    key = "brief.summary.one" if count == 1 else "brief.summary.many"
    writing = voice.call("write_file", "write", content, path=name)
    done = yield from voice.deliver(writing, checks, key, pages=count, lines=page.quotes)
    said = voice.say("brief.actions_left", count=left) if left else ""
    return replace(done, summary=done.summary + said)


BRIEF: Final = Command.of("brief", _plan)
