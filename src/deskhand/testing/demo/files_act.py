"""Act one: two threads at the same time, by commands, without any model."""

from __future__ import annotations

import asyncio

from deskhand.clock import SystemClock, unstamp
from deskhand.protocol.wire import JsonObject
from deskhand.testing.demo.stage import LINE, WORK_SECONDS, DemoFailedError, Stage, items, seconds, verified
from deskhand.testing.phone import Phone


async def your_files(stage: Stage, phone: Phone) -> None:
    """Send a briefing and a report, wait for both, and show what the hub says of them."""
    stage.say("\n① Your files, no model" + " " * 26 + "two threads at the same time")
    folders = {str(one["root"]): str(one["id"]) for one in await items(phone, "/v1/folders")}
    wanted = {"Meetings": "/brief notes/ --pages 1", "Marketing": "/report data/campaign-w47.csv"}
    sent = SystemClock().now()
    wishes: list[JsonObject] = [
        {"kind": "message.post", "body": {"text": text, "title": title, "folder": folders[str(stage.folders[title])]}}
        for title, text in wanted.items()
    ]
    results = await phone.ops(*wishes)
    names = [str(result["task"]) for result in results]
    async with asyncio.timeout(WORK_SECONDS):
        stage.tasks = await phone.finished(*names)
    for (title, text), task in zip(wanted.items(), stage.tasks, strict=True):
        stored = (unstamp(task.created_at) - sent).total_seconds()
        started = seconds(task.created_at, task.started_at)
        stage.say(
            f"{LINE}phone → {title:<10} {text:<32} sent {sent:%H:%M:%S}  stored {max(stored, 0):.2f} s  started {started:.2f} s"
        )
    for task in stage.tasks:
        verified(task)
        files = ", ".join(artifact.name for artifact in task.artifacts)
        took = seconds(task.created_at, task.finished_at)
        stage.say(f"{LINE}✓ {task.verdict}  {files:<14} {task.summary or ''}   {took:.1f} s")
    if len({task.thread for task in stage.tasks}) != len(stage.tasks):
        raise DemoFailedError("the two tasks share a thread")
