"""``deskhand runner``: a runner alone, for a hub elsewhere. It pairs once by an invitation and keeps its credential.

The invitation may come from the environment or stdin (``-``), where other users of this machine cannot see it.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from deskhand.cli.client import Client, home
from deskhand.cli.closing import close_up, keep_keys
from deskhand.cli.programs.computer import computer_name, open_runner
from deskhand.cli.programs.ending import told_before_going, until_told_to_end, work_until
from deskhand.cli.screen import Exit, speak
from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import LocalDevice, local_device, write_device
from deskhand.ids import Ids
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Principal
from deskhand.runner.ceiling import Trust
from deskhand.runner.http_link import HttpLink, Pinned
from deskhand.secret import taken
from deskhand.store.private import RUNNER_FILE, open_home

INVITE_VARIABLE: Final = "DESKHAND_INVITE"
_SKEW_SECONDS_MAX: Final = 600
_ASK_SECONDS: Final = 1.0


async def run_runner(*, url: str | None, invite: str | None, name: str | None, as_root: bool) -> int:
    """Run until told to end.

    Raises:
        DeskhandError: ``invite_invalid``, ``clock_wrong``, ``hub_unreachable``, ``home_locked``.
    """
    close_up()
    with closing(open_home(home())) as held:
        keep_keys(held.path)
        known = local_device(held.path / RUNNER_FILE)
        kept = taken(INVITE_VARIABLE)
        said = sys.stdin.readline().strip() if invite == "-" else invite
        said = said or (kept.reveal() if kept else None)
        if known is None or said is not None:
            known = await _pair(held.path, url=url, invite=said, name=computer_name(name))
        address = (url or str(known.url)).rstrip("/")
        ids, called = Ids(SystemClock()), computer_name(name or known.name)
        pinned = Pinned(hub=known.hub or "", nonce=lambda: ids.secret(16), tell=speak.fail)
        link = HttpLink(address, token=known.token, pinned=pinned)
        who = Principal(account=known.account, id=known.device, role=Role.RUNNER, name=called)
        running = open_runner(held.path, link, who=who, hub_trust="low", as_root=as_root, language=speak.language)
        async with running as runner:
            ready = {"runner": known.device, "url": address, "pid": os.getpid()}
            speak.answer(ready, speak.say("runner.ready", name=called, url=address))
            async with told_before_going(runner.going):
                await work_until(runner.run(), until_told_to_end(), stop=runner.stop)
    return Exit.DONE


async def _pair(path: Path, *, url: str | None, invite: str | None, name: str) -> LocalDevice:
    """Become a device of the hub's account.

    Raises:
        DeskhandError: ``invalid`` without address or invitation; ``clock_wrong``; ``hub_changed`` when another one
            answers than the one that invited.
    """
    link, _, said = (invite or "").rpartition("#join=")
    url = url or link
    if not url or not invite:
        lacks = "--invite" if url else "--url"
        raise DeskhandError(Code.INVALID, lacks, field=lacks)
    clock, hub = SystemClock(), Client(url=url.rstrip("/"))
    # An invitation and a lease live by the clock: it is compared with the hub's.
    if abs(apart := hub.ahead()) > _SKEW_SECONDS_MAX:
        raise DeskhandError(Code.CLOCK_WRONG, f"{apart:+.0f} s")
    secret, *marks = said.split("&")
    told = {key: value for key, _, value in (one.partition("=") for one in marks)}
    if (mark := hub.mark()) != (told.get("hub") or mark):
        raise DeskhandError(Code.HUB_CHANGED, hub.url)
    by = {"code": secret} if secret.replace(" ", "").isdigit() else {"invite": secret}
    asked = hub.call("POST", "/v1/pair", {**by, "name": name, "kind": "runner"})
    speak.note(speak.say("runner.match", match=" ".join(str(asked["match"]))), "ask")
    wish = {"request": asked["request"], "secret": asked["secret"]}
    while "token" not in (claimed := hub.call("POST", "/v1/pair/claim", wish)):
        await clock.sleep(_ASK_SECONDS)
    if inviter := told.get("by"):  # in the link, past the hub
        device, _, fingerprint = inviter.rpartition(".")
        trust = Trust(home=path, runner=str(claimed["device"]), clock=clock)
        trust.add(fingerprint, device=device)
    who = {key: str(claimed[key]) for key in ("account", "device", "token")}
    known = LocalDevice(**who, url=hub.url, name=name, hub=mark or None)
    write_device(path / RUNNER_FILE, known)
    return known
