"""The only door to a tool: finds out the facts of a wish, asks the rules, and carries out what was permitted.

The facts (which folder, how wide it is now, is there a wall) are read anew for every wish and again right before an
effect, never taken from the agent or from memory. It refuses what no rule allows, what changed since it was shown,
and what cannot be shown in full.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final, Literal, Protocol, cast, runtime_checkable

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.permissions.evaluate import Judgement, evaluate, heaviest_of
from deskhand.permissions.explain import ask_sentence, refusal_sentence, rule_sentence
from deskhand.permissions.rules import BUILT_IN, Act, Decision, Risk, Rule, Verb, Where, risk_of
from deskhand.ports import Effect, FolderAccess, Place, Tool, ToolCall, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Action
from deskhand.protocol.wire import JsonObject, canonical, sha256_of
from deskhand.tools.names import components, guard_protected
from deskhand.workflow.rows import hashable

SHOWN_BYTES_MAX: Final = 200_000
"""What is larger cannot be shown whole on a phone, so it cannot be asked (AP-08)."""

ChangeKind = Literal["created", "changed", "deleted"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a task's wishes may act. ``mode`` reads how wide its folder is at this moment."""

    place: Place
    folder: str | None
    mode: Callable[[], FolderMode | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is to happen with a wish, which rule decided, and exactly what would run.

    ``why`` is the rule in words, ``sentence`` the question a person would be asked, ``grant`` what a yes for the
    whole task would cover.
    """

    decision: Decision
    rule: str
    why: str
    action: Action
    action_sha256: str
    risk: Risk
    sentence: str
    grant: str
    effect: Effect
    pure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file that a wish made, changed or took away."""

    path: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What a permitted wish came to."""

    result: ToolResult
    changes: tuple[Change, ...] = ()


@runtime_checkable
class ManyTargets(Protocol):
    """A tool that touches several things in one call."""

    def targets(self, arguments: JsonObject, place: Place) -> tuple[str, ...]:
        """Return each of them, resolved."""
        ...


class Gate:
    """The gate of one runner.

    Args:
        tools: every tool there is, by name.
        rules: what is allowed; added rules can only narrow as far as they deny.
        language: for sentences that people read.
    """

    def __init__(
        self, *, tools: Mapping[str, Tool], rules: tuple[Rule, ...] = BUILT_IN, language: str = "en"
    ) -> None:
        """Keep the parts."""
        self._tools = tools
        self._rules = rules
        self._language = language

    async def admit(self, call: ToolCall, scope: Scope) -> Ruling:
        """Return what is to happen with a wish, as things are now.

        Raises:
            DeskhandError: ``invalid`` when its arguments cannot even be looked at.
        """
        tool = self._tools.get(call.tool)
        if tool is None:
            return self._unknown(call)
        mode = scope.mode() if scope.folder else None
        place = _place_now(scope, mode)
        targets = _targets(tool, call.arguments, place)
        acts = [_act(tool, call, target, place, mode=mode) for target in targets]
        judgement = heaviest_of(evaluate(self._rules, act) for act in acts)
        action = _action(call, targets, scope)
        if judgement.decision is Decision.ASK:
            action = action.but(identity=_identity(acts[0], call, targets, place))
            if len(canonical(action.to_json())) > SHOWN_BYTES_MAX:
                judgement = Judgement(decision=Decision.DENY, rule="too_large_to_show")
        return self._ruling(judgement, tool, acts, action)

    async def perform(self, call: ToolCall, scope: Scope, ruling: Ruling) -> Performed:
        """Carry out a wish that was permitted, unless that has changed since (RO-05).

        A tool's refusal or failure is its result; only what must not become one is raised.
        """
        if not ruling.pure:
            refusal = _narrowed(ruling, await self.admit(call, scope), language=self._language)
            if refusal is not None:
                return Performed(result=refusal)
        place = _place_now(scope, scope.mode() if scope.folder else None)
        kind = None if ruling.pure else _kind(call, place)
        try:
            result = await self._tools[call.tool].call(call.arguments, place)
        except DeskhandError as error:
            value: JsonObject = {"code": error.code.value}
            said = error.sentence(self._language)
            return Performed(result=ToolResult(outcome="error", value=value, text=said))
        except Exception:  # noqa: BLE001 - whatever a tool does, its attempt goes on
            _log.exception("tool.broke")
            said = DeskhandError(Code.INTERNAL).sentence(self._language)
            value = {"code": Code.INTERNAL.value}
            return Performed(result=ToolResult(outcome="error", value=value, text=said))
        return Performed(result=result, changes=_changes(call, result, kind))

    def tool(self, name: str) -> Tool | None:
        """Return a tool, for its class of recovery and its own probe."""
        return self._tools.get(name)

    def _ruling(self, judgement: Judgement, tool: Tool, acts: list[Act], action: Action) -> Ruling:
        asked = judgement.decision is Decision.ASK
        return Ruling(
            decision=judgement.decision,
            rule=judgement.rule,
            why=rule_sentence(judgement.rule, language=self._language),
            action=action,
            action_sha256=sha256_of(action.to_json()),
            risk=_highest([risk_of(act) for act in acts]),
            sentence=ask_sentence(acts[0], action, language=self._language) if asked else "",
            grant=_grant(acts[0], action),
            effect=tool.effect,
            pure=not tool.writes and tool.effect == "pure",
        )

    def _unknown(self, call: ToolCall) -> Ruling:
        action = Action(tool=call.tool[:100], arguments={})
        return Ruling(
            decision=Decision.DENY,
            rule="unknown_tool",
            why=rule_sentence("unknown_tool", language=self._language),
            action=action,
            action_sha256=sha256_of(action.to_json()),
            risk="high",
            sentence="",
            grant="",
            effect="unknown",
            pure=False,
        )


def denied(why: str, *, language: str = "en") -> ToolResult:
    """Return what an agent gets for a wish that the rules refuse."""
    said = refusal_sentence(why, decision=Decision.DENY, language=language)
    return ToolResult(outcome="denied", value={"rule": why}, text=said)


def _narrowed(before: Ruling, now: Ruling, *, language: str) -> ToolResult | None:
    """Return a refusal when less is permitted now than when the wish was let in."""
    if now.decision is Decision.DENY:
        return denied(now.rule, language=language)
    if now.decision is Decision.ASK and now.action_sha256 != before.action_sha256:
        said = refusal_sentence(now.rule, decision=Decision.ASK, language=language)
        return ToolResult(outcome="denied", value={"rule": now.rule}, text=said)
    return None


def _place_now(scope: Scope, mode: FolderMode | None) -> Place:
    """Return the place with the mode of this moment; without a folder the results place is our own."""
    if scope.folder is None:
        return replace(scope.place, mode=FolderMode.WORKSPACE)
    return replace(scope.place, mode=mode or FolderMode.READ_ONLY)


def _act(tool: Tool, call: ToolCall, target: str, place: Place, *, mode: FolderMode | None) -> Act:
    verb = _verb(tool, call)
    where, rel = _where(verb, target, place)
    return Act(
        tool=tool.name,
        verb=verb,
        where=where,
        mode=mode if where == "folder" else None,
        wall=place.sandbox.info.level,
        protected=_protected(rel),
    )


def _highest(risks: list[Risk]) -> Risk:
    return max(risks, key=("low", "medium", "high").index)


def _verb(tool: Tool, call: ToolCall) -> Verb:
    if not tool.writes:
        return "read" if tool.effect == "pure" else "other"
    return "run" if "argv" in call.arguments else "write"


def _targets(tool: Tool, arguments: JsonObject, place: Place) -> tuple[str, ...]:
    if isinstance(tool, ManyTargets):
        return tool.targets(arguments, place) or (tool.target(arguments, place),)
    return (tool.target(arguments, place),)


def _where(verb: Verb, target: str, place: Place) -> tuple[Where, str]:
    """Return in which of the task's places a target lies, and its path there."""
    if verb == "run":
        return ("results" if place.folder is None else "folder"), ""
    if place.folder is not None:
        rel = _beneath(target, place.folder)
        if rel is not None:
            return "folder", rel
    rel = _beneath(target, place.results)
    if rel is not None:
        return "results", rel
    return ("nowhere" if not target else "outside"), target


def _beneath(target: str, access: FolderAccess) -> str | None:
    """Return the path of a target inside a folder; nothing for a spelling that leads or might lead out."""
    root, path = PurePosixPath(access.root), PurePosixPath(target)
    if ".." in path.parts or not path.is_absolute() or not path.is_relative_to(root):
        return None
    return str(path.relative_to(root))


def _protected(rel: str) -> bool:
    try:
        guard_protected(components(rel) if rel else ())
    except DeskhandError:
        return True
    return False


def _action(call: ToolCall, targets: tuple[str, ...], scope: Scope) -> Action:
    argv = call.arguments.get("argv")
    return Action(
        tool=call.tool,
        arguments=cast("JsonObject", hashable(call.arguments)),
        target="\n".join(targets),
        folder=scope.folder,
        argv=tuple(str(part) for part in argv) if isinstance(argv, list) else None,
    )


def _identity(act: Act, call: ToolCall, targets: tuple[str, ...], place: Place) -> str:
    """Return a hash of the things themselves, so that a yes does not outlive a swap (AP-02)."""
    access = place.results if act.where == "results" else place.folder or place.results
    named = [str(part) for part in cast("list[object]", call.arguments.get("argv") or [])]
    inside = [rel for rel in (_beneath(target, access) for target in targets) if rel]
    seen = [[name, _content(access, name)] for name in (*inside, *named)]
    return sha256_of([str(access.root), seen])


def _content(access: FolderAccess, rel: str) -> str:
    """Return a hash of a file as it is now; empty for what is no plain file of ordinary size."""
    try:
        entry = access.stat(rel)
        if entry is None or entry.kind != "file":
            return ""
        if entry.size > READ_BYTES_MAX:
            return f"{entry.size}:{entry.modified_ns}"
        return hashlib.sha256(access.read(rel, limit=READ_BYTES_MAX)).hexdigest()
    except DeskhandError:
        return ""


def _grant(act: Act, action: Action) -> str:
    """Return what a yes for the whole task covers: this exact command, or this tool in this place (AP-10)."""
    if act.verb == "write":
        return json.dumps(["write", action.tool, action.folder])
    return json.dumps([act.verb, action.tool, action.folder, *(action.argv or (action.target,))])


def _kind(call: ToolCall, place: Place) -> ChangeKind | None:
    """Return what a write would do to the file it names."""
    path = call.arguments.get("path")
    if not isinstance(path, str):
        return None
    try:
        return "created" if place.results.stat(path) is None else "changed"
    except DeskhandError:
        return None


def _changes(call: ToolCall, result: ToolResult, kind: ChangeKind | None) -> tuple[Change, ...]:
    """Return which files differ: as the tool says, else by whether the file was there before."""
    said = result.value.get("changes")
    if isinstance(said, list):
        items = [cast("JsonObject", item) for item in said if isinstance(item, dict)]
        return tuple(
            Change(path=str(item["path"]), kind=cast("ChangeKind", item["kind"]))
            for item in items
            if item.get("kind") in ("created", "changed", "deleted") and "path" in item
        )
    if kind is None or result.outcome != "ok":
        return ()
    return (Change(path=str(result.value.get("to") or call.arguments.get("path")), kind=kind),)
