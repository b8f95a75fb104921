"""``make demo``: the main job from end to end on this machine alone, unattended; fails loudly if any part does.

It starts the real hub and runner, pairs a phone that is a program using the real API, works on files made anew for
this run, and shows only figures that it reads back from the hub. It refuses to need a key, an account or the net.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import random
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from openpyxl import load_workbook
from rich.console import Console
from rich.table import Table

from deskhand.clock import SystemClock, unstamp
from deskhand.errors import DeskhandError
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Delivery
from deskhand.protocol.tasks import Artifact, Task, Verdict
from deskhand.protocol.wire import JsonObject
from deskhand.testing.phone import Phone
from deskhand.testing.push.service import FakePushService
from deskhand.testing.samples import Planted, random_mark, write_campaign, write_notes

READY_SECONDS = 30
WORK_SECONDS = 60
LINE = "  "
KILLED = "/report data/year.csv"
ROWS = 10_000


class DemoFailedError(Exception):
    """Something the demo promises did not hold; the message says what."""


@dataclass(kw_only=True)
class Stage:
    """Everything of one run."""

    root: Path
    console: Console
    planted: Planted
    url: str = ""
    process: asyncio.subprocess.Process | None = None
    before: dict[str, str] = field(default_factory=dict[str, str])
    tasks: list[Task] = field(default_factory=list[Task])

    @property
    def folders(self) -> dict[str, Path]:
        """The two folders the computer may work in, by the thread that uses each."""
        return {"Meetings": self.root / "Meetings", "Marketing": self.root / "Marketing"}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the demo: a home of its own."""
        return {**os.environ, "DESKHAND_HOME": str(self.root / "home")}

    def say(self, text: str = "") -> None:
        """Print a line as it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """Run the demo; return 0 only when everything held."""
    console = Console(no_color="NO_COLOR" in os.environ)
    chance = random.Random(secrets.randbits(64))  # noqa: S311 - sample data, not secrets
    with tempfile.TemporaryDirectory(prefix="deskhand-demo-") as place:
        root = Path(place)
        mark = os.environ.get("MARK") or random_mark(chance)
        planted = write_notes(root / "Meetings" / "notes", chance, mark=mark)
        write_campaign(root / "Marketing" / "data" / "campaign-w47.csv", chance)
        stage = Stage(root=root, console=console, planted=planted)
        try:
            asyncio.run(_run(stage))
        except (DemoFailedError, DeskhandError, OSError, TimeoutError, ExceptionGroup) as error:
            console.print(f"\n✗ The demo failed: {error}", style="bold red", markup=False)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


async def _run(stage: Stage) -> None:
    stage.before = _hashes(stage)
    async with _computer(stage) as ready, FakePushService() as pushes:
        phone = await Phone.pair(stage.url, str(ready["invite"]))
        async with phone:
            await phone.op(
                "settings.put", {"name": "notify.allow_private_endpoints", "value": True}
            )
            key = await phone.get("/v1/push/key")
            await phone.subscribe(
                cast("JsonObject", pushes.subscribe(str(key["key"]))) if "key" in key else {}
            )
            await _introduce(stage, phone)
            await _first_act(stage, phone)
            await _second_act(stage, phone)
            await _proof(stage, phone, pushes)
            _table(stage)
            _closing(stage)
            if os.environ.get("KEEP"):
                await _keep(stage, str(ready["invite"]))


@contextlib.asynccontextmanager
async def _computer(stage: Stage) -> AsyncGenerator[JsonObject]:
    """Start ``deskhand up`` as a person would, grant two folders at its keyboard, and end it as a person would."""
    try:
        ready = await _up(stage, port="0")
        for folder in stage.folders.values():
            await _cli(stage.environment, "folders", "add", str(folder), "--mode", "workspace")
        yield ready
    finally:
        await _end(stage, signal.SIGTERM)


async def _up(stage: Stage, *, port: str) -> JsonObject:
    """Start the program and return its ready line."""
    extra = ["--as-root"] if os.geteuid() == 0 else []
    up = [*_deskhand(), "up", "--port", port, "--reach", "none", "--no-browser", "--json", *extra]
    with (stage.root / "up.log").open("ab") as log:
        stage.process = await asyncio.create_subprocess_exec(
            *up, env=stage.environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert stage.process.stdout is not None  # noqa: S101 - a pipe was asked for
    async with asyncio.timeout(READY_SECONDS):
        line = await stage.process.stdout.readline()
    if not line:
        raise DemoFailedError(f"deskhand up did not start:\n{_tail(stage)}")
    ready = json.loads(line)
    stage.url = str(ready["url"]).rstrip("/")
    return ready


async def _end(stage: Stage, how: signal.Signals) -> None:
    """End the program and wait until it is gone."""
    if stage.process is not None:
        with contextlib.suppress(ProcessLookupError):
            stage.process.send_signal(how)
        await stage.process.wait()


async def _introduce(stage: Stage, phone: Phone) -> None:
    runners = await _items(phone, "/v1/runners")
    name = str(runners[0]["name"]) if runners else "none"
    where = stage.url.removeprefix("http://")
    stage.say(
        f"Deskhand demo · hub {where} · computer “{name}” · phone “demo phone” (a program using the real API)"
    )
    planted = stage.planted
    stage.say(
        f'Planted in notes/{planted.file}:{planted.line}  “{planted.text}”  (random each run; MARK="…" to choose)'
    )
    models = [
        str(model) for runner in runners for model in cast("list[Any]", runner.get("models", []))
    ]
    stage.say(
        f"Models of this computer: {', '.join(models) or 'none, and none is needed for what follows'}"
    )


async def _first_act(stage: Stage, phone: Phone) -> None:
    stage.say("\n① Your files, no model" + " " * 26 + "two threads at the same time")
    folders = {str(one["root"]): str(one["id"]) for one in await _items(phone, "/v1/folders")}
    wanted = {"Meetings": "/brief notes/ --pages 1", "Marketing": "/report data/campaign-w47.csv"}
    sent = SystemClock().now()
    wishes: list[JsonObject] = [
        {
            "kind": "message.post",
            "body": {"text": text, "title": title, "folder": folders[str(stage.folders[title])]},
        }
        for title, text in wanted.items()
    ]
    results = await phone.ops(*wishes)
    names = [str(result["task"]) for result in results]
    async with asyncio.timeout(WORK_SECONDS):
        stage.tasks = await phone.finished(*names)
    for (title, text), task in zip(wanted.items(), stage.tasks, strict=True):
        stored = (unstamp(task.created_at) - sent).total_seconds()
        started = _seconds(task.created_at, task.started_at)
        stage.say(
            f"{LINE}phone → {title:<10} {text:<32} sent {sent:%H:%M:%S}  stored {max(stored, 0):.2f} s  started {started:.2f} s"
        )
    for task in stage.tasks:
        if task.verdict is not Verdict.VERIFIED:
            raise DemoFailedError(
                f"{task.title}: {task.state} {task.verdict} {task.not_done_because}"
            )
        files = ", ".join(artifact.name for artifact in task.artifacts)
        took = _seconds(task.created_at, task.finished_at)
        stage.say(f"{LINE}✓ {task.verdict}  {files:<14} {task.summary or ''}   {took:.1f} s")
    if len({task.thread for task in stage.tasks}) != len(stage.tasks):
        raise DemoFailedError("the two tasks share a thread")


async def _second_act(stage: Stage, phone: Phone) -> None:
    """Kill everything with -9 while a file is being written, start it again, and let nobody do anything."""
    stage.say("\n② The plug pulled" + " " * 31 + "(the agent path joins this act with the agent)")
    before, name = await _begin_long_work(stage, phone)
    async with asyncio.timeout(WORK_SECONDS):
        step = await phone.until(lambda event: _writes(event, name), after=before)
    await _end(stage, signal.SIGKILL)
    killed = SystemClock().now()
    await _up(stage, port=stage.url.rpartition(":")[2])
    ready = SystemClock().monotonic()
    async with asyncio.timeout(WORK_SECONDS):
        finished = await phone.until(lambda event: _ends(event, step), after=step.seq)
        went_on = SystemClock().monotonic() - ready
        (task,) = await phone.finished(name)
    if task.verdict is not Verdict.VERIFIED:
        raise DemoFailedError(f"{task.title}: {task.state} {task.verdict} {task.not_done_because}")
    if unstamp(finished.at) < killed:
        raise DemoFailedError("the step had ended before the program could be killed in it")
    stage.tasks.append(task)
    took = _seconds(step.at, finished.at)
    stage.say(
        f"{LINE}phone → Year       {KILLED:<32} step {step.body['step']} began: {step.body['title']}"
    )
    stage.say(
        f"{LINE}✂ killed the program (kill -9) in that step, which ended {took:.1f} s after it began"
    )
    stage.say(f"{LINE}  started again: the step was done {went_on:.1f} s after it was ready")
    files = ", ".join(artifact.name for artifact in task.artifacts)
    stage.say(f"{LINE}✓ {task.verdict}  {files:<14} {task.summary or ''}")


async def _begin_long_work(stage: Stage, phone: Phone) -> tuple[int, str]:
    """Send a task that takes long enough to be killed in; return where the log stood, and the task."""
    place = stage.folders["Marketing"]
    write_campaign(place / "data" / "year.csv", random.Random(stage.planted.text), rows=ROWS)  # noqa: S311 - sample data
    stage.before = _hashes(stage)
    folders = {str(one["root"]): one["id"] for one in await _items(phone, "/v1/folders")}
    wish: JsonObject = {"text": KILLED, "title": "Year", "folder": folders[str(place)]}
    before = cast("int", (await phone.get("/v1/snapshot"))["cursor"])
    return before, str((await phone.op("message.post", wish))["task"])


def _writes(event: Event, task: str) -> bool:
    about = (event.task, event.kind) == (task, "step.started")
    return about and "write" in str(event.body["tool"])


def _ends(event: Event, step: Event) -> bool:
    about = (event.task, event.kind) == (step.task, "step.finished")
    return about and event.body["step"] == step.body["step"]


async def _proof(stage: Stage, phone: Phone, pushes: FakePushService) -> None:
    stage.say("\n③ Proof")
    brief, report, *_ = stage.tasks
    found = await _planted_line(stage, phone, brief.artifacts[0])
    after = _hashes(stage)
    unchanged = sum(after.get(path) == digest for path, digest in stage.before.items())
    if unchanged != len(stage.before):
        raise DemoFailedError("a source file was changed")
    totals = _total_row(await phone.content(report.artifacts[0].id))
    stage.say(
        f"{LINE}your planted line  found: {found}     sources unchanged: {unchanged} of {len(stage.before)}"
    )
    stage.say(f"{LINE}report             {totals}")
    steps = await _effects(phone, stage.tasks)
    log = (await phone.get("/v1/snapshot"))["cursor"]
    verified = await _verify_log(stage)
    stage.say(f"{LINE}effects            {steps}     log: {log} events, {verified}")
    deliveries = await _shown(phone, pushes, expected=len(stage.tasks))
    fates = ("accepted", "shown")
    reached = {fate: sum(_reached(one, fate) for one in deliveries) for fate in fates}
    stage.say(
        f"{LINE}notifications      {len(deliveries)} planned · {reached['accepted']} accepted · {reached['shown']} shown"
    )
    if reached["shown"] != len(stage.tasks) or len(deliveries) != len(stage.tasks):
        raise DemoFailedError("a notification did not arrive")


async def _planted_line(stage: Stage, phone: Phone, briefing: Artifact) -> str:
    """Find the planted line in the briefing, with its file:line, and return where."""
    planted = stage.planted
    lines = (await phone.content(briefing.id)).decode("utf-8").splitlines()
    source = f"{planted.file}:{planted.line}"
    for number, line in enumerate(lines, start=1):
        if planted.text.strip() in line and source in line:
            return f"{briefing.name}:{number} ← {source}"
    raise DemoFailedError(f"the planted line is not in {briefing.name} with {source}")


async def _effects(phone: Phone, tasks: list[Task]) -> str:
    """Count from the log what was intended and what came of it."""
    started: list[tuple[str, int]] = []
    outcomes: list[tuple[str, int, str]] = []
    for task in tasks:
        events = await _items(phone, f"/v1/threads/{task.thread}/events?limit=500")
        for event in events:
            body = cast("JsonObject", event["body"])
            step = body.get("step")
            if event["kind"] == "step.started" and isinstance(step, int):
                started.append((task.id, step))
            elif event["kind"] == "step.finished" and isinstance(step, int):
                outcomes.append((task.id, step, str(body["outcome"])))
    done = sum(outcome == "ok" for *_, outcome in outcomes)
    unknown = sum(outcome == "unknown" for *_, outcome in outcomes)
    repeated = len(started) - len(set(started))
    if not started or repeated or unknown or done != len(started):
        raise DemoFailedError(f"effects: {len(started)} intended, {done} done, {repeated} repeated")
    return f"{len(started)} intended, {done} done once, {repeated} repeated, {unknown} unknown"


async def _shown(phone: Phone, pushes: FakePushService, *, expected: int) -> list[Delivery]:
    """Wait for the pushes, show each as the service worker does, and return the ledger."""
    async with asyncio.timeout(WORK_SECONDS):
        received = await pushes.received(expected)
    for message in received:
        await phone.show(message.payload)
    return await phone.deliveries()


def _reached(delivery: Delivery, fate: str) -> bool:
    order = ("planned", "sent", "accepted", "shown", "tapped")
    return delivery.fate in order and order.index(delivery.fate) >= order.index(fate)


def _total_row(workbook: bytes) -> str:
    """Return a total that the report itself states, read back from its bytes."""
    summary = load_workbook(io.BytesIO(workbook), data_only=True).worksheets[0]
    header: list[str] = []
    for row in summary.iter_rows(values_only=True):
        cells = [str(cell) for cell in row if cell is not None]
        if any(cell.lower() == "total" for cell in cells):
            header = [cell.lower() for cell in cells]
        elif header and cells and cells[0].lower() == "spend":
            return f"its line “spend” says a total of {cells[header.index('total')]}"
    raise DemoFailedError("the report has no total for spend")


def _table(stage: Stage) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "verdict", "checks", "files"):
        table.add_column(column)
    for task in stage.tasks:
        checks = "\n".join(
            f"{'✓' if check.passed else '✗'} {check.name}: {check.evidence}"
            for check in task.checks
        )
        files = "\n".join(f"{one.name} ({one.size} B)" for one in task.artifacts)
        table.add_row(task.text, str(task.verdict), checks, files)
    stage.say()
    stage.console.print(table)


def _closing(stage: Stage) -> None:
    stage.say("\nNot shown here: how well a real model works.   Look around:  make demo KEEP=1")


async def _keep(stage: Stage, _: str) -> None:
    stage.say(
        f"\nStill running at {stage.url} (home {stage.root / 'home'}). Ctrl-C ends it and removes everything."
    )
    await asyncio.Event().wait()


async def _verify_log(stage: Stage) -> str:
    """Let the command line fold the log anew and compare."""
    said = await _cli(stage.environment, "log", "verify", "--json")
    if json.loads(said).get("problems"):
        raise DemoFailedError(f"the log does not verify: {said}")
    return "verified"


async def _cli(environment: dict[str, str], *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *_deskhand(),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise DemoFailedError(f"deskhand {' '.join(arguments)}: {err.decode()}")
    return out.decode()


async def _items(phone: Phone, path: str) -> list[JsonObject]:
    return cast("list[JsonObject]", (await phone.get(path))["items"])


def _deskhand() -> list[str]:
    return [sys.executable, "-m", "deskhand"]


def _seconds(start: str, end: str | None) -> float:
    return (unstamp(end) - unstamp(start)).total_seconds() if end else 0.0


def _hashes(stage: Stage) -> dict[str, str]:
    """Return path -> SHA-256 of every source file."""
    sources = [stage.root / "Meetings" / "notes", stage.root / "Marketing" / "data"]
    files = [path for source in sources for path in sorted(source.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _tail(stage: Stage) -> str:
    return (stage.root / "up.log").read_text(errors="replace")[-2000:]


if __name__ == "__main__":
    sys.exit(main())
