"""Looks for models on this computer: keys in the environment, servers on loopback, files that were installed here.

A server counts only when it answers as what it should be. It refuses to look anywhere but on loopback, to wait long,
and to read more than a list of models can be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import Any, Final

from deskhand.agents.builtin.choosing import PROVIDERS, SERVERS, Findings, Offer, Wanted

LOOPBACK: Final = "127.0.0.1"
SMALL_PARAMETERS: Final = 1_000_000_000
"""Below this many a model cannot run the loop: 0 of 20 tasks were done by what was measured."""
_SECONDS: Final = 0.5
_WAKE_SECONDS: Final = 120.0
_BYTES_MAX: Final = 4 * 1024**2
_CODING_AGENTS: Final = ("claude", "codex", "opencode", "gemini", "qwen")
_MUTE: Final = re.compile("embed|bge-|rerank|whisper")
"""In names of models that say nothing."""
_OLLAMA_HOST: Final = re.compile(r"(?:http://)?(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{1,5})/?")
Obj = dict[str, Any]
Ask = Callable[[str], Obj]


def look(
    wanted: Wanted,
    *,
    environment: Mapping[str, str] = os.environ,
    ports: Mapping[str, int] = SERVERS,
    installed: Sequence[Offer] = (),
) -> Findings:
    """Return what is on this computer; takes as long as the slowest server that says nothing, at most a second."""
    if told := _OLLAMA_HOST.fullmatch(environment.get("OLLAMA_HOST", "")):
        ports = {**ports, "ollama": int(told[1])}
    with ThreadPoolExecutor(len(ports)) as pool:
        offered = dict(zip(ports, pool.map(_server, ports, ports.values()), strict=True))
    offered["local"] = [*installed]
    known = [one for provider in PROVIDERS.values() for one in provider.variables]
    keys = {one: environment[one] for one in (*known, wanted.key_variable) if environment.get(one)}
    looked = {"keys": tuple(one for one in known if one in keys)}
    looked |= {kind: tuple(one.name for one in found) for kind, found in offered.items()}
    looked["agents"] = tuple(filter(shutil.which, _CODING_AGENTS))
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
        _said(port, "/api/generate", seconds=_WAKE_SECONDS, body=body | {"stream": False})


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
            if not _MUTE.search(name)
        ]
    return []


def _said(port: int, path: str, *, seconds: float = _SECONDS, body: Obj | None = None) -> Obj:
    """Return what a server here says; nothing when it says no."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=seconds)) as connection:
        connection.request("POST" if body else "GET", path, body=json.dumps(body) if body else None)
        answer = connection.getresponse()
        return json.loads(answer.read(_BYTES_MAX)) if answer.status == HTTPStatus.OK else {}


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
        context = one.get("loaded_context_length") or one.get("max_context_length")
        yield one["id"], context, False


def _openai(ask: Ask, owner: str) -> _Models:
    for one in ask("/v1/models")["data"]:
        if one["owned_by"] == owner:
            props = ask("/props").get("default_generation_settings", {})
            parameters = one.get("meta", {}).get("n_params", SMALL_PARAMETERS)
            context = one.get("max_model_len") or props.get("n_ctx")
            yield one["id"], context, parameters < SMALL_PARAMETERS


_KINDS: Final[Mapping[str, Callable[[Ask], _Models]]] = {
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "llama-server": partial(_openai, owner="llamacpp"),
    "vllm": partial(_openai, owner="vllm"),
}
