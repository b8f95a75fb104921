"""Opens language models by name, each provider once, and turns what they complain of into the closed list of errors.

It refuses to log or repeat an API key, and to let a provider's library retry behind our back: waiting is the
runner's, where it survives a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class

from deskhand.errors import Code, DeskhandError

NO_KEY: Final = "none"
"""Sent to a server on this machine that wants no key but whose client library insists on one."""

_CODES: Final[tuple[tuple[type[Exception], Code], ...]] = (
    (ModelContextWindowExceededError, Code.MODEL_CONTEXT),
    (ModelAuthenticationError, Code.MODEL_KEY),
    (ModelQuotaExceededError, Code.MODEL_KEY),
    (ModelNotFoundError, Code.MODEL_UNKNOWN),
    (ModelRateLimitError, Code.MODEL_BUSY),
    (ModelUnavailableError, Code.MODEL_BUSY),
    (ModelServerError, Code.MODEL_BUSY),
    (ModelTimeoutError, Code.MODEL_BUSY),
    (ModelConnectionError, Code.MODEL_BUSY),
    (ContentFilterError, Code.MODEL_REFUSED),
    (ModelRequestRejectedError, Code.MODEL_REFUSED),
)
"""The first that fits wins; any other complaint is ``model_busy``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model by its provider and name (``anthropic:claude-...``), and where and with which key it answers."""

    name: str
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)


class Models:
    """The models that were opened so far; making a provider anew for each turn costs 30 ms and never gives memory back."""

    def __init__(self) -> None:
        """Know none yet."""
        self._open: dict[ModelChoice, Model] = {}
        self._providers: dict[tuple[str, str | None, str | None], Provider[Any]] = {}

    def open(self, choice: ModelChoice) -> Model:
        """Return the model.

        Raises:
            DeskhandError: ``model_unknown`` for a name nobody provides, ``model_key`` where the key is missing.
        """
        if choice not in self._open:
            try:
                self._open[choice] = infer_model(
                    choice.name, lambda provider: self._provider(provider, choice)
                )
            except ImportError as missing:
                raise DeskhandError(Code.MODEL_UNKNOWN, str(missing)) from None
            except (UserError, ValueError) as wrong:
                known = choice.name.partition(":")[0]
                code = Code.MODEL_KEY if "API_KEY" in str(wrong) else Code.MODEL_UNKNOWN
                raise DeskhandError(code, known) from None
        return self._open[choice]

    def _provider(self, name: str, choice: ModelChoice) -> Provider[Any]:
        key = (name, choice.base_url, choice.key)
        if key not in self._providers:
            given: dict[str, str] = {}
            if choice.base_url:
                given = {"base_url": choice.base_url, "api_key": choice.key or NO_KEY}
            elif choice.key:
                given = {"api_key": choice.key}
            self._providers[key] = infer_provider_class(name)(**given)
        return self._providers[key]


def complaint(error: Exception) -> DeskhandError:
    """Return what to tell of a provider's error; how long it asks to wait goes along."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Code.MODEL_BUSY)
    wait = error.retry_after if isinstance(error, ModelAPIError) else None
    named = error.model_name if isinstance(error, ModelAPIError) else ""
    seconds = None if wait is None else max(1, round(wait))
    return DeskhandError(code, named, retry_after_seconds=seconds)
