"""The models that a computer has now: looked for again and again, because keys, settings and servers come and go.

Looked for are keys in the environment, servers on loopback, and files that were installed here; a server counts only
when it answers as what it should be. It refuses to look anywhere but on loopback, to wait long, and to read more than a
list of models can be.

Those that were installed here run one at a time, each in its own process, started when it is needed: a crash of it or
its hunger for memory is not the runner's. It refuses to think with another model than the one that a task names, to
keep anything that the settings no longer say, and to hand a model any key but its own, which is new each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

from deskhand.agents.builtin.agent import PROVIDERS, SERVERS, Findings, Offer, Wanted
from deskhand.clock import Clock, Ids
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import ModelInfo
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret

LOOK_SECONDS: Final = 30.0
"""How often servers are looked for: whatever else listens there sees it in its log. Settings are seen at once."""

CONTEXT_TOKENS: Final = 16_384
"""What a model of our own gets at most unless the settings say otherwise: more takes memory for each token."""


class Embedded:
    """The one model of our own that runs now."""

    def __init__(self, ids: Ids) -> None:
        """Run none yet."""
        self._ids = ids
        self._alone = asyncio.Lock()
        self._process: Process | None = None
        self._runs: tuple[Offer, Offer] | None = None

    async def serve(self, offer: Offer) -> Offer:
        """Return where a model answers, started anew if it does not run (any more).

        Raises:
            DeskhandError: ``model_file`` for one that cannot be loaded; ``model_busy`` when that takes too long.
        """
        async with self._alone:
            alive = self._process is not None and self._process.returncode is None
            if self._runs is None or self._runs[0] != offer or not alive:
                await self._end()
                self._runs = (offer, await self._start(offer))
            return self._runs[1]

    async def close(self) -> None:
        """End what runs."""
        async with self._alone:
            await self._end()

    async def _start(self, offer: Offer) -> Offer:
        key, name = Secret(offer.name, self._ids.secret(32)), offer.name.partition(":")[2]
        context = offer.context_tokens or CONTEXT_TOKENS
        order = {"file": offer.file, "name": name, "key": key.reveal(), "context_tokens": context}
        # Nothing of our own surroundings, which hold keys: only what finds libraries and folders.
        kept = {one: os.environ[one] for one in ("PATH", "HOME", "LANG") if one in os.environ}
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deskhand.agents.builtin.embedded", stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for
        process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            async with asyncio.timeout(300.0):
                address = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            await self._end()
            raise DeskhandError(Code.MODEL_BUSY, offer.name) from None
        if not address:
            raise DeskhandError(Code.MODEL_FILE, offer.name)
        return replace(offer, base_url=f"{address}/v1", key=key, context_tokens=context)

    async def _end(self) -> None:
        process, self._process, self._runs = self._process, None, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Supply:
    """What this computer can think with.

    Args:
        wanted: reads the settings.
        look: looks for everything else; blocks for up to a second.
        own: runs the models that were installed here.
    """

    def __init__(
        self, *, wanted: Callable[[], Wanted], look: Callable[[Wanted], Findings], own: Embedded, clock: Clock
    ) -> None:
        """Know nothing yet."""
        self._wanted, self._look_for, self.own, self._clock = wanted, look, own, clock
        self._found = Findings()
        self._looked_at = float("-inf")

    async def models(self) -> tuple[ModelInfo | None, tuple[str, ...]]:
        """Return the model that thinks unless a task names another, and every one that a task may name."""
        found = await self._look()
        first, names = found.used, tuple(one.name for one in found.offers if one.lacks is None)
        return (None if first is None or first.lacks else first.info), names

    async def choose(self, brief: Brief) -> Offer:
        """Return what a task thinks with: the model that it names, else the computer's own; started if we serve it.

        Raises:
            DeskhandError: ``model_unknown``, ``model_key``; ``model_busy`` for one that does not start.
        """
        offer = await self._offer(brief)
        if offer.name.startswith("ollama:") and offer.context_tokens is None:
            await asyncio.to_thread(wake, offer)
            self._looked_at = float("-inf")
            offer = await self._offer(brief)
        return offer if offer.file is None else await self.own.serve(offer)

    async def _offer(self, brief: Brief) -> Offer:
        found = await self._look()
        first = None if brief.model else found.used
        return found.named(brief.model or (first.name if first else ""))

    async def _look(self) -> Findings:
        """Look at the settings, and at everything else when they changed or some time has passed."""
        wanted, now = self._found.wanted, self._clock.monotonic()
        with suppress(DeskhandError):  # of a file that somebody is writing just now
            wanted = self._wanted()
        if now - self._looked_at >= LOOK_SECONDS or wanted != self._found.wanted:
            self._looked_at = now
            self._found = await asyncio.to_thread(self._look_for, wanted)
        return self._found


# --- looking


LOOPBACK: Final = "127.0.0.1"
SMALL_PARAMETERS: Final = 1_000_000_000
"""Below this many a model cannot run the loop: 0 of 20 tasks were done by what was measured."""
_OLLAMA_HOST: Final = re.compile(r"(?:http://)?(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{1,5})/?")
Obj = dict[str, Any]
Ask = Callable[[str], Obj]


def look(
    wanted: Wanted,
    *,
    environment: Mapping[str, str] = os.environ,
    kept: Mapping[str, Secret] = MappingProxyType({}),
    ports: Mapping[str, int] = SERVERS,
    installed: Sequence[Offer] = (),
) -> Findings:
    """Return what is on this computer; takes as long as the slowest server that says nothing, at most a second.

    A key in ``environment`` wins over the one that was ``kept`` under its name.
    """
    if told := _OLLAMA_HOST.fullmatch(environment.get("OLLAMA_HOST", "")):
        ports = {**ports, "ollama": int(told[1])}
    with ThreadPoolExecutor(len(ports)) as pool:
        offered = dict(zip(ports, pool.map(_server, ports, ports.values()), strict=True))
    offered["local"] = [*installed]
    known = [one for provider in PROVIDERS.values() for one in provider.variables]
    named = (*known, wanted.key_variable)
    keys = {one: kept[one] for one in named if one in kept}
    keys |= {one: Secret(one, environment[one]) for one in named if environment.get(one)}
    looked = {"keys": tuple(one for one in known if one in keys)}
    looked |= {kind: tuple(one.name for one in found) for kind, found in offered.items()}
    looked["agents"] = tuple(filter(shutil.which, ("claude", "codex", "opencode", "gemini", "qwen")))
    return Findings(
        wanted=wanted,
        keys=keys,
        packages=frozenset(filter(_importable, {one.package for one in PROVIDERS.values()})),
        here=tuple(one for found in offered.values() for one in found),
        looked=looked,
    )


def wake(offer: Offer) -> None:
    """Let a server load a model, so that it can tell the context it has; longer prompts lose their front there."""
    port, body = int(offer.where.rpartition(":")[2]), {"model": offer.name.partition(":")[2]}
    with suppress(OSError, HTTPException, ValueError):
        _said(port, "/api/generate", seconds=120.0, body=body | {"stream": False})


def _importable(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(module) is not None
    return False


def _server(kind: str, port: int) -> list[Offer]:
    """Return what one server offers, its own choice first; nothing unless it really is that server."""
    speaks = "ollama" if kind == "ollama" else "openai-chat"
    where = f"{LOOPBACK}:{port}"
    with suppress(OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return [
            Offer(
                name=f"{kind}:{name}",
                source="server",
                where=where,
                model=f"{speaks}:{name}",
                base_url=f"http://{where}/v1",
                context_tokens=context,
                label="too_small" if small else None,
            )
            for name, context, small in _KINDS[kind](lambda path: _said(port, path))
            if not re.search("embed|bge-|rerank|whisper", name)  # these say nothing
        ]
    return []


def _said(port: int, path: str, *, seconds: float = 0.5, body: Obj | None = None) -> Obj:
    """Return what a server here says; nothing when it says no."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=seconds)) as connection:
        connection.request("POST" if body else "GET", path, body=json.dumps(body) if body else None)
        answer = connection.getresponse()
        return json.loads(answer.read(4 * 1024**2)) if answer.status == HTTPStatus.OK else {}


_Models = Iterator[tuple[str, int | None, bool]]
"""By their names there, with their context lengths as far as they are known, and whether they are too small."""


def _ollama(ask: Ask) -> _Models:
    loaded = {one["name"]: one.get("context_length") for one in ask("/api/ps")["models"]}
    for one in sorted(ask("/api/tags")["models"], key=lambda one: one["name"] not in loaded):
        size = str(one.get("details", {}).get("parameter_size"))  # such as "8.2B" or "134.52M"
        yield one["name"], loaded.get(one["name"]), size.endswith(("K", "M"))


def _lmstudio(ask: Ask) -> _Models:
    found = [one for one in ask("/api/v0/models")["data"] if one["type"] in ("llm", "vlm")]
    for one in sorted(found, key=lambda one: one["state"] != "loaded"):
        yield one["id"], one.get("loaded_context_length") or one.get("max_context_length"), False


def _openai(ask: Ask, owner: str) -> _Models:
    for one in ask("/v1/models")["data"]:
        if one["owned_by"] == owner:
            props = ask("/props").get("default_generation_settings", {})
            parameters = one.get("meta", {}).get("n_params", SMALL_PARAMETERS)
            yield one["id"], one.get("max_model_len") or props.get("n_ctx"), parameters < SMALL_PARAMETERS


_KINDS: Final[Mapping[str, Callable[[Ask], _Models]]] = {
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "llama-server": partial(_openai, owner="llamacpp"),
    "vllm": partial(_openai, owner="vllm"),
}
