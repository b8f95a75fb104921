"""``run_command``: an argv in the sandbox, over an overlay of the folder; to the hosts that were permitted, and no other.

It refuses to run anything bare (SH-10), and to name a host that the owner did not list.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from deskhand.egress import inside, parse_target
from deskhand.egress.broker import Broker
from deskhand.egress.relay import SOCKET, opened
from deskhand.errors import Code, DeskhandError
from deskhand.limits import TOOL_TEXT_CHARS_MAX
from deskhand.ports import Command, CommandResult, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text
from deskhand.tools.builtin import result

PATH_IN_BOX: Final = "/usr/local/bin:/usr/bin:/bin"
_INSIDE: Final = "/run/out.py"
_CHANGES_SHOWN: Final = 50
_CHANGES_CHARS: Final = 5_000
"""What is kept of a model's share for what follows the output."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands; the broker is the only way to a host."""

    broker: Broker

    def command_line(self, wish: wishes.RunCommand) -> str:
        """Return the command as a shell would spell it.

        Raises:
            DeskhandError: ``address_refused`` for a host that is not listed; nobody is asked about it.
        """
        for host in wish.hosts:
            self.broker.expect(host)
        return shlex.join(wish.argv)

    async def run_command(self, wish: wishes.RunCommand, place: Place) -> ToolResult:
        """Run it; another exit code than 0 is an ``error`` result with all that is known.

        Changes are applied only at its end, so killed midway nothing happened.

        Raises:
            DeskhandError: ``sandbox_unavailable``, ``address_refused``.
        """
        access = place.folder or place.results
        command = Command(
            argv=tuple(wish.argv),
            folder=access.root,
            writable=place.mode is not FolderMode.READ_ONLY,
            seconds_max=float(wish.seconds),
            key=place.step,
        )
        if not wish.hosts:
            ended = await place.sandbox.run(command, access)
        else:
            async with opened(self.broker, wish.hosts, task=place.task) as way:
                ended = await place.sandbox.run(_outward(command, wish.hosts, way), access)
        outcome = "ok" if ended.exit_code == 0 and not ended.timed_out else "error"
        output = ended.output.decode("utf-8", errors="replace")
        value: JsonObject = {
            "exit_code": ended.exit_code,
            "output": output,
            "truncated": ended.truncated,
            "timed_out": ended.timed_out,
            "changes": [asdict(change) for change in ended.changes],
            "refused": [asdict(change) for change in ended.refused],
            "step": place.step,
        }
        if wish.hosts and self.broker.over(place.task):
            outcome, value["code"] = "error", Code.EGRESS_QUOTA.value
        return ToolResult(outcome=outcome, value=value, text=_text(ended, output))


def _outward(command: Command, hosts: Sequence[str], way: Path) -> Command:
    """Return a command that begins with the program that makes its proxy."""
    python = shutil.which("python3", path=PATH_IN_BOX)
    if python is None:
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, "hosts need a python3 in the system")
    direct = {"localhost", "127.0.0.1"} - {parse_target(f"https://{host}").host for host in hosts}
    start = (python, "-I", "-S", _INSIDE, str(way / SOCKET), ",".join(direct))
    given = {_INSIDE: Path(inside.__file__).read_bytes()}
    argv = *start, *command.argv
    return replace(command, argv=argv, hosts=tuple(hosts), programs=(way,), given=given)


async def check_exit(wish: wishes.CheckExit, place: Place) -> ToolResult:
    """Look into the sandbox's record of a step; without one nothing is known."""
    ended = await place.sandbox.ended(wish.step)
    key = "check.exit" if ended is not None else "check.no_exit"
    evidence = text(key, language=wish.language, code=ended and ended.exit_code)
    passed = ended is not None and ended.exit_code == 0 and not ended.timed_out
    return result(evidence, passed=passed)


def _text(ended: CommandResult, output: str) -> str:
    """Return what a model reads: of a long output its two ends, since errors are said at the last one."""
    over = len(output) - TOOL_TEXT_CHARS_MAX + _CHANGES_CHARS
    if over > 0:
        head = (len(output) - over) // 2
        cure = "to see them write the output to a file, or ask for a part with grep, head or tail"
        output = f"{output[:head]}\n[… {over:,} characters left out; {cure}]\n{output[head + over :]}"
    lines = [output.rstrip(), "[output cut]" if ended.truncated else ""]
    changed = [f"{change.kind} {change.path}" for change in ended.changes]
    lines += changed[:_CHANGES_SHOWN]
    if len(changed) > _CHANGES_SHOWN:
        lines.append(f"[… {len(changed) - _CHANGES_SHOWN:,} more changed files]")
    lines += [f"refused {refused.path}: {refused.reason}" for refused in ended.refused]
    lines.append("timed out" if ended.timed_out else f"exit {ended.exit_code}")
    return "\n".join(line for line in lines if line)
