"""``policy show|set|test``: the owner's lines about what may happen on this computer, and what they come to.

It works on this machine's own file and no other, refuses a text with a line that is no rule, and runs nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, cast

from deskhand.cli.flags import argument, from_stdin, option
from deskhand.cli.home import client, home
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import setting
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    from deskhand.permissions.lines import Problem
    from deskhand.runner.gate import Ruling

_KEPT = ("decision", "rule", "why", "risk", "pattern", "until")


def show_policy() -> int:
    """Print the lines, and what is wrong with them."""
    from deskhand.permissions.lines import parse, show
    from deskhand.runner.policy import policy_text

    text = policy_text(home())
    rules, problems = parse(text)
    for number, line in enumerate(text.splitlines(), 1):
        speak.out(f"{number:4}  {line}")
    if not text:
        speak.note(speak.say("policy.none"))
    for said in _said(problems):
        speak.err(said, "bad")
    items: list[Obj] = [{"line": one.number, "rule": show(one)} for one in rules]
    speak.answer({"items": items, "problems": _said(problems)})
    return Exit.ERROR if problems else Exit.DONE


def set_policy(file: Annotated[str, argument("FILE", "policy.file")]) -> int:
    """Put the lines of a file in the place of those that are there."""
    from deskhand.permissions.lines import parse
    from deskhand.runner.policy import policy_text, write_policy
    from deskhand.tools.registry import standard_tools

    new = from_stdin("-") if file == "-" else Path(file).expanduser().read_text("utf-8")
    rules, problems = parse(new, tools=standard_tools(offload=asyncio.to_thread))
    wrong = _said(problems)
    for rule in rules:  # a denial of a folder by a way that leads to it would deny nothing
        named = dict(rule.traits).get("folder", "/")
        if str(Path(named).resolve()) != named:
            where = speak.say("policy.way", line=rule.number, real=Path(named).resolve())
            wrong.append(where)
    if wrong:
        raise DeskhandError(Code.CONFIG_INVALID, "\n".join(wrong), field="FILE")
    before = ""
    with suppress(DeskhandError):
        before = policy_text(home())
    for line in unified_diff(before.splitlines(), new.splitlines(), "-", "+", n=0, lineterm=""):
        speak.out(line)
    write_policy(home(), new)
    return speak.done({"lines": len(rules)}, "policy.written", count=len(rules))


def try_out(
    tool: Annotated[str, argument("TOOL", "policy.tool")],
    said: Annotated[list[str], argument("ARGS", "policy.args")],
    *,
    folder: Annotated[Path | None, option("policy.folder")] = None,
) -> int:
    """Say what would happen and why."""
    root = folder.expanduser().resolve() if folder else None
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home()) as place:
        ruling = asyncio.run(_ruled(tool, said, root, Path(place)))
    found = {name: getattr(ruling, name) for name in _KEPT}
    decided = speak.say(f"policy.{ruling.decision}")
    speak.answer(found, f"{decided} ({ruling.rule})", ruling.why)
    if ruling.pattern:
        speak.out(speak.say("approval.always", pattern=ruling.pattern))
    return Exit.DONE


async def _ruled(tool: str, said: list[str], root: Path | None, spare: Path) -> Ruling:
    """Ask the gate that a task would come to, in a folder as it is granted here."""
    from deskhand.clock import SystemClock, stamp
    from deskhand.egress.broker import Broker
    from deskhand.ports import Place, ToolCall
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner.ceiling import Ceiling
    from deskhand.runner.gate import Gate, Scope
    from deskhand.runner.policy import policy_now
    from deskhand.sandbox.choose import choose_sandbox
    from deskhand.tools.beneath import Folder
    from deskhand.tools.registry import standard_tools

    modes = {entry.root: entry.mode for entry in Ceiling(home()).entries()}
    mode, account = modes.get(str(root)), None
    with suppress(DeskhandError):
        rows: list[Obj] = client().get("/v1/settings")["items"]
        account = {row["id"]: row["value"] for row in rows}.get("policy")
    broker = Broker(hosts=lambda: cast("tuple[str, ...]", setting("internet.hosts").value))
    tools = standard_tools(offload=asyncio.to_thread, broker=broker)
    clock = SystemClock()
    box = await choose_sandbox(spare, clock=clock, offload=asyncio.to_thread)
    access = Folder(root or spare)
    place = Place(
        folder=access if root else None,
        results=access,
        mode=mode or FolderMode.READ_ONLY,
        sandbox=box,
    )
    gate = Gate(
        tools=tools,
        language=speak.language,
        policy=lambda: policy_now(home(), account, language=speak.language),
        today=lambda: stamp(clock.now())[:10],
    )
    call = ToolCall(tool=tool, arguments=arguments_of(tools.get(tool), said), title=tool)
    return await gate.admit(call, Scope(place=place, folder=str(root), mode=lambda: mode))


def arguments_of(tool: object, said: list[str]) -> Obj:
    """Return a whole wish: one object as it stands, or the words of a command, or what else the tool is about."""
    if said[0].startswith("{"):
        return cast("Obj", json.loads(said[0]))
    wish: Any = getattr(tool, "wish", None)
    if wish is None or "argv" in wish.model_fields:
        return {"argv": said}
    base = cast("Obj", json.loads(wish.example or "{}"))
    about = zip(wish.about, said, strict=False)
    return base | {name: [one] if isinstance(base.get(name), list) else one for name, one in about}


def _said(problems: tuple[Problem, ...]) -> list[str]:
    from deskhand.permissions.explain import problem_sentence

    return [problem_sentence(one, language=speak.language) for one in problems]
