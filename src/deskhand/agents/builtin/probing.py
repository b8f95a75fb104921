"""Looks for models on this computer: keys in the environment, servers on loopback, files that were installed here.

A server counts only when it answers as what it should be. It refuses to look anywhere but on loopback, to wait long,
and to read more than a list of models can be.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import Any, Final

from deskhand.agents.builtin.choosing import (
    KEY_VARIABLE,
    PROVIDERS,
    SERVERS,
    Findings,
    ModelChoice,
    Offer,
    Wanted,
)
from deskhand.protocol.objects import ModelLabel

LOOPBACK: Final = "127.0.0.1"
SMALL_PARAMETERS: Final = 1_000_000_000
"""Below this many a model cannot run the loop: 0 of 20 tasks were done by what was measured."""
_SECONDS: Final = 0.5
_WAKE_SECONDS: Final = 120.0
_BYTES_MAX: Final = 4 * 1024**2
_CODING_AGENTS: Final = ("claude", "codex", "opencode", "gemini", "qwen")
_EMBEDS: Final = ("embed", "bge-", "rerank", "whisper")
"""Parts of names of models that say nothing."""
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
    ports = {**ports, **_ollama_port(environment)}
    with ThreadPoolExecutor(len(ports)) as pool:
        offered = dict(zip(ports, pool.map(_server, ports, ports.values()), strict=True))
    keys = {one: environment[one] for one in _variables(wanted) if environment.get(one)}
    own = {KEY_VARIABLE, wanted.key_variable}
    looked = {"keys": tuple(one for one in keys if one not in own)}
    looked |= {kind: tuple(one.name for one in found) for kind, found in offered.items()}
    looked["agents"] = tuple(one for one in _CODING_AGENTS if shutil.which(one))
    looked["local"] = tuple(one.name for one in installed)
    packages = {one.package for one in PROVIDERS}
    return Findings(
        wanted=wanted,
        keys=keys,
        packages=frozenset(filter(_importable, packages)),
        servers=tuple(one for found in offered.values() for one in found),
        embedded=tuple(installed),
        looked=looked,
    )


def _importable(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(module) is not None
    return False


def _variables(wanted: Wanted) -> list[str]:
    return [KEY_VARIABLE, wanted.key_variable, *(v for one in PROVIDERS for v in one.variables)]


def _ollama_port(environment: Mapping[str, str]) -> dict[str, int]:
    """Return where Ollama was told to listen, if that is on this computer."""
    said = environment.get("OLLAMA_HOST", "").removeprefix("http://").rstrip("/")
    host, _, port = said.rpartition(":")
    local = host in (LOOPBACK, "localhost", "0.0.0.0")  # noqa: S104 - it listens on loopback too
    return {"ollama": int(port)} if local and port.isdigit() else {}


def _server(kind: str, port: int) -> list[Offer]:
    """Return what one server offers, its own choice first; nothing unless it really is that server."""

    def ask(path: str) -> Obj:
        return _said(port, path, seconds=_SECONDS)

    with suppress(OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        found = _KINDS[kind](ask)
        return [_offer(kind, port, *one) for one in found if not any(e in one[0] for e in _EMBEDS)]
    return []


def wake(offer: Offer) -> None:
    """Let a server load a model, so that it can tell the context it has; longer prompts lose their front there."""
    port, body = int(offer.where.rpartition(":")[2]), {"model": offer.name.partition(":")[2]}
    with suppress(OSError, HTTPException, ValueError):
        _said(port, "/api/generate", seconds=_WAKE_SECONDS, body=body | {"stream": False})


def _said(port: int, path: str, *, seconds: float, body: Obj | None = None) -> Obj:
    """Return what a server here says; nothing when it says no."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=seconds)) as connection:
        connection.request("POST" if body else "GET", path, body=json.dumps(body) if body else None)
        answer = connection.getresponse()
        return json.loads(answer.read(_BYTES_MAX)) if answer.status == HTTPStatus.OK else {}


_Model = tuple[str, int | None, float | None]
"""A model by its name there, its context length and its number of parameters, as far as they are known."""


def _ollama(ask: Ask) -> list[_Model]:
    loaded = {one["name"]: one.get("context_length") for one in ask("/api/ps")["models"]}
    found = sorted(ask("/api/tags")["models"], key=lambda one: one["name"] not in loaded)
    sizes = [_counted(one.get("details", {}).get("parameter_size")) for one in found]
    names = [str(one["name"]) for one in found]
    return [(name, loaded.get(name), size) for name, size in zip(names, sizes, strict=True)]


def _lmstudio(ask: Ask) -> list[_Model]:
    found = [one for one in ask("/api/v0/models")["data"] if one["type"] in ("llm", "vlm")]
    found.sort(key=lambda one: one["state"] != "loaded")
    return [
        (one["id"], one.get("loaded_context_length") or one.get("max_context_length"), None)
        for one in found
    ]


def _llama_server(ask: Ask) -> list[_Model]:
    found = [one for one in ask("/v1/models")["data"] if one["owned_by"] == "llamacpp"]
    context = ask("/props")["default_generation_settings"]["n_ctx"] if found else None
    return [(one["id"], context, one.get("meta", {}).get("n_params")) for one in found]


def _vllm(ask: Ask) -> list[_Model]:
    found = [one for one in ask("/v1/models")["data"] if one["owned_by"] == "vllm"]
    return [(one["id"], one.get("max_model_len"), None) for one in found]


_KINDS: Final[Mapping[str, Callable[[Ask], list[_Model]]]] = {
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "llama-server": _llama_server,
    "vllm": _vllm,
}


def _offer(kind: str, port: int, name: str, context: int | None, parameters: float | None) -> Offer:
    speaks = "ollama" if kind == "ollama" else "openai-chat"
    url = f"http://{LOOPBACK}:{port}/v1"
    return Offer(
        name=f"{kind}:{name}",
        source="server",
        where=f"{LOOPBACK}:{port}",
        choice=ModelChoice(name=f"{speaks}:{name}", base_url=url, context_tokens=context),
        label=size_label(parameters),
    )


def size_label(parameters: float | None) -> ModelLabel | None:
    """Return the label of a model with so many parameters."""
    return "too_small" if parameters is not None and parameters < SMALL_PARAMETERS else None


def _counted(said: object) -> float | None:
    """Return ``"8.0B"`` or ``"134.52M"`` as a number."""
    number, unit = str(said or "")[:-1], str(said or "")[-1:]
    with suppress(ValueError):
        return (
            float(number) * {"K": 1e3, "M": 1e6, "B": 1e9}[unit] if unit in "KMB" and unit else None
        )
    return None
