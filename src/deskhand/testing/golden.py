"""Golden logs: short logs and the objects they fold to, so that Python and TypeScript cannot drift apart.

Each log tells one story; together they hold every kind of event, one kind nobody knows, and what is easy to get
wrong between two languages (code points, absent fields, order). The fold of ``core`` is the truth here.

    python -m deskhand.testing.golden           # write fixtures/*.json
    python -m deskhand.testing.golden --check   # say what is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from deskhand.core.dispatching import brief_of
from deskhand.core.folding import COLLECTIONS, Key, fold, touched
from deskhand.ports import W
from deskhand.protocol import events as ev
from deskhand.protocol.events import KIND_OF, REDACTED, Body, Event
from deskhand.protocol.objects import Device, Folder, FolderMode, PairRequest, Runner
from deskhand.protocol.tasks import (
    Approval,
    Artifact,
    Brief,
    Check,
    Label,
    PlanItem,
    Question,
    QueueReason,
    Suggestion,
    Task,
    TaskState,
    Usage,
)
from deskhand.protocol.wire import JsonObject, Wire, sha256_of
from deskhand.testing.schema import differing, write_or_tell

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path("fixtures")

_THREAD, _TASK, _RUNNER, _PHONE = "thr_meetings", "tsk_brief", "run_laptop", "dev_phone"
_SAMPLES: dict[str, JsonObject] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


class Log:
    """Writes a log line by line: each one a second after the last."""

    def __init__(self) -> None:
        """Begin empty."""
        self.events: list[Event] = []

    def say(self, body: Body, *, actor: str = "hub", thread: str | None = None, task: str | None = None) -> None:
        """Append what ``body`` says."""
        self._append(KIND_OF[type(body)], body.to_json(), actor=actor, thread=thread, task=task)

    def say_unknown(self, kind: str, body: JsonObject, *, thread: str | None = None) -> None:
        """Append a fact of a kind that this build does not know."""
        self._append(kind, body, actor="hub", thread=thread, task=None)

    def _append(self, kind: str, body: JsonObject, *, actor: str, thread: str | None, task: str | None) -> None:
        seq = len(self.events) + 1
        stamp = f"2026-11-22T10:{seq // 60:02d}:{seq % 60:02d}.000Z"
        event = Event(seq=seq, kind=kind, at=stamp, actor=actor, thread=thread, task=task, body=body)
        self.events.append(event)


def folded(log: Iterable[Event]) -> dict[str, dict[str, JsonObject]]:
    """Return collection -> id -> object after the whole log."""
    state: dict[Key, Wire] = {}
    for event in log:
        for key in touched(event):
            after = fold(key, state.get(key), event)
            if after is not None:
                state[key] = after
    objects: dict[str, dict[str, JsonObject]] = {}
    for (kind, name), value in sorted(state.items(), key=lambda item: item[0][1]):
        objects.setdefault(COLLECTIONS[kind], {})[name] = value.to_json()
    return dict(sorted(objects.items()))


def computers_and_devices() -> list[Event]:
    """Pairing, a computer that advertises twice, folders narrowed and removed, a revoked device."""
    log = Log()
    log.say(ev.DeviceAdded(device=_sample(Device, id="dev_first", name="This computer")))
    log.say(ev.PairRequested(request=_sample(PairRequest, id="req_phone", name="My phone")))
    log.say(ev.PairRequested(request=_sample(PairRequest, id="req_other", name="A stranger")))
    log.say(ev.PairDecided(request="req_phone", state="admitted"), actor="dev_first")
    log.say(ev.PairDecided(request="req_other", state="refused"), actor="dev_first")
    log.say(ev.DeviceAdded(device=_sample(Device, id=_PHONE, name="My phone")))
    wide, also = _folder("fld_work", mode=FolderMode.TRUSTED), _folder("fld_old")
    log.say(ev.RunnerAdvertised(runner=_sample(Runner), folders=(wide, also)), actor=_RUNNER)
    narrowed = wide.but(mode=FolderMode.ASK, label="Work, carefully")
    log.say(ev.FolderPut(folder=narrowed), actor=_PHONE)
    log.say(ev.FolderRemoved(folder="fld_old"), actor=_PHONE)
    log.say(ev.FolderRemoved(folder="fld_never"), actor=_PHONE)
    again = _sample(Runner, models=("openai-chat:small",))
    log.say(ev.RunnerAdvertised(runner=again, folders=(wide, also)), actor=_RUNNER)
    log.say(ev.SettingChanged(name="notify.finished", value=True), actor=_PHONE)
    log.say(ev.SettingChanged(name="grace_seconds", value=60), actor=_PHONE)
    log.say(ev.SettingChanged(name="quiet_hours", value={"from": "22:00", "to": "07:00"}))
    log.say(ev.SettingChanged(name="grace_seconds", value=None), actor=_PHONE)
    log.say(ev.DeviceCertified(device="dev_first", fingerprint="00"), actor=_PHONE)
    log.say(ev.DeviceRevoked(device="dev_first"), actor=_PHONE)
    log.say(ev.DeviceRevoked(device=_RUNNER), actor=_PHONE)
    log.say(ev.DeviceRevoked(device="dev_never"), actor=_PHONE)
    return log.events


def a_checked_task() -> list[Event]:
    """From the message to a verified result: two tries, an approval, a question, an unknown kind between."""
    log = Log()
    log.say(ev.ThreadCreated(title=""), actor=_PHONE, thread=_THREAD)
    log.say(ev.ThreadRenamed(title="Meetings"), actor=_PHONE, thread=_THREAD)
    log.say(ev.ThreadModelSet(model="ollama:qwen3:8b"), actor=_PHONE, thread=_THREAD)
    _ask(log, "🗒️ Summarise the notes. " + "한글과 emoji 👩🏽‍💻 are counted by code point. " * 8)
    at = {"thread": _THREAD, "task": _TASK}
    log.say(ev.TaskCreated(task=_sample(Task)), **at)
    log.say(ev.TaskQueued(reason=QueueReason.RUNNER_OFFLINE), **at)
    log.say(ev.TaskAssigned(runner=_RUNNER, epoch=1, brief=_brief()), **at)
    log.say(ev.TaskAccepted(epoch=1, happened_at="2026-11-22T10:00:05.500Z"), **at)
    log.say(ev.PlanUpdated(epoch=1, items=(PlanItem(text="Read the notes"),)), **at)
    log.say(ev.StepStarted(epoch=1, step=1, tool="files.read", title="read notes/a.md"), **at)
    used = Usage(steps=1, input_tokens=700, output_tokens=40)
    read = ev.StepFinished(epoch=1, step=1, outcome="ok", summary="12 lines", usage=used)
    log.say(read.but(label=Label(private=("/n",))), **at)
    log.say(ev.CriteriaRestated(epoch=1, criteria=("a briefing",)), **at)
    log.say(ev.CriteriaRestated(epoch=1, criteria=("one page", "all actions")), **at)
    log.say_unknown("weather.changed", {"sky": "clear", "n": [1, {"deep": True}]}, thread=_THREAD)
    log.say(ev.ApprovalRequested(epoch=1, approval=_approval("apr_zip")), **at)
    log.say(ev.QuestionAsked(epoch=1, question=_sample(Question, id="qst_pages")), **at)
    log.say(_sample(ev.ApprovalDecided, approval="apr_zip", decision="allow"), actor=_PHONE, **at)
    log.say(ev.QuestionAnswered(question="qst_pages", answer="One page"), actor=_PHONE, **at)
    log.say(ev.ArtifactCreated(epoch=1, artifact=_sample(Artifact, id="art_one", size=100)), **at)
    log.say(ev.TaskMoved(epoch=1, state=TaskState.VERIFYING), **at)
    log.say(ev.CheckFinished(epoch=1, check=Check(name="one page", passed=False)), **at)
    log.say(ev.TaskMoved(epoch=1, state=TaskState.WORKING), **at)
    log.say(ev.ChecksReset(epoch=1), **at)
    log.say(ev.ArtifactCreated(epoch=1, artifact=_sample(Artifact, id="art_two", size=90)), **at)
    log.say(ev.StepFinished(epoch=1, step=4, outcome="unknown"), **at)
    done = (PlanItem(text="Read the notes", done=True), PlanItem(text="Write", done=True))
    log.say(ev.PlanUpdated(epoch=1, items=done), **at)
    log.say(ev.TaskMoved(epoch=1, state=TaskState.VERIFYING), **at)
    passed = Check(name="one page", passed=True, evidence="1 page, 11 lines")
    log.say(ev.CheckFinished(epoch=1, check=passed), **at)
    log.say(_sample(ev.TaskFinished), **at)
    log.say(ev.TaskArchived(archived=True), actor=_PHONE, **at)
    log.say(ev.ThreadArchived(archived=True), actor=_PHONE, thread=_THREAD)
    log.say(ev.ThreadMuted(muted=True), actor=_PHONE, thread=_THREAD)
    return log.events


def chosen_instead() -> list[Event]:
    """Free text without a model: suggestions, one of which is chosen, and a question about what waited."""
    log = Log()
    at = {"thread": _THREAD, "task": _TASK}
    log.say(ev.ThreadCreated(title="Meetings"), actor=_PHONE, thread=_THREAD)
    log.say(ev.TaskCreated(task=_sample(Task)), **at)
    log.say(ev.TaskQueued(reason=QueueReason.NO_MODEL, brief=_brief()), **at)
    shown = Suggestion(id="1", command="/brief notes/", preview="Reads notes/", runner=_RUNNER)
    chosen = shown.but(folder="fld_work", not_honored=("and send it",)).bound
    log.say(ev.TaskSuggested(suggestions=(shown.bound, chosen)), actor=_RUNNER, **at)
    asked = _sample(Question, id="qst_model").but(tasks=(_TASK, "tsk_other"))
    log.say(ev.QuestionAsked(epoch=0, question=asked), thread=_THREAD)
    body = ev.SuggestionChosen(suggestion=chosen, mode=FolderMode.ASK)
    log.say(body, actor=_PHONE, **at)
    log.say(ev.QuestionAnswered(question="qst_model", answer="Run now"), thread=_THREAD)
    return log.events


def stopped_and_erased() -> list[Event]:
    """Edits, pause and resume, a denial, a voided approval, a stop, a superseded fact, an erased thread."""
    log = Log()
    log.say(ev.ThreadCreated(title="Trip", person="Mina"), actor=_PHONE, thread=_THREAD)
    log.say(ev.ThreadShared(shared=True, person="Mina"), actor=_PHONE, thread=_THREAD)
    _ask(log, "Plan the trip")
    at = {"thread": _THREAD, "task": _TASK}
    log.say(ev.TaskCreated(task=_sample(Task)), **at)
    log.say(ev.TaskEdited(criteria=("cheap", "by train")), actor=_PHONE, **at)
    log.say(ev.TaskEdited(title="The trip"), actor=_PHONE, **at)
    log.say(ev.CriteriaRestated(epoch=1, criteria=("by plane",)), **at)
    log.say(ev.TaskPaused(by="budget"), **at)
    log.say(ev.TaskResumed(), actor=_PHONE, **at)
    log.say(ev.TaskAssigned(runner=_RUNNER, epoch=2, brief=_brief()), **at)
    log.say(ev.ApprovalRequested(epoch=2, approval=_approval("apr_mail")), **at)
    log.say(
        ev.ApprovalRequested(
            epoch=2, approval=_approval("apr_pay", then="deny", expires_at="2026-11-22T11:00:00.000Z")
        ),
        **at,
    )
    log.say(
        _sample(ev.ApprovalDecided, approval="apr_mail", decision="deny", reason="not this one"), actor=_PHONE, **at
    )
    log.say(ev.ApprovalVoided(epoch=2, approval="apr_pay", reason="the file changed"), **at)
    log.say(ev.ApprovalVoided(epoch=2, approval="apr_never", reason="unknown"), **at)
    superseded = ev.Superseded(kind="task.moved", epoch=1, body={"state": "verifying", "epoch": 1})
    log.say(superseded, **at)
    log.say(ev.QuestionAsked(epoch=2, question=_sample(Question, id="qst_when")), **at)
    canceled = ev.TaskFinished(state=TaskState.CANCELED, epoch=3, not_done_because=("stopped by you",))
    log.say(canceled, actor=_PHONE, **at)
    log.say(ev.QuestionAnswered(question="qst_when", answer="too late"), actor=_PHONE, **at)
    log.say(ev.QuestionAsked(epoch=3, question=_sample(Question, id="qst_where")), task="tsk_never")
    log.say(ev.QuestionVoided(epoch=3, question="qst_where"), **at)
    log.say(ev.StepStarted(epoch=1, step=1, tool="x", title="for nobody"), task="tsk_never")
    log.say(ev.ThreadShared(shared=False, person="Mina"), actor=_PHONE, thread=_THREAD)
    log.say(ev.ThreadErased(person="Mina"), actor=_PHONE, thread=_THREAD)
    return log.events


def erased_before_you_came() -> list[Event]:
    """The same log as somebody gets it who comes after the erasure: bodies are gone, seqs are not."""
    return [
        event.but(body=REDACTED) if event.thread and event.kind != "thread.erased" else event
        for event in stopped_and_erased()
    ]


def gone_back() -> list[Event]:
    """A log that went back to a backup: the attempt lost its right, its approval is void, the task waits for a look."""
    log = Log()
    log.say(ev.ThreadCreated(title="Report"), actor=_PHONE, thread=_THREAD)
    _ask(log, "Write the report")
    at = {"thread": _THREAD, "task": _TASK}
    log.say(ev.TaskCreated(task=_sample(Task)), **at)
    log.say(ev.TaskAssigned(runner=_RUNNER, epoch=1, brief=_brief()), **at)
    log.say(ev.ApprovalRequested(epoch=1, approval=_approval("apr_mail")), **at)
    backup_at = "2026-11-22T10:00:00.000Z"
    log.say(ev.LogRestored(backup_at=backup_at, devices_ended=1, tasks_paused=1))
    log.say(ev.ApprovalVoided(epoch=1, approval="apr_mail", reason="restored"), **at)
    log.say(ev.TaskAssigned(runner=_RUNNER, epoch=2, brief=_brief()), **at)
    log.say(ev.TaskPaused(), **at)
    return log.events


_STORIES = (computers_and_devices, a_checked_task, chosen_instead, stopped_and_erased)
LOGS: Mapping[str, Callable[[], list[Event]]] = {
    make.__name__: make for make in (*_STORIES, erased_before_you_came, gone_back)
}
"""Every golden log by the name of its file."""


def generated() -> dict[Path, str]:
    """Return every fixture file with its text."""
    return {FOLDER / f"{name}.json": _text(make()) for name, make in LOGS.items()}


def out_of_date(root: Path) -> list[Path]:
    """Return the fixtures that differ from what the fold says now."""
    return differing(generated(), root)


def main(arguments: Sequence[str]) -> int:
    """Write the fixtures, or only say which are out of date."""
    return write_or_tell(generated(), arguments)


def _text(log: list[Event]) -> str:
    whole = {"events": [event.to_json() for event in log], "objects": folded(log)}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _sample(kind: type[W], **said: object) -> W:
    """Return an object of ``golden.json`` with what is said of it."""
    return kind.from_json({**_SAMPLES[kind.__name__], **said})


def _ask(log: Log, text: str) -> None:
    log.say(_sample(ev.MessagePosted, text=text), actor=_PHONE, thread=_THREAD)


def _folder(name: str, *, mode: FolderMode = FolderMode.WORKSPACE) -> Folder:
    return Folder(id=name, runner=_RUNNER, root=f"/home/me/{name}", label=name, mode=mode)


def _brief() -> Brief:
    return brief_of(_sample(Task), 1, ())


def _approval(name: str, **said: object) -> Approval:
    approval = _sample(Approval, id=name, action_sha256="", **said)
    return approval.but(action_sha256=sha256_of(approval.action.to_json()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
