"""``make demo``: the main job from end to end on this machine alone, unattended; fails loudly if any part does.

It starts the real hub and runner, pairs a phone that is a program using the real API, works on files made anew for
this run, and shows only figures that it reads back from the hub. It refuses to need a key, an account or the net.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

from rich.console import Console

from deskhand.errors import DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.testing.demo.agent_act import agent_path
from deskhand.testing.demo.files_act import your_files
from deskhand.testing.demo.proof import proof, table
from deskhand.testing.demo.stage import DemoFailedError, Stage, cli, computer, hashes, items
from deskhand.testing.phone import Phone
from deskhand.testing.push.service import FakePushService
from deskhand.testing.samples import random_mark, write_campaign, write_meetings
from deskhand.testing.standin.server import StandIn

_CLOSING = """
Not shown here: how well a real model works. Connect one:  deskhand model set     Look around:  make demo KEEP=1"""

_PLACES = {
    "keys": "API keys",
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "vllm": "vLLM",
    "agents": "coding agents",
    "local": "own models",
}


def main() -> int:
    """Run the demo; return 0 only when everything held."""
    console = Console(no_color="NO_COLOR" in os.environ)
    chance = random.Random(secrets.randbits(64))  # noqa: S311 - sample data, not secrets
    with tempfile.TemporaryDirectory(prefix="deskhand-demo-") as place:
        root = Path(place)
        mark = os.environ.get("MARK") or random_mark(chance)
        planted = write_meetings(root / "Meetings", chance, mark=mark)
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
    stage.before = hashes(stage)
    async with _model(stage), computer(stage) as ready, FakePushService() as pushes:
        phone = await Phone.pair(stage.url, str(ready["invite"]))
        async with phone:
            await phone.op("settings.put", {"name": "notify.allow_private_endpoints", "value": True})
            key = await phone.get("/v1/push/key")
            await phone.subscribe(cast("JsonObject", pushes.subscribe(str(key["key"]))) if "key" in key else {})
            await _introduce(stage, phone)
            await your_files(stage, phone)
            await agent_path(stage, phone, pushes)
            await proof(stage, phone, pushes)
            table(stage)
            stage.say(_CLOSING)
            if os.environ.get("KEEP"):
                await _keep(stage)


@contextlib.asynccontextmanager
async def _model(stage: Stage) -> AsyncGenerator[None]:
    """Hold the model of act two: the configured one, else the stand-in, which only this process can offer."""
    if os.environ.get("DESKHAND_MODEL"):
        yield
        return
    async with StandIn() as standin:
        stage.model = {
            "DESKHAND_MODEL": "openai-chat:stand-in",
            "DESKHAND_MODEL_BASE_URL": standin.url,
            "DESKHAND_STAND_IN": "1",
        }
        yield


async def _introduce(stage: Stage, phone: Phone) -> None:
    runners = await items(phone, "/v1/runners")
    name = str(runners[0]["name"]) if runners else "none"
    where = stage.url.removeprefix("http://")
    stage.say(f"Deskhand demo · hub {where} · computer “{name}” · phone “demo phone” (a program using the real API)")
    planted = stage.planted
    stage.say(
        f'Planted in notes/{planted.file}:{planted.line}  “{planted.text}”  (random each run; MARK="…" to choose)'
    )
    found = json.loads(await cli(stage.environment, "model", "list", "--json"))["looked"]
    looked = (f"{_PLACES.get(place, place)} {', '.join(there) or 'no'}" for place, there in found.items())
    stage.say(f"Looked for a model: {' · '.join(looked)}")


async def _keep(stage: Stage) -> None:
    stage.say(f"\nStill running at {stage.url} (home {stage.root / 'home'}). Ctrl-C ends it and removes everything.")
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
