"""Who belongs here and where work happens: ``pair``, ``devices``, ``folders``, ``runners``, ``threads``.

Link and digits are shown once, here. Whoever asks with them is let in by the person at this keyboard, who compares a
number on both screens; ``--yes`` lets a link (never mere digits) in by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, cast

from deskhand.cli.client import Client, client, home, local_runner, owner, signing_key
from deskhand.cli.follow import events_of
from deskhand.cli.screen import Exit, Obj, link_line, model_line, moment, one_line, speak
from deskhand.cli.values import Mode
from deskhand.errors import Code, DeskhandError
from deskhand.limits import INVITE_SECONDS


def _fingerprint(device: Obj) -> str:
    from deskhand.protocol.signing import fingerprint_of

    return fingerprint_of(device["public_key"]) if device.get("public_key") else ""


def pair(
    *,
    kind: Literal["page", "cli", "runner", "client"] = "page",
    member: bool = False,
    person: str | None = None,
    yes: bool = False,
    no_wait: bool = False,
    recovery: bool = False,
) -> int:
    """Invite a device."""
    hub = client()
    if recovery:
        made = hub.call("POST", "/v1/pair/invites", {"recovery": True})
        return speak.answer({"recovery": made["invite"]}, speak.say("pair.recovery_made", code=made["invite"]))
    cursor = int(hub.get("/v1/snapshot")["cursor"])
    role = kind if kind in {"runner", "client"} else "member" if member or person else "owner"
    wish = {"kind": kind, "role": role, "person": person, "admits_alone": yes}
    made = hub.call("POST", "/v1/pair/invites", wish)
    if kind == "runner":
        from deskhand.protocol import signing

        with suppress(DeskhandError):  # without an owner here there is nobody to trust
            mine = signing.fingerprint_of(signing.sign(signing.CERTIFY, {}, signing_key()).key or "")
            made["url"] += f"&by={owner()['device']}.{mine}"
    speak.invitation(made)
    speak.answer(made)
    return Exit.DONE if no_wait or (speak.json and yes) else _wait(hub, made, cursor)


def list_devices() -> int:
    """List the devices and who asks to join."""
    hub = client()
    found, asking = hub.items("/v1/devices"), hub.items("/v1/pair/requests")
    if speak.json:
        return speak.answer({"items": found, "requests": asking})
    speak.columns(found, "id", "kind", "role", "device.{state}", "name", _fingerprint)
    for one in asking:
        _say_who_asks(one)
    return Exit.DONE


def admit(request: str, *, refuse: bool = False) -> int:
    """Let a device in."""
    result = client().op("device.admit", {"request": request, "admit": not refuse})
    return speak.done(result, "devices.refused" if refuse else "devices.admitted")


def revoke(device: str) -> int:
    """Take every right from a device."""
    result = client().op("device.revoke", {"device": device})
    return speak.done(result, "devices.revoked")


def certify(device: str, *, runner: str = "*") -> int:
    """Let a device approve what a computer takes only signed."""
    hub = client()
    found = next((one for one in hub.items("/v1/devices") if one["id"] == device), None)
    fingerprint = _fingerprint(found or {})
    if found is None or not fingerprint:
        why = device if found is None else speak.say("devices.no_key")
        raise DeskhandError(Code.NOT_FOUND, why, field="DEVICE")
    told = speak.say("devices.certify.sure", name=one_line(found["name"]), fingerprint=fingerprint)
    if not speak.confirm(told, default=not speak.asks):
        return Exit.INTERRUPTED
    from deskhand.protocol import signing

    about = {"device": device, "fingerprint": fingerprint, "runner": runner}
    said = signing.certify_statement(account=owner()["account"], **about)
    word = signing.sign(signing.CERTIFY, said, signing_key()).to_json()
    return speak.done(hub.op("device.certify", {**about, **word}), "devices.certified")


def _say_who_asks(request: Obj) -> None:
    match = " ".join(request["match"])
    speak.note(speak.say("devices.asks", **{**request, "match": match}), "ask")


def _wait(hub: Client, made: Obj, cursor: int) -> int:
    """Wait for whoever redeems the invitation, then for the decision; close it when we leave."""
    speak.note(speak.say("pair.waiting"), "dim")
    asking: str | None = None
    try:
        for event in events_of(hub, cursor, seconds=INVITE_SECONDS):
            body = cast("Obj", event["body"])
            if event["kind"] == "pair.requested" and body["request"]["kind"] == made["kind"]:
                request = cast("Obj", body["request"])
                asking = request["id"]
                waits = any(one["id"] == asking for one in hub.items("/v1/pair/requests"))
                if speak.asks and waits:
                    yes = speak.admits(request["name"], request["match"])
                    hub.op("device.admit", {"request": asking, "admit": yes})
                else:
                    _say_who_asks(request)
            elif event["kind"] == "pair.decided" and body["request"] == asking:
                admitted = body["state"] == "admitted"
                speak.note(speak.say("devices.admitted" if admitted else "devices.refused"))
                return Exit.DONE if admitted else Exit.ERROR
        return Exit.WAITS if asking else Exit.TIMEOUT
    finally:
        # It lives only while this terminal shows it; whoever is away ends it in time.
        with suppress(DeskhandError):
            hub.call("DELETE", f"/v1/pair/invites/{made['id']}")


def add_folder(
    path: Path,
    *,
    mode: Mode = "ask",
    label: str = "",
    marked: Literal["mine", "mixed"] | None = None,
    lend: list[str] | None = None,
) -> int:
    """Grant a folder at this computer."""
    from deskhand.cli.commands.tasks import make_known
    from deskhand.protocol.objects import FolderMode
    from deskhand.runner.ceiling import Lending, grant_folder

    runner = local_runner()
    members = [one for one in lend or () if one != "none"]
    people = {one["id"]: one.get("person") for one in client().items("/v1/devices")} if members else {}
    devices = (one if one in people.values() else client().named("/v1/devices", one, field="--lend") for one in members)
    to = tuple(people.get(one) or one for one in devices)
    lending = Lending(marked=marked, to=None if lend is None else to)
    where, wanted = path.expanduser(), FolderMode(mode)
    granted = grant_folder(home(), where, mode=wanted, label=label, lending=lending)
    known = False
    if runner is not None:
        with _though_hub_is_away():
            make_known(client(), granted, runner=str(runner["device"]))
            known = True
    speak.out(granted.id)
    found = {"id": granted.id, "root": granted.root, "mode": mode, "known": known}
    found |= {"marked": granted.marked, "lent_to": granted.lent_to}
    return speak.done(found, "folders.added", root=granted.root, mode=speak.say(f"mode.{mode}"))


def list_folders() -> int:
    """List the folders that may be used."""
    hub = client()
    names = {str(one["id"]): str(one["name"]) for one in hub.items("/v1/runners")}
    found = hub.items("/v1/folders")

    def computer(one: Obj) -> object:
        return names.get(one["runner"], one["runner"])

    def lent(one: Obj) -> str:
        return ", ".join(one.get("lent_to", ()))

    columns = ("id", "mode", "marked", computer, "root", lent)
    return speak.listed(found, *columns, none="folders.none")


def remove_folder(folder: str) -> int:
    """Take a folder away."""
    from deskhand.runner.ceiling import Ceiling, revoke_folder

    wanted = folder if folder.startswith("fld_") else str(Path(folder).expanduser().resolve())
    ids = [entry.id for entry in Ceiling(home()).entries() if wanted in {entry.id, entry.root}]
    revoke_folder(home(), wanted)
    with _though_hub_is_away():
        hub = client()
        for one in hub.items("/v1/folders"):
            if {one["id"], one["root"]} & {wanted, *ids}:
                hub.op("folder.remove", {"folder": one["id"]})
                ids = list(dict.fromkeys([*ids, one["id"]]))
    if not ids:
        raise DeskhandError(Code.FOLDER_UNKNOWN, folder, field="FOLDER")
    return speak.done({"removed": ids}, "folders.removed", root=wanted)


def list_runners() -> int:
    """List the computers."""
    found = client().items("/v1/runners")

    def box(one: Obj) -> str:
        return speak.say("runners.sandbox", **one["sandbox"])

    code = speak.listed(found, "id", "name", link_line, model_line, box)
    for one in found:
        if one["sandbox"].get("reason"):
            speak.note(f"{one['name']}: {one_line(one['sandbox']['reason'])}", "ask")
    return code


def list_threads() -> int:
    """List the conversations."""
    found = client().items("/v1/threads")
    if not speak.json:
        found = [one for one in found if one["state"] == "open" and not one["archived"]]
    return speak.listed(found, "id", "updated_at", "title")


def show_thread(name: str) -> int:
    """Print a conversation."""
    found: list[Obj] = client().one("threads", name, "/events", limit=500)["items"]
    for event in found:
        body, at = event["body"], moment(event["at"])
        if event["kind"] == "message.posted":
            role = speak.say(f"role.{body['role']}")
            speak.out(f"{at}  {role}: {body['text']}")
        elif event["kind"] == "task.finished":
            said = body.get("verdict") or body["state"]
            speak.out(f"{at}  {event['task']}  {said}  {one_line(body.get('summary') or '')}")
    return speak.answer({"items": found})


def search_threads(words: str) -> int:
    """Find words in the conversations."""

    def place(hit: Obj) -> str:
        return one_line(f"{hit['before']}[{hit['found']}]{hit['after']}")

    return speak.listed(client().items("/v1/search", most=50, q=words), "thread", "kind", "title", place)


def share_thread(name: str, *, off: bool = False) -> int:
    """Show a conversation to everybody here, or take that back."""
    return speak.answer(client().op("thread.share", {"shared": not off}, thread=name))


def rename_thread(name: str, title: str) -> int:
    """Give a conversation another title."""
    return speak.answer(client().op("thread.rename", {"title": title}, thread=name))


def set_thread_model(name: str, model: str) -> int:
    """Choose the model of a conversation."""
    wanted = None if model in ("", "auto") else model
    return speak.answer(client().op("thread.set_model", {"model": wanted}, thread=name))


def archive_thread(name: str) -> int:
    """Put a conversation away."""
    return speak.answer(client().op("thread.archive", {"archived": True}, thread=name))


def mute_thread(thread: str, *, off: bool = False) -> int:
    """Send no notifications about a conversation, or again."""
    return speak.answer(client().op("thread.mute", {"muted": not off}, thread=thread))


@contextmanager
def _though_hub_is_away() -> Generator[None]:
    """Go on with a word about it: the grant stands in the runner's own file."""
    try:
        yield
    except DeskhandError as error:
        if error.code is not Code.HUB_UNREACHABLE:
            raise
        speak.note(speak.say("folders.known_later"), "ask")
