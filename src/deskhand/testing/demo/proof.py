"""Act three: what came of it all, read back from the log, the files and the decrypted pushes."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Final, cast

from openpyxl import load_workbook
from rich.table import Table

from deskhand.protocol.objects import Delivery
from deskhand.protocol.tasks import Artifact, Task
from deskhand.protocol.wire import JsonObject
from deskhand.testing.demo.stage import LINE, WORK_SECONDS, DemoFailedError, Stage, cli, hashes, items
from deskhand.testing.phone import Phone
from deskhand.testing.push.service import FakePushService

_CHANGING: Final = ("write_", "edit_", "make_", "move_", "trash_", "run_")


async def proof(stage: Stage, phone: Phone, pushes: FakePushService) -> None:
    """Show that what was promised holds, each figure from the hub, the files or the pushes."""
    stage.say("\n③ Proof")
    brief, report, agent = stage.tasks
    found = [await _planted_line(stage, phone, one.artifacts[0]) for one in (brief, agent)]
    after = hashes(stage)
    unchanged = sum(after.get(path) == digest for path, digest in stage.before.items())
    if unchanged != len(stage.before):
        raise DemoFailedError("a source file was changed")
    source = f"{stage.planted.file}:{stage.planted.line}"
    totals = _total_row(await phone.content(report.artifacts[0].id))
    stage.say(
        f"{LINE}your planted line  found: {', '.join(found)} ← {source}     sources unchanged: {unchanged} of {len(stage.before)}"
    )
    stage.say(f"{LINE}report             {totals}")
    steps = await _effects(phone, stage.tasks)
    log = (await phone.get("/v1/snapshot"))["cursor"]
    verified = await _verify_log(stage)
    stage.say(f"{LINE}effects            {steps}     log: {log} events, {verified}")
    deliveries = await _shown(phone, pushes)
    fates = ("accepted", "shown")
    reached = {fate: sum(_reached(one, fate) for one in deliveries) for fate in fates}
    stage.say(
        f"{LINE}notifications      {len(deliveries)} planned · {reached['accepted']} accepted · {reached['shown']} shown"
    )
    if reached["shown"] != len(deliveries) or len(deliveries) <= len(stage.tasks):
        raise DemoFailedError("a notification did not arrive")


async def _planted_line(stage: Stage, phone: Phone, briefing: Artifact) -> str:
    """Find the planted line in the briefing, with its file:line, and return where."""
    planted = stage.planted
    lines = (await phone.content(briefing.id)).decode("utf-8").splitlines()
    source = f"{planted.file}:{planted.line}"
    for number, line in enumerate(lines, start=1):
        if planted.text.removeprefix("TODO:").strip() in line and source in line:
            return f"{briefing.name}:{number}"
    raise DemoFailedError(f"the planted line is not in {briefing.name} with {source}")


async def _effects(phone: Phone, tasks: list[Task]) -> str:
    """Count from the log what was to change something, and what came of it."""
    started: list[tuple[str, int]] = []
    outcomes: list[tuple[str, int, str]] = []
    for task in tasks:
        events = await items(phone, f"/v1/threads/{task.thread}/events?limit=500")
        for event in events:
            body = cast("JsonObject", event["body"])
            step = body.get("step") if event.get("task") == task.id else None
            if not isinstance(step, int):
                continue
            if event["kind"] == "step.started" and str(body["tool"]).startswith(_CHANGING):
                started.append((task.id, step))
            elif event["kind"] == "step.finished" and (task.id, step) in started:
                outcomes.append((task.id, step, str(body["outcome"])))
    done = sum(outcome == "ok" for *_, outcome in outcomes)
    unknown = sum(outcome == "unknown" for *_, outcome in outcomes)
    repeated = len(started) - len(set(started))
    if not started or repeated or unknown or done != len(started):
        raise DemoFailedError(f"effects: {len(started)} intended, {done} done, {repeated} repeated")
    return f"{len(started)} intended, {done} done once, {repeated} repeated, {unknown} unknown"


async def _shown(phone: Phone, pushes: FakePushService) -> list[Delivery]:
    """Wait for the pushes, show each as the service worker does, and return the ledger."""
    planned = await phone.deliveries()
    async with asyncio.timeout(WORK_SECONDS):
        received = await pushes.received(len(planned))
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


async def _verify_log(stage: Stage) -> str:
    """Let the command line fold the log anew and compare."""
    said = await cli(stage.environment, "log", "verify", "--json")
    if json.loads(said).get("problems"):
        raise DemoFailedError(f"the log does not verify: {said}")
    return "verified"


def table(stage: Stage) -> None:
    """Show each task with its verdict, checks and files."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("task", "verdict", "checks", "files"):
        table.add_column(column)
    for task in stage.tasks:
        checks = "\n".join(f"{'✓' if check.passed else '✗'} {check.name}: {check.evidence}" for check in task.checks)
        files = "\n".join(f"{one.name} ({one.size} B)" for one in task.artifacts)
        table.add_row(task.text, str(task.verdict), checks, files)
    stage.say()
    stage.console.print(table)
