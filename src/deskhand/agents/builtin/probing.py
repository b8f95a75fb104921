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
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import Any, Final, cast

from deskhand.agents.builtin.choosing import (
    KEY_VARIABLE,
    PROVIDERS,
    SERVERS,
    Findings,
    Look,
    ModelChoice,
    Offer,
    Wanted,
)
from deskhand.protocol.objects import ModelLabel

LOOPBACK: Final = "127.0.0.1"
SMALL_PARAMETERS: Final = 1_000_000_000
"""Below this many a model cannot run the loop: 0 of 20 tasks were done by what was measured."""
OLLAMA_CONTEXT: Final = 4096
"""What Ollama takes unless told otherwise; the front of a longer prompt is cut without a word."""
_SECONDS: Final = 0.5
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
        found = list(pool.map(_server, ports, ports.values()))
    variables = {one: environment[one] for one in _variables(wanted) if environment.get(one)}
    keys = tuple(one for one in variables if one not in (KEY_VARIABLE, wanted.key_variable))
    servers = [
        Look(place=kind, found=tuple(one.name for one in offers))
        for kind, offers in zip(ports, found, strict=True)
    ]
    agents = tuple(one for one in _CODING_AGENTS if shutil.which(one))
    mine = tuple(one.name for one in installed)
    looked = (Look(place="keys", found=keys), *servers)
    return Findings(
        wanted=wanted,
        keys=variables,
        packages=frozenset(one for one in _PACKAGES if _importable(_PACKAGES[one])),
        servers=tuple(offer for offers in found for offer in offers),
        embedded=tuple(installed),
        looked=(*looked, Look(place="agents", found=agents), Look(place="local", found=mine)),
    )


_PACKAGES: Final = {"openai": "openai", "anthropic": "anthropic", "google": "google.genai"}


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
        return asked(LOOPBACK, port, path)

    with suppress(OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        found = _KINDS[kind](ask)
        return [_offer(kind, port, *one) for one in found if not any(e in one[0] for e in _EMBEDS)]
    return []


def asked(host: str, port: int, path: str, body: Obj | None = None) -> Obj:
    """Return what a server says under a path.

    Raises:
        OSError: nobody answers in time.
        HTTPException: what answers does not speak HTTP.
        ValueError: what it says is no JSON object, or a refusal.
    """
    connection = HTTPConnection(host, port, timeout=_SECONDS)
    try:
        given = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, body=given)
        answer = connection.getresponse()
        said: object = json.loads(answer.read(_BYTES_MAX))
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(said, dict):  # noqa: PLR2004 - the one yes of HTTP here
        raise ValueError(path)
    return cast("Obj", said)


_Model = tuple[str, int | None, float | None]
"""A model by its name there, its context length and its number of parameters, as far as they are known."""


def _ollama(ask: Ask) -> list[_Model]:
    loaded = {one["name"]: int(one.get("context_length") or 0) for one in ask("/api/ps")["models"]}
    found = sorted(ask("/api/tags")["models"], key=lambda one: one["name"] not in loaded)
    return [
        (
            str(one["name"]),
            loaded.get(one["name"]) or OLLAMA_CONTEXT,
            _counted(one.get("details", {}).get("parameter_size")),
        )
        for one in found
    ]


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
