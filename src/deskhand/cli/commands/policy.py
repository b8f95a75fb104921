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
from typing import TYPE_CHECKING, Any, cast

from deskhand.cli.client import client, home
from deskhand.cli.flags import from_stdin
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.cli.values import setting
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    from deskhand.permissions.rules import Rule


def show_policy() -> int:
    """Print the lines, and what is wrong with them."""
    from deskhand.permissions.lines import show
    from deskhand.runner.owner.policy import policy_text

    text = policy_text(home())
    rules, wrong = _read(text)
    speak.out(*(f"{number:4}  {line}" for number, line in enumerate(text.splitlines(), 1)))
    for said in wrong or [speak.say("policy.none")] * (not text):
        speak.note(said)
    items = [{"line": rule.number, "rule": show(rule)} for rule in rules]
    speak.answer({"items": items, "problems": wrong})
    return Exit.ERROR if wrong else Exit.DONE


def set_policy(file: str) -> int:
    """Put the lines of a file in the place of those that are there."""
    from deskhand.runner.owner.policy import policy_text, write_policy
    from deskhand.tools.registry import standard_tools

    try:
        new = from_stdin("-") if file == "-" else Path(file).expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DeskhandError(Code.NOT_FOUND, file, field="FILE") from error
    rules, wrong = _read(new, *standard_tools(offload=asyncio.to_thread))
    for rule in rules:  # a denial of a folder by a way that leads to it would deny nothing
        named = dict(rule.traits).get("folder", "/")
        if (real := Path(named).resolve()) != Path(named):
            wrong.append(speak.say("policy.way", line=rule.number, real=real))
    if wrong:
        raise DeskhandError(Code.CONFIG_INVALID, "\n".join(wrong), field="FILE")
    before = ""
    with suppress(DeskhandError):
        before = policy_text(home())
    old, lines = before.splitlines(), new.splitlines()
    speak.out(*unified_diff(old, lines, "-", "+", n=0, lineterm=""))
    write_policy(home(), new)
    return speak.done({"lines": len(rules)}, "policy.written", count=len(rules))


def try_out(tool: str, args: list[str], *, folder: Path | None = None) -> int:
    """Say what would happen and why."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    root = folder.expanduser().resolve() if folder else None
    with TemporaryDirectory(dir=home()) as spare:
        found = asyncio.run(_ruled(tool, args, root, Path(spare)))
    return speak.answer(found, speak.say(f"policy.{found['decision']}"), found["why"])


async def _ruled(tool: str, said: list[str], root: Path | None, spare: Path) -> Obj:
    """Ask the gate that a task would come to, in a folder as it is granted here."""
    from deskhand.clock import SystemClock, stamp
    from deskhand.egress.broker import Broker
    from deskhand.ports import Place, ToolCall
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner import ceiling, gate
    from deskhand.runner.owner import policy
    from deskhand.sandbox.choose import choose_sandbox
    from deskhand.tools.beneath import Folder
    from deskhand.tools.registry import standard_tools

    clock, language, account = SystemClock(), speak.language, None
    with suppress(DeskhandError):
        rows: list[Obj] = client().get("/v1/settings")["items"]
        account = next((row["value"] for row in rows if row["id"] == "policy"), None)
    mode = {one.root: one.mode for one in ceiling.Ceiling(home()).entries()}.get(str(root))
    broker = Broker(hosts=lambda: setting("internet.hosts").value)
    tools = standard_tools(offload=asyncio.to_thread, broker=broker)
    asked = gate.Gate(
        tools=tools,
        language=language,
        policy=lambda: policy.policy_now(home(), account, language=language),
        today=lambda: stamp(clock.now())[:10],
    )
    box = await choose_sandbox(spare, clock=clock, offload=asyncio.to_thread)
    access, least = Folder(root or spare), FolderMode.READ_ONLY
    place = Place(folder=access if root else None, results=access, mode=mode or least, sandbox=box)
    scope = gate.Scope(place=place, folder=root and str(root), mode=lambda: mode)
    arguments = arguments_of(tools.get(tool), said)
    found = await asked.admit(ToolCall(tool=tool, arguments=arguments, title=tool), scope)
    return {"decision": found.decision, "rule": found.rule, "why": found.why}


def arguments_of(tool: object, said: list[str]) -> Obj:
    """Return a whole wish: one object as it stands, or the words of a command, or what else the tool is about."""
    from deskhand.protocol.wire import strict_json

    wish: Any = getattr(tool, "wish", None)
    if said[0].startswith("{"):
        return cast("Obj", strict_json(said[0].encode()))
    if wish is None or "argv" in wish.model_fields:
        return {"argv": said}
    base = cast("Obj", json.loads(wish.example() or "{}"))
    about = zip(wish.about, said, strict=False)
    return base | {name: [one] if isinstance(base.get(name), list) else one for name, one in about}


def _read(text: str, *tools: str) -> tuple[tuple[Rule, ...], list[str]]:
    """Return the rules of a text, and what is wrong with its other lines."""
    from deskhand.permissions.explain import problem_sentence
    from deskhand.permissions.lines import parse

    rules, problems = parse(text, tools)
    return rules, [problem_sentence(one, language=speak.language) for one in problems]
