"""Servers on this computer are found by what they answer, quickly, and nothing else is taken for one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest
from typing_extensions import override

from deskhand.agents.builtin.agent import SERVERS, Findings, Wanted
from deskhand.agents.builtin.supply import Embedded, Supply, look
from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret

OLLAMA = {
    "/api/tags": {
        "models": [
            {"name": "nomic-embed-text:latest", "details": {"parameter_size": "137M"}},
            {"name": "tinyllama:latest", "details": {"parameter_size": "1.1B"}},
            {"name": "qwen3:8b", "details": {"parameter_size": "8.2B"}},
            {"name": "smollm:135m", "details": {"parameter_size": "134.52M"}},
        ]
    },
    "/api/ps": {"models": [{"name": "qwen3:8b", "context_length": 32768}]},
}
LMSTUDIO = {
    "/api/v0/models": {
        "data": [
            {"id": "emb", "type": "embeddings", "state": "loaded"},
            {"id": "big", "type": "llm", "state": "not-loaded", "max_context_length": 131072},
            {"id": "gemma", "type": "vlm", "state": "loaded", "max_context_length": 131072,
             "loaded_context_length": 8192},
        ]
    }
}  # fmt: skip
LLAMA = {
    "/v1/models": {"data": [{"id": "m.gguf", "owned_by": "llamacpp", "meta": {"n_params": 1e8}}]},
    "/props": {"default_generation_settings": {"n_ctx": 16384}},
}
VLLM = {"/v1/models": {"data": [{"id": "org/m", "owned_by": "vllm", "max_model_len": 40960}]}}
Pages = Mapping[str, Any]


IMPOSTORS: dict[str, Pages] = {
    "nothing": {},
    "other": {"/v1/models": {"data": [{"id": "gpt", "owned_by": "somebody"}]}},
    "no-json": {"/v1/models": b"<html>", "/api/tags": b"\xff\xfe", "/api/v0/models": b"[]"},
    "wrong-types": {
        "/v1/models": {"data": "x"}, "/api/tags": {"models": [1]}, "/api/v0/models": {"data": 3},
    },
    "missing": {
        "/v1/models": {"data": [{}]}, "/api/tags": {}, "/api/v0/models": {"data": [{"type": 1}]},
    },
    "huge": dict.fromkeys(("/v1/models", "/api/v0/models"), b'{"data":[' + b"1," * 3_000_000),
}  # fmt: skip


@contextmanager
def server(pages: Pages) -> Generator[int]:
    """Serve these pages as JSON, or as the bytes that they are; everything else is a 404."""

    class Handler(BaseHTTPRequestHandler):
        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            page = pages.get(self.path)
            data = page if isinstance(page, bytes) else json.dumps(page or {}).encode()
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write(data)

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made.server_port
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def nobody() -> dict[str, int]:
    """Return ports at which none of the servers listens."""
    return dict.fromkeys(SERVERS, closed_port())


def looked(**ports: int) -> Findings:
    """Look at these ports; the others are closed."""
    closed = nobody()
    return look(Wanted(), environment={}, ports=closed | {k.replace("_", "-"): v for k, v in ports.items()})


@pytest.mark.parametrize(
    ("kind", "pages", "first", "context", "names"),
    [
        ("ollama", OLLAMA, "ollama:qwen3:8b", 32768,
         ["ollama:qwen3:8b", "ollama:tinyllama:latest", "ollama:smollm:135m"]),
        ("lmstudio", LMSTUDIO, "lmstudio:gemma", 8192, ["lmstudio:gemma", "lmstudio:big"]),
        ("vllm", VLLM, "vllm:org/m", 40960, ["vllm:org/m"]),
    ],
)  # fmt: skip
def test_each_server_is_known_by_its_own_api(
    kind: str, pages: Pages, first: str, context: int, names: list[str]
) -> None:
    """What is loaded comes first, what only embeds not at all, and the context is the one that holds now."""
    with server(pages) as port:
        found = looked(**{kind: port})

    offer = found.used
    assert offer is not None
    assert (offer.name, offer.context_tokens) == (first, context)
    assert offer.base_url == f"http://127.0.0.1:{port}/v1"
    assert [one.name for one in found.offers] == names


def test_what_is_too_small_is_labelled_and_never_chosen_by_itself() -> None:
    """A llama-server with 100 million parameters is shown, and nobody's task lands there unasked."""
    with server(LLAMA) as port:
        found = looked(llama_server=port)

    (offer,) = found.offers
    assert (offer.name, offer.label) == ("llama-server:m.gguf", "too_small")
    assert offer.context_tokens == 16384
    assert found.used is None


async def test_ollama_is_made_to_load_a_model_before_its_context_is_believed() -> None:
    """A prompt longer than what it was loaded with loses its front without a word, so nothing is guessed."""
    loaded: Any = {"models": []}
    with server({**OLLAMA, "/api/ps": loaded, "/api/generate": {"done": True}}) as port:
        supply = supply_of(port)
        _, names = await supply.models()
        loaded["models"] = OLLAMA["/api/ps"]["models"]  # as it does while it answers

        offer = await supply.choose(brief_for("ollama:qwen3:8b"))

    assert "ollama:qwen3:8b" in names
    assert offer.context_tokens == 32768


async def test_settings_that_somebody_is_writing_just_now_change_nothing() -> None:
    """A half-written ``config.toml`` takes no model away; the next whole one counts at once."""
    said: list[Wanted | None] = [Wanted(name="my:model"), None, Wanted(name="none")]

    def wanted() -> Wanted:
        found = said.pop(0)
        if found is None:
            raise DeskhandError(Code.CONFIG_INVALID)
        return found

    supply = supply_of(closed_port(), wanted=wanted)

    names = [info and info.name for info, _ in [await supply.models() for _ in range(3)]]

    assert names == ["my:model", "my:model", None]


def supply_of(port: int, *, wanted: Callable[[], Wanted] = Wanted) -> Supply:
    """Return what a computer has on which only Ollama runs."""
    ports, clock = nobody() | {"ollama": port}, SystemClock()
    return Supply(
        wanted=wanted,
        look=lambda wanted: look(wanted, environment={}, ports=ports),
        own=Embedded(Ids(clock)),
        clock=clock,
    )


def brief_for(model: str) -> Brief:
    return Brief(
        task="tsk_1", thread="thr_1", epoch=1, title="", text="", agent="builtin", model=model,
        origin=Origin(surface="cli"), trust=Trust.OWNER, created_at="2026-01-02T08:30:00.000Z",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["ollama", "lmstudio", "llama_server", "vllm"])
@pytest.mark.parametrize("pages", IMPOSTORS.values(), ids=IMPOSTORS)
def test_what_only_listens_there_is_no_model_server(kind: str, pages: Pages) -> None:
    """A development server on port 8000 or 8080 is common; it is left alone."""
    with server(pages) as port:
        found = looked(**{kind: port})

    assert found.here == ()


def test_servers_that_say_nothing_cost_half_a_second_together() -> None:
    """All are asked at the same time, and none for long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port, began = int(silent.getsockname()[1]), monotonic()
        found = looked(ollama=port, lmstudio=port, llama_server=port, vllm=port)

    assert found.here == ()
    assert monotonic() - began < 3


@pytest.mark.parametrize(
    ("said", "there"),
    [("127.0.0.1:{}", True), ("http://localhost:{}/", True), ("0.0.0.0:{}", True),
     ("10.0.0.9:{}", False), ("127.0.0.1", False)],
)  # fmt: skip
def test_ollama_is_looked_for_where_it_was_told_to_listen(
    said: str,
    there: bool,  # noqa: FBT001 - the table says it
) -> None:
    """``OLLAMA_HOST`` counts where it names this computer; no other is called."""
    with server(OLLAMA) as port:
        closed = nobody()
        found = look(Wanted(), environment={"OLLAMA_HOST": said.format(port)}, ports=closed)

    assert bool(found.here) is there


def test_keys_are_found_by_their_variable_and_empty_ones_are_none() -> None:
    """SE-01: what is told of a key is the name of its variable; one of the environment wins over one that was kept."""
    environment = {"OPENAI_API_KEY": "canary", "ANTHROPIC_API_KEY": "", "PATH": "/bin"}
    closed, kept = (nobody(), {one: Secret(one, "kept") for one in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")})

    found = look(Wanted(), environment=environment, ports=closed)
    with_kept = look(Wanted(), environment=environment, kept=kept, ports=closed)

    assert found.looked["keys"] == ("OPENAI_API_KEY",)
    assert "canary" not in repr(found)
    assert {name: one.reveal() for name, one in with_kept.keys.items()} == {
        "OPENAI_API_KEY": "canary",
        "ANTHROPIC_API_KEY": "kept",
    }
