"""``deskhand hub``: the hub alone. Its one ready line carries an invitation for a runner and one for a page."""

from __future__ import annotations

import os

from deskhand.cli.home import home
from deskhand.cli.inviting import join_link, show_invitation
from deskhand.cli.programs.ending import until_told_to_end
from deskhand.cli.programs.power import told_before_going
from deskhand.cli.programs.reach import reach_of
from deskhand.cli.programs.serving import Running, running_hub
from deskhand.cli.screen import Exit, speak
from deskhand.cli.values import setting
from deskhand.protocol.objects import Role
from deskhand.protocol.requests import InviteAsk


async def run_hub(*, port: int | None, said: str | None) -> int:
    """Run until told to end."""
    reach = reach_of(str(setting("hub.reach", flag=said).value))
    async with running_hub(home(), port=port, reach=reach) as running:
        await _say_ready(running)
        async with told_before_going(running.hub.going):
            await until_told_to_end()
    return Exit.DONE


async def _say_ready(running: Running) -> None:
    account, opened = running.owner.account, running.opened
    wish = InviteAsk(kind="runner", role=Role.RUNNER, admits_alone=True)
    for_runner = await running.pairing.create_invite(account, wish)
    for_page = await running.pairing.create_invite(account, InviteAsk(admits_alone=True))
    if speak.json:
        ready = {"url": opened, "invite": for_runner.invite, "pid": os.getpid()}
        speak.result({**ready, "page_invite": for_page.invite, "code": for_page.code})
        return
    speak.out(speak.say("hub.ready", url=opened))
    speak.out(speak.say("hub.runner", url=opened, invite=for_runner.invite))
    link = join_link(opened, for_page.invite)
    show_invitation(link=link, code=for_page.code, kind="page")
