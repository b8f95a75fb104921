"""Where work happens: ``folders add|list|remove``, ``runners``, ``threads``."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deskhand.cli.flags import MODES, add_group, argument, option
from deskhand.cli.home import client, home, local_runner
from deskhand.cli.screen import Exit, Obj, one_line, speak
from deskhand.errors import Code, DeskhandError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    found = {"add": add_folder, "list": list_folders, "remove": remove_folder}
    add_group(app, "folders", found)
    add_group(app, "runners", {"list": list_runners})
    talks = {"list": list_threads, "show": show_thread, "rename": rename_thread}
    add_group(app, "threads", {**talks, "archive": archive_thread})


def add_folder(
    path: Annotated[Path, argument("PATH", "folders.path")],
    *,
    mode: Annotated[str, option("folders.mode")] = "ask",
    label: Annotated[str, option("folders.label")] = "",
) -> int:
    """Grant a folder at this computer."""
    from deskhand.cli.granting import make_known
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner.ceiling import grant_folder

    if mode not in MODES:
        raise typer.BadParameter(f"--mode: {' | '.join(MODES)}")
    runner = local_runner()
    granted = grant_folder(home(), path.expanduser(), mode=FolderMode(mode), label=label)
    known = False
    if runner is not None:
        with _known_later():
            make_known(client(), granted, runner=str(runner["device"]))
            known = True
    if not speak.json:
        said = speak.say("folders.added", root=granted.root, mode=speak.say(f"mode.{mode}"))
        speak.note(said, "good")
    found = {"id": granted.id, "root": granted.root, "mode": mode, "known": known}
    return speak.answer(found, granted.id)


def list_folders() -> int:
    """List the folders that may be used."""
    hub = client()
    names = {str(one["id"]): str(one["name"]) for one in hub.items("/v1/runners")}

    def row(one: Obj) -> tuple[object, ...]:
        return one["id"], one["mode"], names.get(one["runner"], one["runner"]), one["root"]

    return speak.listed(hub.items("/v1/folders"), row, none="folders.none")


def remove_folder(name: Annotated[str, argument("FOLDER", "folders.folder")]) -> int:
    """Take a folder away."""
    from deskhand.cli.granting import make_unknown
    from deskhand.runner.ceiling import Ceiling, revoke_folder

    wanted = name if name.startswith("fld_") else str(Path(name).expanduser().resolve())
    ids = [entry.id for entry in Ceiling(home()).entries() if wanted in {entry.id, entry.root}]
    revoke_folder(home(), wanted)
    with _known_later():
        hub = client()
        listed = hub.items("/v1/folders")
        known = (one["id"] for one in listed if wanted in {one["id"], one["root"]})
        ids = list(dict.fromkeys([*ids, *known]))
        for folder in ids:
            make_unknown(hub, folder)
    if not ids:
        raise DeskhandError(Code.FOLDER_UNKNOWN, name, field="FOLDER")
    return speak.done({"removed": ids}, "folders.removed", root=wanted)


def list_runners() -> int:
    """List the computers."""
    from deskhand.cli.commands.look import link_line

    found = client().items("/v1/runners")

    def row(one: Obj) -> tuple[object, ...]:
        box, link = one["sandbox"], link_line(one)
        shown = speak.say("runners.sandbox", name=box["name"], level=box["level"])
        return one["id"], one["name"], link, shown

    code = speak.listed(found, row)
    for one in [] if speak.json else found:
        if one["sandbox"].get("reason"):
            speak.note(f"{one['name']}: {one_line(one['sandbox']['reason'])}", "ask")
    return code


def list_threads() -> int:
    """List the conversations."""
    found = client().items("/v1/threads")
    if not speak.json:
        found = [one for one in found if one["state"] == "open" and not one["archived"]]

    def row(one: Obj) -> tuple[object, ...]:
        return one["id"], _minute(one["updated_at"]), one_line(one["title"], most=80)

    return speak.listed(found, row)


Thread = Annotated[str, argument("THREAD", "threads.id")]


def show_thread(name: Thread) -> int:
    """Print a conversation."""
    from deskhand.cli.client import quoted

    found: list[Obj] = client().get(f"/v1/threads/{quoted(name)}/events", limit=500)["items"]
    if speak.json:
        return speak.answer({"items": found})
    for event in found:
        body, at = event["body"], _minute(event["at"])
        if event["kind"] == "message.posted":
            role = speak.say(f"role.{body['role']}")
            speak.out(f"{at}  {role}: {body['text']}")
        elif event["kind"] == "task.finished":
            said = body.get("verdict") or body["state"]
            speak.out(f"{at}  {event['task']}  {said}  {one_line(body.get('summary') or '')}")
    return Exit.DONE


def rename_thread(name: Thread, title: Annotated[str, argument("TITLE", "threads.title")]) -> int:
    """Give a conversation another title."""
    return speak.answer(client().op("thread.rename", {"title": title}, thread=name))


def archive_thread(name: Thread) -> int:
    """Put a conversation away."""
    return speak.answer(client().op("thread.archive", {"archived": True}, thread=name))


def _minute(at: object) -> str:
    return str(at)[:16].replace("T", " ")


@contextmanager
def _known_later() -> Generator[None]:
    """Go on without the hub when it is away: the grant stands in the runner's own file."""
    try:
        yield
    except DeskhandError as error:
        if error.code is not Code.HUB_UNREACHABLE:
            raise
        speak.note(speak.say("folders.known_later"), "ask")
