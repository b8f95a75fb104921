"""Deciding: ``approve deny answer steer cancel pause resume retry``.

A yes is bound to what was shown: the hash is computed here, from the very object that was printed.
"""

from __future__ import annotations

from typing import Annotated, cast

import typer

from deskhand.cli.client import Client, quoted
from deskhand.cli.commands.look import show_approval
from deskhand.cli.flags import add_commands, from_stdin, t
from deskhand.cli.home import client
from deskhand.cli.screen import Exit, Obj, speak
from deskhand.errors import Code, DeskhandError

TaskId = Annotated[str, typer.Argument(metavar="ID", help=t("task.id"))]
ApprovalId = Annotated[str, typer.Argument(metavar="ID", help=t("approve.id"))]
Reason = Annotated[str | None, typer.Option(help=t("approve.reason"))]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    add_commands(app, "tasks", approve, deny, answer, steer, cancel, pause, resume, retry)


def approve(
    name: ApprovalId,
    *,
    once: Annotated[bool, typer.Option("--once", help=t("approve.once"))] = False,
    for_task: Annotated[bool, typer.Option("--task", help=t("approve.task"))] = False,
    always: Annotated[bool, typer.Option("--always", help=t("approve.always"))] = False,
    reason: Reason = None,
) -> int:
    """Let it happen."""
    if once + for_task + always > 1:
        raise typer.BadParameter("--once | --task | --always")
    scope = "task" if for_task else "always" if always else "once"
    return _decide(name, decision="allow", scope=scope, reason=reason)


def deny(name: ApprovalId, *, reason: Reason = None) -> int:
    """Do not let it happen."""
    return _decide(name, decision="deny", scope="once", reason=reason)


def answer(
    name: Annotated[str, typer.Argument(metavar="ID", help=t("answer.id"))],
    text: Annotated[str, typer.Argument(metavar="TEXT", help=t("answer.text"))],
) -> int:
    """Answer a question."""
    hub = client()
    question = name if name.startswith("qst_") else _only_wait(hub, name, "question")
    result = hub.op("question.answer", {"question": question, "answer": from_stdin(text)})
    return speak.done(result, "answer.done")


def steer(
    name: TaskId, text: Annotated[str, typer.Argument(metavar="TEXT", help=t("steer.text"))]
) -> int:
    """Give guidance to a task under way."""
    result = client().op("message.post", {"text": from_stdin(text), "as": "steer", "to": name})
    return speak.done(result, "steer.done")


def cancel(name: TaskId) -> int:
    """End a task."""
    return speak.done(client().op("task.cancel", task=name), "cancel.done")


def pause(name: TaskId) -> int:
    """Stop a task for now."""
    return speak.done(client().op("task.pause", task=name), "pause.done")


def resume(name: TaskId) -> int:
    """Let a task go on."""
    return speak.done(client().op("task.resume", task=name), "resume.done")


def retry(name: TaskId) -> int:
    """Begin a finished task again, as a new one."""
    result = client().op("task.retry", task=name)
    return speak.answer(result, str(result["task"]))


def _decide(name: str, *, decision: str, scope: str, reason: str | None) -> int:
    from deskhand.protocol.wire import sha256_of

    hub = client()
    named = name if name.startswith("apr_") else _only_wait(hub, name, "approval")
    approval = hub.get(f"/v1/approvals/{quoted(named)}")
    show_approval(approval)
    shown = sha256_of(approval["action"])
    if shown != approval["action_sha256"]:
        raise DeskhandError(Code.ACTION_CHANGED, field="action_sha256")
    careful = decision == "allow" and approval["risk"] == "high" and approval["state"] == "open"
    if careful and not speak.confirm(speak.say("approve.sure"), default=not speak.asks):
        return Exit.INTERRUPTED
    body: Obj = {"approval": named, "decision": decision, "scope": scope, "action_sha256": shown}
    result = hub.op("approval.decide", body | ({"reason": reason} if reason else {}))
    return speak.done(result, f"approve.{decision}")


def _only_wait(hub: Client, task: str, kind: str) -> str:
    """Return the one open approval or question of a task; none or several are ``illegal_state``."""
    waits = cast("list[Obj]", hub.get(f"/v1/tasks/{quoted(task)}").get("waiting_for", []))
    names = [str(one["id"]) for one in waits if one["kind"] == kind]
    if len(names) != 1:
        detail = ", ".join(names) if names else t("decide.nothing_open")
        raise DeskhandError(Code.ILLEGAL_STATE, detail, field="ID")
    return names[0]
