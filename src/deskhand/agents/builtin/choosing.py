"""Which model thinks for a task, decided from what was found on this computer. Pure.

Config wins over API keys, those over a running local server, that over a model installed here. It refuses to take
another model than the one that was named, to send a provider's key to any other address, and to offer the stand-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import ModelInfo, ModelLabel

OFF: Final = "none"
"""What ``model.name`` says where no model may think by itself."""
STAND_IN: Final = "stand-in"
KEY_VARIABLE: Final = "DESKHAND_MODEL_API_KEY"
Source = Literal["config", "key", "server", "embedded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model by its provider and name (``anthropic:claude-...``), and where and with which key it answers."""

    name: str
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that this computer can think with. ``name`` is how people write it, ``where`` how it was found.

    ``lacks`` is why it cannot be used, with ``where`` naming what is missing; ``file`` is a model that we serve
    ourselves.
    """

    name: str
    source: Source
    where: str
    choice: ModelChoice
    label: ModelLabel | None = None
    lacks: Code | None = None
    file: str | None = None

    @property
    def info(self) -> ModelInfo:
        """Return what others are told of it; never its key or address."""
        tokens = self.choice.context_tokens
        return ModelInfo(
            name=self.name, source=self.source, label=self.label, context_tokens=tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the settings of this computer say of models."""

    name: str = ""
    base_url: str = ""
    key_variable: str = ""
    context_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found: the settings, the keys by the name of their variable, and the offers in their order.

    ``looked`` says of each place that was looked at what was there.
    """

    wanted: Wanted = field(default_factory=Wanted)
    keys: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    packages: frozenset[str] = frozenset()
    servers: tuple[Offer, ...] = ()
    embedded: tuple[Offer, ...] = ()
    looked: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


class Provider(NamedTuple):
    """A provider in the cloud. ``model`` is what is taken unless one is named; ``package`` is what its extra brings."""

    name: str
    model: str
    variables: tuple[str, ...]
    context_tokens: int = 128_000
    package: str = "openai"


PROVIDERS: Final = (
    Provider("anthropic", "claude-sonnet-5-5", ("ANTHROPIC_API_KEY",), 200_000, "anthropic"),
    Provider("openai", "gpt-6.1-terra", ("OPENAI_API_KEY",)),
    Provider(
        "google", "gemini-3.8-flash", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), 128_000, "google.genai"
    ),
    Provider("openrouter", "openrouter/auto", ("OPENROUTER_API_KEY",)),
    Provider("deepseek", "deepseek-v4-pro", ("DEEPSEEK_API_KEY",)),
)
"""In the order in which a key is taken. Context lengths are what each of a provider's models has at least."""
_SAME: Final = {"openai-chat": "openai", "openai-responses": "openai"}
SERVERS: Final = {
    "ollama": 11434,
    "lmstudio": 1234,
    "llama-server": 8080,
    "vllm": 8000,
}
"""Servers on this machine and where they listen unless told otherwise."""
EMBEDDED: Final = "local"
_SPEAKING: Final = frozenset({"anthropic", "google", "ollama", "openai", "openrouter"})


def offers_of(found: Findings) -> tuple[Offer, ...]:
    """Return every model that was found, first the one that wins; what lacks something says so."""
    wanted = found.wanted
    first = [_resolved(found, wanted)] if wanted.name not in ("", OFF) else []
    keyed = [
        _resolved(found, Wanted(name=f"{one.name}:{one.model}"), source="key")
        for one in PROVIDERS
        if any(found.keys.get(variable) for variable in one.variables)
    ]
    others = (one for one in (*keyed, *found.servers, *found.embedded) if _name(one) != STAND_IN)
    return (*first, *(one for one in others if not first or one.name != first[0].name))


def chosen(found: Findings) -> Offer | None:
    """Return the model that thinks unless a task names another; nothing when there is none or none is wanted.

    One that is too small for work thinks only where somebody chose it.
    """
    offers = offers_of(found)
    if found.wanted.name:
        return offers[0] if found.wanted.name != OFF else None
    return next((one for one in offers if one.lacks is None and one.label is None), None)


def named(found: Findings, name: str) -> Offer:
    """Return the model of this name, or refuse: there is never another one in its place.

    Raises:
        DeskhandError: ``model_unknown``; ``model_key`` naming the variable that is missing.
    """
    wanted, kind = found.wanted, name.partition(":")[0]
    if name != wanted.name:
        same_place = wanted.base_url and ":" in name and kind == wanted.name.partition(":")[0]
        wanted = replace(wanted, name=name) if same_place else Wanted(name=name)
    offer = _resolved(found, wanted)
    if offer.lacks is not None:
        raise DeskhandError(offer.lacks, f"{name}: {offer.where}".strip(": "))
    return offer


def _resolved(found: Findings, wanted: Wanted, *, source: Source = "config") -> Offer:
    """Return the model that is meant, with what it lacks here."""
    kind, _, model = wanted.name.partition(":")
    if wanted.base_url:
        return _at_address(found, wanted)
    for one in (*found.servers, *found.embedded):
        if wanted.name in (one.name, _name(one)):
            tokens = wanted.context_tokens or one.choice.context_tokens
            return replace(one, choice=replace(one.choice, context_tokens=tokens))
    provider = next((one for one in PROVIDERS if one.name == _SAME.get(kind, kind)), None)
    if provider is not None and model:
        return _keyed(found, provider, wanted, source=source)
    here = kind in SERVERS or kind == EMBEDDED or not model
    where = f"{kind} 127.0.0.1:{SERVERS[kind]}" if kind in SERVERS else ""
    choice = ModelChoice(name=wanted.name, context_tokens=wanted.context_tokens or None)
    lacks = Code.MODEL_UNKNOWN if here else None  # of another provider its own library knows
    return Offer(name=wanted.name, source=source, where=where, choice=choice, lacks=lacks)


def _at_address(found: Findings, wanted: Wanted) -> Offer:
    """Return a model at the address that the settings name; only the key that they name goes there."""
    name, variable = wanted.name, wanted.key_variable
    kind, _, model = name.partition(":")
    speaks = name if model and (kind in _SPEAKING or kind in _SAME) else f"openai-chat:{name}"
    key = found.keys.get(variable)
    asked = variable not in ("", KEY_VARIABLE)
    lacks = Code.MODEL_KEY if key is None and asked else None
    tokens, url = wanted.context_tokens or None, wanted.base_url
    choice = ModelChoice(name=speaks, base_url=url, key=key, context_tokens=tokens)
    label = "stand_in" if speaks.partition(":")[2].startswith(STAND_IN) else None
    where = variable if lacks else url
    return Offer(name=name, source="config", where=where, choice=choice, label=label, lacks=lacks)


def _keyed(found: Findings, provider: Provider, wanted: Wanted, *, source: Source) -> Offer:
    """Return a model of a provider in the cloud, which needs its key and its library."""
    own = wanted.key_variable
    variables = (own,) if own not in ("", KEY_VARIABLE) else (own, *provider.variables)
    variable = next((one for one in variables if found.keys.get(one)), variables[-1])
    key, where, lacks = found.keys.get(variable), variable, None
    if key is None:
        lacks = Code.MODEL_KEY
    elif provider.package not in found.packages:
        where, lacks = f"pip install 'deskhand[{provider.name}]'", Code.MODEL_UNKNOWN
    tokens = wanted.context_tokens or provider.context_tokens
    choice = ModelChoice(name=wanted.name, key=key, context_tokens=tokens)
    return Offer(name=wanted.name, source=source, where=where, choice=choice, lacks=lacks)


def _name(offer: Offer) -> str:
    return offer.name.partition(":")[2]
