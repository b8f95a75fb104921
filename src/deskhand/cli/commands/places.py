"""Where work happens: ``folders add|list|remove``, ``runners``, ``threads``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deskhand.cli.client import Client
from deskhand.cli.flags import MODES, command, group, t
from deskhand.cli.follow import EXIT_DONE
from deskhand.cli.home import client, home, local_runner
from deskhand.cli.screen import HubRefusal, Obj, one_line, screen
from deskhand.errors import Code, DeskhandError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    folders = group("folders", panel="setup")
    command(folders, "folders add")(add_folder)
    command(folders, "folders list")(list_folders)
    command(folders, "folders remove")(remove_folder)
    app.add_typer(folders)
    runners = group("runners", panel="setup")
    command(runners, "runners list")(list_runners)
    app.add_typer(runners)
    threads = group("threads", panel="setup")
    command(threads, "threads list")(list_threads)
    command(threads, "threads show")(show_thread)
    command(threads, "threads rename")(rename_thread)
    command(threads, "threads archive")(archive_thread)
    app.add_typer(threads)


def add_folder(
    path: Annotated[Path, typer.Argument(metavar="PATH", help=t("folders.path"))],
    *,
    mode: Annotated[str, typer.Option(help=t("folders.mode"))] = "ask",
    label: Annotated[str, typer.Option(help=t("folders.label"))] = "",
) -> int:
    """Grant a folder at this computer."""
    from deskhand.cli.granting import make_known
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner.ceiling import grant_folder

    if mode not in MODES:
        raise typer.BadParameter(f"--mode: {' | '.join(MODES)}")
    speak, runner = screen(), local_runner()
    granted = grant_folder(home(), path.expanduser(), mode=FolderMode(mode), label=label)
    known = False
    if runner is not None:
        try:
            make_known(client(), granted, runner=str(runner["device"]))
            known = True
        except (DeskhandError, HubRefusal) as error:
            _only_unreachable(error)
            speak.note(speak.say("folders.known_later"), "ask")
    if speak.json:
        speak.result({"id": granted.id, "root": granted.root, "mode": mode, "known": known})
    else:
        speak.out(granted.id)
        said = speak.say("folders.added", root=granted.root, mode=speak.say(f"mode.{mode}"))
        speak.note(said, "good")
    return EXIT_DONE


def list_folders() -> int:
    """List the folders that may be used."""
    hub, speak = client(), screen()
    found = hub.items("/v1/folders")
    if speak.json:
        speak.result({"items": found})
        return EXIT_DONE
    names = _names(hub)
    speak.table(
        [
            (one["id"], one["mode"], names.get(one["runner"], one["runner"]), one["root"])
            for one in found
        ]
    )
    if not found:
        speak.note(speak.say("folders.none"))
    return EXIT_DONE


def remove_folder(
    name: Annotated[str, typer.Argument(metavar="FOLDER", help=t("folders.folder"))],
) -> int:
    """Take a folder away."""
    from deskhand.cli.granting import make_unknown
    from deskhand.runner.ceiling import Ceiling, revoke_folder

    wanted = name if name.startswith("fld_") else str(Path(name).expanduser().resolve())
    ids = [entry.id for entry in Ceiling(home()).entries() if wanted in {entry.id, entry.root}]
    revoke_folder(home(), wanted)
    known = []
    speak = screen()
    try:
        hub = client()
        known = [
            one["id"] for one in hub.items("/v1/folders") if wanted in {one["id"], one["root"]}
        ]
        for folder in dict.fromkeys([*ids, *known]):
            make_unknown(hub, folder)
    except (DeskhandError, HubRefusal) as error:
        _only_unreachable(error)
        speak.note(speak.say("folders.known_later"), "ask")
    if not (ids or known):
        raise DeskhandError(Code.FOLDER_UNKNOWN, name, field="FOLDER")
    if speak.json:
        speak.result({"removed": list(dict.fromkeys([*ids, *known]))})
    else:
        speak.note(speak.say("folders.removed", root=wanted), "good")
    return EXIT_DONE


def list_runners() -> int:
    """List the computers."""
    speak = screen()
    found = client().items("/v1/runners")
    if speak.json:
        speak.result({"items": found})
        return EXIT_DONE
    speak.table(
        [
            (
                one["id"],
                one["name"],
                speak.say(
                    "runners.on" if one["connected"] else "runners.off",
                    seen=one.get("seen_at") or "–",
                ),
                speak.say(
                    "runners.sandbox", name=one["sandbox"]["name"], level=one["sandbox"]["level"]
                ),
            )
            for one in found
        ]
    )
    for one in found:
        if one["sandbox"].get("reason"):
            speak.note(f"{one['name']}: {one_line(one['sandbox']['reason'])}", "ask")
    return EXIT_DONE


def list_threads() -> int:
    """List the conversations."""
    speak = screen()
    found = client().items("/v1/threads")
    if speak.json:
        speak.result({"items": found})
        return EXIT_DONE
    open_ones = [one for one in found if one["state"] == "open" and not one["archived"]]
    speak.table(
        [
            (
                one["id"],
                str(one["updated_at"])[:16].replace("T", " "),
                one_line(one["title"], most=80),
            )
            for one in open_ones
        ]
    )
    return EXIT_DONE


Thread = Annotated[str, typer.Argument(metavar="THREAD", help=t("threads.id"))]


def show_thread(name: Thread) -> int:
    """Print a conversation."""
    from deskhand.cli.client import quoted

    speak = screen()
    found: list[Obj] = client().get(f"/v1/threads/{quoted(name)}/events", limit=500)["items"]
    if speak.json:
        speak.result({"items": found})
        return EXIT_DONE
    for event in found:
        body, at = event["body"], str(event["at"])[:16].replace("T", " ")
        if event["kind"] == "message.posted":
            role = speak.say(f"role.{body['role']}")
            speak.out(f"{at}  {role}: {body['text']}")
        elif event["kind"] == "task.finished":
            said = body.get("verdict") or body["state"]
            speak.out(f"{at}  {event['task']}  {said}  {one_line(body.get('summary') or '')}")
    return EXIT_DONE


def rename_thread(
    name: Thread, title: Annotated[str, typer.Argument(metavar="TITLE", help=t("threads.title"))]
) -> int:
    """Give a conversation another title."""
    return _done(client().op("thread.rename", {"title": title}, thread=name))


def archive_thread(name: Thread) -> int:
    """Put a conversation away."""
    return _done(client().op("thread.archive", {"archived": True}, thread=name))


def _done(result: Obj) -> int:
    if screen().json:
        screen().result(result)
    return EXIT_DONE


def _names(hub: Client) -> dict[str, str]:
    return {str(one["id"]): str(one["name"]) for one in hub.items("/v1/runners")}


def _only_unreachable(error: DeskhandError | HubRefusal) -> None:
    """Go on only when it was no refusal: the grant stands in the runner's own file."""
    if isinstance(error, HubRefusal) or error.code is not Code.HUB_UNREACHABLE:
        raise error
