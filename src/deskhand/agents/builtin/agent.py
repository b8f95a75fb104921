"""The built-in agent: thinks with a language model, and judges with it from a fresh start; and which model that is.

It keeps nothing between moves: the history is the conversation. What talks to models is brought in when it is first
needed, off the loop, because that takes a second: a process holds the agent from its start, so this stays light. It
refuses to run a tool.

The model is decided from what was found on this computer. Config wins over API keys, those over a running local server,
that over a model installed here. It refuses to take another model than the one that was named, to send a provider's key
to any other address, and to offer the stand-in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import import_module
from typing import Any, Final, Literal

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Evidence, Judgement, Move, Offload, ToolInfo, Turn
from deskhand.protocol.objects import FolderMode, ModelInfo, ModelLabel
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret
from deskhand.texts import table


@dataclass(kw_only=True, eq=False)
class BuiltInAgent:
    """Thinks with a language model; also a verifier.

    Args:
        choose: the model of a task, asked for each move: what there is may change.
        scene: where a task works, asked for each move.
        tools: what it may wish for.
        offload: brings the model's libraries in, which takes a second.
        hear: gets each piece of text as the model of a task says it; nothing when it begins anew.
        language: of what it is told and of what it says about itself.
        standin: whether a scripted program may pass for a model; for the demo and the tests alone.
        silent_seconds: how long a model may say nothing.
    """

    name = "builtin"
    choose: Callable[[Brief], Awaitable[Offer]]
    scene: Callable[[Brief], Scene]
    tools: tuple[ToolInfo, ...]
    offload: Offload
    hear: Callable[[Brief, str | None], None] = lambda _, __: None
    language: str = "en"
    standin: bool = False
    silent_seconds: float = 120.0
    _thinker: Any = field(default=None, init=False)  # its types would bring it in

    async def warm(self) -> Any:  # noqa: ANN401 - as above
        """Return what talks to models, brought in when it is first needed; before the first move, so that it is not slow."""
        if self._thinker is None:
            thinking = await self.offload(lambda: import_module("deskhand.agents.builtin.thinking"))
            self._thinker = self._thinker or thinking.Thinker(self)
        return self._thinker

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``model_busy`` (try again, perhaps after a while), ``model_key``, ``model_unknown``,
                ``model_context`` when even the folded history does not fit, ``model_refused``.
        """
        return await (await self.warm()).move(brief, history)

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Return one check for each criterion that could be judged from the evidence alone.

        Raises:
            DeskhandError: as for a move.
        """
        return await (await self.warm()).judge(brief, criteria, evidence)

    async def close(self) -> None:
        """Close the connections to models."""
        if self._thinker is not None:
            await self._thinker.close()


OFF: Final = "none"
"""What ``model.name`` says where no model may think by itself."""
STAND_IN: Final = "stand-in"
EMBEDDED: Final = "local"
KEY_VARIABLE: Final = "DESKHAND_MODEL_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that this computer can think with, and where and with which key it answers.

    ``name`` is how people write it (``anthropic:claude-...``), ``model`` how it is called over the wire where that is
    something else, ``where`` how it was found. ``lacks`` is why it cannot be used, with ``where`` naming what is
    missing; ``file`` is a model that we serve ourselves.
    """

    name: str
    source: Literal["config", "key", "server", "embedded"] = "config"
    where: str = ""
    model: str = ""
    base_url: str | None = None
    key: Secret | None = None
    context_tokens: int | None = None
    label: ModelLabel | None = None
    lacks: Code | None = None
    file: str | None = None

    @property
    def info(self) -> ModelInfo:
        """Return what others are told of it; never its key or address."""
        return ModelInfo(name=self.name, source=self.source, label=self.label, context_tokens=self.context_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the settings of this computer say of models."""

    name: str = ""
    base_url: str = ""
    key_variable: str = ""
    context_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found: the settings, the keys by the name of their variable, and what is ``here``, in order.

    ``looked`` says of each place that was looked at what was there.
    """

    wanted: Wanted = field(default_factory=Wanted)
    keys: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    packages: frozenset[str] = frozenset()
    here: tuple[Offer, ...] = ()
    looked: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Every model that was found, first the one that wins; what lacks something says so."""
        wanted = self.wanted
        first = [_resolved(self, wanted)] if wanted.name not in ("", OFF) else []
        keyed = [
            replace(_resolved(self, Wanted(name=f"{name}:{one.model}")), source="key")
            for name, one in PROVIDERS.items()
            if not self.keys.keys().isdisjoint(one.variables)
        ]
        others = (one for one in (*keyed, *self.here) if _bare(one) != STAND_IN)
        return (*first, *(one for one in others if not first or one.name != first[0].name))

    @property
    def used(self) -> Offer | None:
        """The model that thinks unless a task names another; nothing when there is none or none is wanted.

        One that is too small for work thinks only where somebody chose it.
        """
        if self.wanted.name:
            return self.offers[0] if self.wanted.name != OFF else None
        return next((one for one in self.offers if one.lacks is None and one.label is None), None)

    def named(self, name: str) -> Offer:
        """Return the model of this name, or refuse: there is never another one in its place.

        Raises:
            DeskhandError: ``model_unknown``; ``model_key`` naming the variable that is missing.
        """
        wanted, kind = self.wanted, name.partition(":")[0]
        if name != wanted.name:
            same_place = wanted.base_url and ":" in name and kind == wanted.name.partition(":")[0]
            wanted = replace(wanted, name=name) if same_place else Wanted(name=name)
        offer = _resolved(self, wanted)
        if offer.lacks is not None:
            raise DeskhandError(offer.lacks, f"{name}: {offer.where}".strip(": "))
        return offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a task works. ``now`` is at the person's place; ``root`` and ``mode`` are what this computer grants."""

    now: datetime
    computer: str
    root: str | None = None
    mode: FolderMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider in the cloud."""

    model: str
    variables: list[str]
    context_tokens: int = 128_000
    package: str = "openai"


KNOWN: Final = table("deskhand.agents.builtin", "known.toml")
PROVIDERS: Final = {name: Provider(**one) for name, one in KNOWN["providers"].items()}
SERVERS: Final[Mapping[str, int]] = KNOWN["servers"]
CATALOGUE: Final[Mapping[str, str]] = KNOWN["models"]
_DIALECTS: Final = KNOWN["dialects"]


def _resolved(found: Findings, wanted: Wanted) -> Offer:
    """Return the model that is meant, with what it lacks here."""
    kind, _, model = wanted.name.partition(":")
    offer = Offer(name=wanted.name, context_tokens=wanted.context_tokens or None)
    if wanted.base_url:
        return _at_address(found, wanted, offer)
    for one in found.here:
        if wanted.name in (one.name, _bare(one)):
            return replace(one, context_tokens=offer.context_tokens or one.context_tokens)
    provider = _DIALECTS["same"].get(kind, kind)
    if model and provider in PROVIDERS:
        return _keyed(found, provider, wanted, offer)
    if model and kind not in (*SERVERS, EMBEDDED):
        return offer  # of another provider its own library knows
    where = f"{kind} 127.0.0.1:{SERVERS[kind]}" if kind in SERVERS else ""
    return replace(offer, where=where, lacks=Code.MODEL_UNKNOWN)


def _at_address(found: Findings, wanted: Wanted, offer: Offer) -> Offer:
    """Return a model at the address that the settings name; only the key that they name goes there."""
    name, variable, url = wanted.name, wanted.key_variable, wanted.base_url
    key = found.keys.get(variable)
    if key is None and variable not in ("", KEY_VARIABLE):
        return replace(offer, where=variable, lacks=Code.MODEL_KEY)
    kind, _, model = name.partition(":")
    speaks = name if model and kind in _DIALECTS["anywhere"] else f"openai-chat:{name}"
    label = "stand_in" if speaks.partition(":")[2].startswith(STAND_IN) else None
    return replace(offer, model=speaks, where=url, base_url=url, key=key, label=label)


def _keyed(found: Findings, name: str, wanted: Wanted, offer: Offer) -> Offer:
    """Return a model of a provider in the cloud, which needs its key and its library."""
    provider, own = PROVIDERS[name], wanted.key_variable
    variables = (own,) if own not in ("", KEY_VARIABLE) else (own, *provider.variables)
    where = next((one for one in variables if one in found.keys), variables[-1])
    if where not in found.keys:
        return replace(offer, where=where, lacks=Code.MODEL_KEY)
    if provider.package not in found.packages:
        return replace(offer, where=f"pip install 'deskhand[{name}]'", lacks=Code.MODEL_UNKNOWN)
    tokens = offer.context_tokens or provider.context_tokens
    return replace(offer, where=where, key=found.keys[where], context_tokens=tokens)


def _bare(offer: Offer) -> str:
    return offer.name.partition(":")[2]
