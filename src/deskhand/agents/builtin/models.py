"""Opens language models by name, each provider once, and turns what they complain of into the closed list of errors.

It refuses to log or repeat an API key, to let a provider's library retry behind our back (waiting is the runner's,
where it survives a restart), and to take a scripted program for a model outside the demo and the tests.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from pydantic_ai.exceptions import ModelAPIError, UserError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class

from deskhand.agents.builtin.choosing import STAND_IN, Offer
from deskhand.errors import Code, DeskhandError
from deskhand.limits import RETRY_AFTER_SECONDS_MAX

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PATIENCE: Final = httpx2.Timeout(600.0, connect=5.0)
"""Whether a model went silent is watched elsewhere."""
NO_KEY: Final = "none"
"""Sent to a server on this machine that wants no key but whose client library insists on one."""

_CODES: Final = {
    "ContentFilterError": Code.MODEL_REFUSED,
    "ModelAuthenticationError": Code.MODEL_KEY,
    "ModelContextWindowExceededError": Code.MODEL_CONTEXT,
    "ModelNotFoundError": Code.MODEL_UNKNOWN,
    "ModelQuotaExceededError": Code.MODEL_KEY,
    "ModelRequestRejectedError": Code.MODEL_REFUSED,
}
"""By the names of the library's errors, the most special first; any other complaint is ``model_busy``."""
_TOO_LONG: Final = re.compile(
    r"exceed_context_size|context (?:size|length|window|the overflows)|too (?:long|many tokens)",
    re.IGNORECASE,
)
"""How llama.cpp, LM Studio and others word an overflow that the library takes for any other refusal."""


class Models:
    """The models that were opened so far; making a provider anew for each turn costs 30 ms and never gives memory back."""

    def __init__(self, *, standin: bool = False) -> None:
        """Know none yet; ``standin``: whether a scripted program may pass for a model."""
        self._standin = standin
        self._open: dict[Offer, Model] = {}
        self._providers: dict[tuple[str, str | None, str | None], Provider[Any]] = {}
        self._clients: list[httpx2.AsyncClient] = []

    def open(self, choice: Offer) -> Model:
        """Return the model.

        Raises:
            DeskhandError: ``model_unknown`` for a name nobody provides, ``model_key`` where the key is missing.
        """
        called = choice.model or choice.name
        self._refuse_standin(called.partition(":")[2], choice)
        if choice not in self._open:
            try:
                self._open[choice] = infer_model(
                    called, lambda provider: self._provider(provider, choice)
                )
            except ImportError as missing:
                raise DeskhandError(Code.MODEL_UNKNOWN, str(missing)) from None
            except (UserError, ValueError) as wrong:
                code = Code.MODEL_KEY if "API_KEY" in str(wrong) else Code.MODEL_UNKNOWN
                raise DeskhandError(code, called.partition(":")[0]) from None
        return self._open[choice]

    def believed(self, response: ModelResponse, choice: Offer) -> ModelResponse:
        """Return the response if it is whole and comes from a model.

        Raises:
            DeskhandError: ``model_busy`` for a stream that broke off before it was said why it ends: half an answer
                is none; ``model_unknown`` for a stand-in, which says by itself what it is.
        """
        self._refuse_standin(response.model_name or "", choice)
        whole = response.finish_reason == "content_filter"
        if not whole and not (response.provider_details or {}).get("finish_reason"):
            raise DeskhandError(Code.MODEL_BUSY, choice.name)
        return response

    async def close(self) -> None:
        """Close every connection; a model that is asked again opens new ones."""
        for provider in self._providers.values():
            async with provider:
                pass
        for client in self._clients:
            await client.aclose()
        self._open, self._providers, self._clients = {}, {}, []

    def _refuse_standin(self, name: str, choice: Offer) -> None:
        if name.casefold().startswith(STAND_IN) and not self._standin:
            raise DeskhandError(Code.MODEL_UNKNOWN, f"{choice.name}: stand-in")

    def _provider(self, name: str, choice: Offer) -> Provider[Any]:
        key = (name, choice.base_url, choice.key)
        if key not in self._providers:
            given: dict[str, Any] = {}
            if choice.base_url:
                given = {"base_url": choice.base_url, "api_key": choice.key or NO_KEY}
                if urlsplit(choice.base_url).hostname in _LOCAL:
                    # A proxy of the environment cannot reach it, and must not hear what is said to it.
                    given["http_client"] = httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE)
                    self._clients.append(given["http_client"])
            elif choice.key:
                given = {"api_key": choice.key}
            made = self._providers[key] = infer_provider_class(name)(**given)
            if hasattr(made.client, "max_retries"):
                made.client.max_retries = 0  # said with a request, it costs a copy of the client
        return self._providers[key]


def complaint(error: Exception, model: str) -> DeskhandError:
    """Return what to tell of a provider's error; how long it asks to wait goes along."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    code = next((_CODES[kind] for kind in kinds if kind in _CODES), Code.MODEL_BUSY)
    if code is Code.MODEL_REFUSED and _TOO_LONG.search(str(error)):
        code = Code.MODEL_CONTEXT
    wait = error.retry_after if isinstance(error, ModelAPIError) else None
    seconds = None if wait is None else min(max(1.0, wait), RETRY_AFTER_SECONDS_MAX)
    return DeskhandError(code, model, retry_after_seconds=seconds)
