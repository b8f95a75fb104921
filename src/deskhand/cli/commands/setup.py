"""What this computer is set to: ``config``, ``secret``, ``model`` and ``policy``.

Of settings each is shown with where it comes from; what belongs to the account goes to the hub as a wish, what belongs
to this computer goes into ``config.toml``. Secrets are sealed by name in this machine's own file and no other: a value
is read from a prompt or stdin and never from a command line, where other users of the machine could see it, and is
never printed. No model is called good that did not call a tool. The owner's lines about what may happen stand in this
machine's own file; a text with a line that is no rule is refused, and trying one out runs nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep  # noqa: TID251 - a plain program that waits for its hub
from typing import TYPE_CHECKING, Any, cast

from deskhand.cli.client import client, home, this_computer
from deskhand.cli.screen import Exit, Obj, from_stdin, speak
from deskhand.cli.values import Setting, Value, parsed, setting, spec_of, write_value
from deskhand.clock import SystemClock, stamp
from deskhand.core.settings import REGISTRY
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import SECRETS_FILE, Safe

if TYPE_CHECKING:
    from deskhand.permissions.rules import Rule

_LIVE_SECONDS = 3.0


def list_settings() -> int:
    """List all settings."""
    found = list(_of_account().values())
    found += [setting(one.name) for one in REGISTRY.values() if not one.account]
    shown = [asdict(one) for one in found]
    return speak.listed(shown, "id", lambda one: _shown(one["value"]), "source")


def get_setting(name: str) -> int:
    """Print one value."""
    found = _of_account()[name] if spec_of(name).account else setting(name)
    return speak.answer(asdict(found), _shown(found.value))


def set_setting(name: str, value: str) -> int:
    """Change a setting."""
    return _put(name, parsed(name, value))


def unset_setting(name: str) -> int:
    """Go back to the default."""
    return _put(name, None)


def set_notify(what: str, value: str) -> int:
    """Change how notifications are sent."""
    return set_setting(f"notify.{what}", value)


def _put(name: str, value: Value | None) -> int:
    """Put a value where it belongs, or the default in its place, and say what holds now."""
    spec = spec_of(name)
    if spec.account:
        found = Setting(id=name, value=spec.default if value is None else value, source="account")
        client().op("settings.put", {"name": name, "value": found.value})
    else:
        write_value(name, value)
        found = setting(name)
    shown = {"name": name, "value": _shown(found.value), "source": found.source}
    return speak.done(asdict(found), "config.changed", **shown)


def _of_account() -> dict[str, Setting]:
    """Return the account's settings; the defaults, and that they are only that, while the hub is away."""
    other = "default"
    try:
        rows: list[Obj] = client().get("/v1/settings")["items"]
    except DeskhandError as error:
        speak.note(speak.say("config.hub_away", why=str(error)), "ask")
        other, rows = "default?", [{"id": one.name, "value": one.default} for one in REGISTRY.values() if one.account]
    said = ((one["id"], one["value"], "account" if "changed_at" in one else other) for one in rows)
    return {name: Setting(id=name, value=value, source=source) for name, value, source in said}


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value)


def set_secret(name: str) -> int:
    """Seal a value."""
    asked = speak.say("secret.ask", name=name)
    value, safe = getpass(f"{asked} ") if speak.asks else from_stdin("-"), Safe(home())
    safe.refuse_reused(name, value)
    safe.put(name, value)
    return speak.done({"set": name}, "secret.done", name=name)


def list_secrets() -> int:
    """List names."""
    items = [{"name": name, "key": key} for name, (key, _) in Safe(home()).all().items()]
    return speak.listed(items, "name", "secret.key.{key}", none="secret.none")


def remove_secret(name: str) -> int:
    """Forget a value."""
    if not Safe(home()).remove(name):
        raise DeskhandError(Code.NOT_FOUND, name)
    return speak.done({"removed": name}, "secret.gone", name=name)


def list_models() -> int:
    """Show what was found."""
    from deskhand.cli import abilities

    found = abilities.found()
    rows: list[Obj] = [{**abilities.told(one), "used": one == found.used} for one in found.offers]
    shown = [
        {**one, "sign": "→" if one["used"] else "", "is": f"{one['name']}{speak.label(one['label'])}"} for one in rows
    ]
    speak.columns(shown, "sign", "is", "source", "where")
    speak.out(abilities.standing_line(found))
    speak.note(abilities.looked_line(found))
    return speak.answer({"items": rows, "looked": dict(found.looked), "running": _running()})


def set_model(
    name: str, *, base_url: str | None = None, api_key_env: str | None = None, context: int | None = None
) -> int:
    """Choose the model."""
    from deskhand.cli import abilities

    values = {"base_url": base_url, "api_key_env": api_key_env, "context_tokens": context}
    # The key goes where a Deskhand that runs already finds it.
    kept = os.environ.get(api_key_env) if api_key_env else None
    if api_key_env and kept:
        Safe(home()).put(api_key_env, kept)
    for key, value in {"name": None if name == "auto" else name, **values}.items():
        write_value(f"model.{key}", value)
    found = abilities.found()
    used = found.used
    if not speak.json:
        if kept:
            speak.note(speak.say("model.kept", variable=api_key_env, file=SECRETS_FILE))
        works = used is not None and used.lacks is None
        speak.note(abilities.standing_line(found), "good" if works else "ask")
        _say_live(used.name if used and works else None)
    return speak.answer(abilities.told(used) if used else {"name": None})


def _say_live(wanted: str | None) -> None:
    """Say what a running Deskhand on this computer makes of it, as soon as it tells."""
    ends = monotonic() + _LIVE_SECONDS
    while (running := _running()) and running["model"] != wanted and monotonic() < ends:
        sleep(0.1)
    if running:
        key, sign = ("live", "good") if running["model"] == wanted else ("not_live", "ask")
        name = running["model"] or speak.say("model.nothing")
        speak.note(speak.say(f"model.{key}", name=name), sign)


def _running() -> Obj | None:
    """Return what this computer tells its hub of its model, if it runs."""
    with suppress(DeskhandError):
        here = this_computer()
        if here["connected"]:
            model: Obj = here.get("model") or {}
            return {"model": model.get("name")}
    return None


def try_model(which: str | None = None) -> int:
    """Ask for one real tool call."""
    from deskhand.cli import abilities

    row = abilities.tried(which)
    state, said = abilities.judged(row)
    speak.answer(row, said)
    return Exit.FAILED if state == "bad" else Exit.DONE


def install_model(what: str, *, sha256: str | None = None) -> int:
    """Bring a model here."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    from deskhand.agents.builtin.supply import install, offers
    from deskhand.cli import abilities

    folder, console = abilities.models_folder(), Console(stderr=True, quiet=speak.quiet)
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=console) as shown:
        bar = shown.add_task("", visible=False)

        def show(here: int, total: int) -> None:
            shown.update(bar, completed=here, total=total or None, visible=True)

        coming = install(what, folder, clock=SystemClock(), progress=show, sha256=sha256)
        found = asyncio.run(coming)
    offer = next(one for one in offers(folder) if one.name == f"local:{found.name}")
    row = asdict(found) | abilities.told(offer)
    size, parameters = f"{found.size / 1e9:.2f} GB", f"{found.parameters / 1e9:.2f} B"
    told = row | {"size": size, "parameters": parameters, "label": speak.label(offer.label)}
    checked = speak.say(f"model.checked.{found.checked_by}")
    speak.answer(row, speak.say("model.came", checked=checked, **told))
    if offer.lacks is not None:
        speak.note(offer.where, "ask")
    speak.note(speak.say("model.next", name=offer.name))
    return Exit.DONE


def remove_model(installed: str) -> int:
    """Take an installed model away."""
    from deskhand.agents.builtin.supply import remove
    from deskhand.cli import abilities

    remove(abilities.models_folder(), installed.removeprefix("local:"))
    return speak.done({"removed": installed}, "model.gone", name=installed)


def show_policy() -> int:
    """Print the lines, and what is wrong with them."""
    from deskhand.permissions.rules import show
    from deskhand.runner.ceiling import policy_text

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
    from deskhand.runner.ceiling import write_policy
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
    write_policy(home(), new)
    return speak.done({"lines": len(rules)}, "policy.written", count=len(rules))


def try_policy(tool: str, args: list[str], *, folder: Path | None = None) -> int:
    """Say what would happen and why."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    root = folder.expanduser().resolve() if folder else None
    with TemporaryDirectory(dir=home()) as spare:
        found = asyncio.run(_ruled(tool, args, root, Path(spare)))
    return speak.answer(found, speak.say(f"policy.{found['decision']}"), found["why"])


async def _ruled(tool: str, said: list[str], root: Path | None, spare: Path) -> Obj:
    """Ask the gate that a task would come to, in a folder as it is granted here."""
    from deskhand.egress.broker import Broker
    from deskhand.ports import Place, ToolCall
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner import ceiling, gate
    from deskhand.sandbox.walls import choose_sandbox
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
        policy=lambda: ceiling.policy_now(home(), account, language=language),
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
    from deskhand.permissions.evaluate import problem_sentence
    from deskhand.permissions.rules import parse

    rules, problems = parse(text, tools)
    return rules, [problem_sentence(one, language=speak.language) for one in problems]
