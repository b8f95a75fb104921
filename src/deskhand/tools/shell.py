"""``run_command``: an argv in the sandbox, over an overlay of the folder. It refuses to run anything bare (SH-10)."""

from __future__ import annotations

import shlex
from typing import Final

from deskhand.limits import TOOL_TEXT_CHARS_MAX
from deskhand.ports import Command, CommandResult, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text
from deskhand.tools.builtin import result

_CHANGES_SHOWN: Final = 50
_CHANGES_CHARS: Final = 5_000
"""What is kept of a model's share for what follows the output."""


def command_line(wish: wishes.RunCommand) -> str:
    """Return the command as a shell would spell it."""
    return shlex.join(wish.argv)


async def run_command(wish: wishes.RunCommand, place: Place) -> ToolResult:
    """Run it; another exit code than 0 is an ``error`` result with all that is known.

    Changes are applied only at its end, so killed midway nothing happened.

    Raises:
        DeskhandError: ``sandbox_unavailable``.
    """
    access = place.folder or place.results
    command = Command(
        argv=tuple(wish.argv),
        folder=access.root,
        writable=place.mode is not FolderMode.READ_ONLY,
        seconds_max=float(wish.seconds),
        key=place.step,
    )
    ended = await place.sandbox.run(command, access)
    outcome = "ok" if ended.exit_code == 0 and not ended.timed_out else "error"
    output = ended.output.decode("utf-8", errors="replace")
    value = {**_value(ended, output), "step": place.step}
    return ToolResult(outcome=outcome, value=value, text=_text(ended, output))


async def check_exit(wish: wishes.CheckExit, place: Place) -> ToolResult:
    """Look into the sandbox's record of a step; without one nothing is known."""
    ended = await place.sandbox.ended(wish.step)
    key = "check.exit" if ended is not None else "check.no_exit"
    evidence = text(key, language=wish.language, code=ended and ended.exit_code)
    passed = ended is not None and ended.exit_code == 0 and not ended.timed_out
    return result(evidence, passed=passed)


def _value(ended: CommandResult, output: str) -> JsonObject:
    return {
        "exit_code": ended.exit_code,
        "output": output,
        "truncated": ended.truncated,
        "timed_out": ended.timed_out,
        "changes": [{"path": c.path, "kind": c.kind, "size": c.size} for c in ended.changes],
        "refused": [{"path": r.path, "reason": r.reason} for r in ended.refused],
    }


def _text(ended: CommandResult, output: str) -> str:
    """Return what a model reads: of a long output its two ends, since errors are said at the last one."""
    over = len(output) - TOOL_TEXT_CHARS_MAX + _CHANGES_CHARS
    if over > 0:
        head = (len(output) - over) // 2
        cure = "to see them write the output to a file, or ask for a part with grep, head or tail"
        output = (
            f"{output[:head]}\n[… {over:,} characters left out; {cure}]\n{output[head + over :]}"
        )
    lines = [output.rstrip(), "[output cut]" if ended.truncated else ""]
    changed = [f"{change.kind} {change.path}" for change in ended.changes]
    lines += changed[:_CHANGES_SHOWN]
    if len(changed) > _CHANGES_SHOWN:
        lines.append(f"[… {len(changed) - _CHANGES_SHOWN:,} more changed files]")
    lines += [f"refused {refused.path}: {refused.reason}" for refused in ended.refused]
    lines.append("timed out" if ended.timed_out else f"exit {ended.exit_code}")
    return "\n".join(line for line in lines if line)
