"""The only door to a tool: finds out the facts of a wish, asks the rules, and carries out what was permitted.

The facts (which folder, how wide it is now, is there a wall) are read anew for every wish and again right before an
effect, never taken from the agent or from memory. It refuses what no rule allows, what changed since it was shown,
and what cannot be shown in full.

What a result brings into a task is found out by where it came from (security 5), never by what an agent says of it;
beyond so many files one of them counts as foreign.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final, cast

from deskhand.egress import parse_target
from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.permissions.evaluate import Judgement, Policy, ask_sentence, heaviest_of, judge, lasting, rule_sentence
from deskhand.permissions.rules import Act, Decision, Risk, Verb, Where, label_of, risk_of, together, weighed
from deskhand.ports import Effect, FolderAccess, Place, Tool, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Action, Label
from deskhand.protocol.wire import JsonObject, canonical, sha256_of
from deskhand.secret import mask
from deskhand.texts import text
from deskhand.tools.beneath import components, guard_protected
from deskhand.tools.builtin import paths_in
from deskhand.tools.outward import FETCH, links_in
from deskhand.workflow.rows import hashable

SHOWN_BYTES_MAX: Final = 200_000
"""What is larger cannot be shown whole on a phone, so it cannot be asked (AP-08)."""

_ALWAYS_DAYS: Final = 30
"""How long a yes for always holds."""

TAINTED: Final = "even then "
"""Begins what a yes covers that was given after foreign content, beside what might leave."""

_LOOKED_AT_MAX: Final = 10_000
_KINDS: Final = ("created", "changed", "deleted")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a task's wishes may act. ``mode`` reads how wide its folder is at this moment.

    ``made`` is the directory that was made for its results, if one was.
    """

    place: Place
    folder: str | None
    mode: Callable[[], FolderMode | None]
    made: str | None = None
    hold: Callable[[Place, FolderMode | None], Place] = lambda place, _: place
    """Returns the place for an effect that was permitted in this mode, which each of its changes looks at again."""
    begins: Callable[[int], None] = lambda _: None
    """Is told which step of the task has its effect next."""
    narrowed: Callable[[FolderMode], bool] = lambda _: False
    """Says whether its folder's own file would let more happen than that mode."""
    mixed: Callable[[], bool] = lambda: False
    """Says whether others write in the folder, too."""
    facts: Callable[[], Label] = Label
    """Returns what is known of the task so far (security 5)."""
    plain: Callable[[str], bool] = lambda _: False
    """Says whether its owner typed an address, or a page it fetched has it as a link."""

    def now(self) -> tuple[Place, FolderMode | None]:
        """Return the place as it is at this moment, and its mode; without a folder, results are our own."""
        mode = self.mode() or (None if self.folder else FolderMode.WORKSPACE)
        return replace(self.place, mode=mode or FolderMode.READ_ONLY), mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is to happen with a wish, which rule decided, and exactly what would run.

    ``why`` is the rule in words, ``sentence`` the question a person would be asked, ``grant`` what a yes for the whole
    task would cover, ``pattern`` the line that a yes for always writes into the policy, until the day ``until``.
    """

    decision: Decision
    rule: str
    why: str
    action: Action
    risk: Risk = "high"
    sentence: str = ""
    grant: str = ""
    pattern: str | None = None
    until: str | None = None
    effect: Effect = "unknown"
    pure: bool = False
    mode: FolderMode | None = None

    @property
    def covered_by(self) -> set[str]:
        """Return whatever, said yes to for the whole task, covers this."""
        return {self.grant, TAINTED + self.grant}

    @property
    def looks(self) -> bool:
        """Return whether it has no effect and is allowed."""
        return self.pure and self.decision is Decision.ALLOW

    @property
    def action_sha256(self) -> str:
        """Return the hash that a yes is bound to."""
        return sha256_of(self.action.to_json())

    @property
    def lasting_sha256(self) -> str:
        """Return the hash without the things themselves, which the action's own effect may have changed."""
        return sha256_of(self.action.but(identity=None, preview=None).to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What a permitted wish came to; ``changes``: path -> created, changed or deleted; ``label``: what it brings in."""

    result: ToolResult
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    label: Label = field(default_factory=Label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate of one runner, before every tool there is; it speaks the language of who reads its sentences."""

    tools: Mapping[str, Tool]
    language: str = "en"
    policy: Callable[[], Policy] = Policy
    today: Callable[[], str] = str

    async def admit(self, call: ToolCall, scope: Scope) -> Ruling:
        """Return what is to happen with a wish, as things are now.

        Raises:
            DeskhandError: ``invalid`` when its arguments cannot even be looked at.
        """
        tool = self.tools.get(call.tool)
        if tool is None:
            action, why = Action(tool=call.tool[:100], arguments={}), self.say("rule.unknown_tool")
            return Ruling(decision=Decision.DENY, rule="unknown_tool", why=why, action=action)
        place, mode = scope.now()
        policy, day = self.policy(), self.today()
        targets = _targets(tool, call.arguments, place)
        hosts = cast("list[object]", call.arguments.get("hosts") or [])
        known = scope.facts()
        look = bool(policy.lines or policy.account)
        about = partial(_act, tool, call, now=(place, mode), look=look)
        narrowed = mode is FolderMode.ASK and scope.narrowed(mode)
        acts = [replace(about(one), day=day, narrowed=narrowed) for one in targets]
        besides: tuple[str, ...] = _said(tool, "sources", call.arguments) or ()
        paths = (str((place.folder or place.results).root / rel) for rel in besides)
        acts += [replace(about(path), day=day, verb="read") for path in paths]
        if hosts and acts[0].verb == "run":
            acts = [replace(act, kind="send", host=str(host)) for act in acts for host in hosts]
            known = together(known, of_place(place, mixed=scope.mixed()))
        plain = tool.kind == "fetch" and all(map(scope.plain, targets))
        acts = [weighed(act, known, plain=plain) for act in acts]
        judgement = heaviest_of(judge(act, policy) for act in acts)
        argv = call.arguments.get("argv")
        action = Action(
            tool=call.tool,
            arguments=cast("JsonObject", hashable(call.arguments)),
            target="\n".join(targets),
            folder=scope.folder,
            argv=tuple(map(str, argv)) if isinstance(argv, list) else None,
        )
        sentence, until, pattern = "", None, None
        risk: Risk = max(map(risk_of, acts), key=("low", "medium", "high").index)
        if judgement.decision is Decision.ASK:
            shown = mask(_said(tool, "preview", call.arguments, place))
            identity = _identity(acts[0], call, targets, place)
            action = action.but(identity=identity, preview=shown)
            sentence = ask_sentence(acts[0], action, known=known, language=self.language)
            if day and risk != "high":
                until = str(date.fromisoformat(day) + timedelta(days=_ALWAYS_DAYS))
                pattern = lasting(acts, policy, until=until)
        if action.argv or sentence:  # what could run, or be asked, must be small enough to be seen
            size = len(canonical(action.to_json()))
            huge = Judgement(decision=Decision.DENY, rule="too_large_to_show")
            judgement = judgement if size <= SHOWN_BYTES_MAX else huge
        return Ruling(
            decision=judgement.decision,
            rule=judgement.rule,
            why=rule_sentence(judgement, language=self.language),
            action=action,
            risk=risk,
            sentence=sentence,
            grant=f"{TAINTED * acts[0].tainted}{risk} {_grant(acts[0], action)}",  # a yes to less is none to more
            pattern=pattern,
            until=until if pattern else None,
            effect=tool.effect,
            pure=not tool.writes and tool.effect == "pure",
            mode=mode,
        )

    async def perform(self, call: ToolCall, scope: Scope, ruling: Ruling) -> Performed:
        """Carry out a wish that was permitted, unless that has changed since (RO-05).

        A tool's refusal or failure is its result; only what must not become one is raised.
        """
        if not ruling.pure:
            now = await self.admit(call, scope)
            asked_anew = now.decision is Decision.ASK and now.action_sha256 != ruling.action_sha256
            if now.decision is Decision.DENY or asked_anew:
                return Performed(result=self.refused(now))
            ruling = now
        place, _ = scope.now()
        kind = None if ruling.pure else _kind(call, place)
        place = place if ruling.pure else scope.hold(place, ruling.mode)
        try:
            result = await self.tools[call.tool].call(call.arguments, place)
        except DeskhandError as error:  # which says something of what was there, too
            label = await self._brought(call, scope, {}, {})
            return Performed(result=self.failed(error), label=label)
        except Exception:  # noqa: BLE001 - whatever a tool does, its attempt goes on
            _log.exception("tool.broke")
            return Performed(result=self.failed(DeskhandError(Code.INTERNAL)))
        # What holds a secret of this computer goes on without it: to the journal, to an agent, to the hub.
        told = replace(result, value=mask(result.value), text=mask(result.text))
        changes = _changes(call, result, kind)
        label = await self._brought(call, scope, result.value, changes)
        return Performed(result=told, changes=changes, label=label)

    async def _brought(self, call: ToolCall, scope: Scope, value: JsonObject, changes: Mapping[str, str]) -> Label:
        """Return what a result brings into a task, and mark what was written after foreign content."""
        place, tool = scope.place, self.tools[call.tool]
        written = [one for one, how in changes.items() if how != "deleted"]

        def look() -> Label:
            label = _of_call(tool, call, place, value, mixed=scope.mixed())
            for path in written if label.untrusted or scope.facts().untrusted else ():
                with suppress(DeskhandError):
                    place.results.mark(path)
            return label

        return await getattr(tool, "offload", _inline)(look)

    def say(self, key: str, **values: object) -> str:
        """Return a sentence of the catalogue."""
        return text(key, language=self.language, **values)

    def targets(self, call: ToolCall, scope: Scope) -> str:
        """Return what a wish touches, for a person who has to look there; empty when nobody knows."""
        tool = self.tools.get(call.tool)
        with suppress(DeskhandError):
            return "\n".join(_targets(tool, call.arguments, scope.now()[0])) if tool else ""
        return ""

    def refused(self, ruling: Ruling) -> ToolResult:
        """Return what an agent gets for a wish that the rules do not let through."""
        said = text(f"refused.{ruling.decision}", language=self.language, why=ruling.why)
        if ruling.rule == "unknown_tool":
            said += f" ({', '.join(self.tools)})"
        return ToolResult(outcome="denied", value={"rule": ruling.rule}, text=said)

    def failed(self, error: DeskhandError) -> ToolResult:
        """Return what an agent gets for a wish that could not be carried out."""
        said = error.sentence(self.language)
        return ToolResult(outcome="error", value={"code": error.code.value}, text=said)


def links_of(turns: Collection[Turn], typed: str) -> set[str]:
    """Return the addresses that were typed, and those that stand in pages that were fetched."""
    found = {*links_in(typed)}
    for turn in turns:
        calls = turn.move.calls if isinstance(turn.move, Wishes) else ()
        for call, result in zip(calls, turn.results, strict=False):
            links = result.value.get("links") if call.tool == FETCH else None
            found.update(map(str, links) if isinstance(links, list) else ())
    return found


def of_place(place: Place, names: Collection[str] = (), *, mixed: bool) -> Label:
    """Return what reading in a place brings; ``names``: which files, as far as they are known."""
    both = {id(one): one for one in (place.folder, place.results) if one is not None}.values()
    many = len(names) > _LOOKED_AT_MAX
    marked = many or any(one.foreign(name) for one in both for name in names)
    if place.folder is None:
        return label_of("results", "results", marked=marked)
    return label_of("mixed" if mixed else "mine", str(place.folder.root), marked=marked)


async def _inline(look: Callable[[], Label]) -> Label:
    """Look here and now."""
    return look()


def _targets(tool: Tool, arguments: JsonObject, place: Place) -> tuple[str, ...]:
    """Return what a wish touches; a tool that touches several things in one call names each."""
    several: tuple[str, ...] = _said(tool, "targets", arguments, place) or ()
    return several or (tool.target(arguments, place),)


def _said(tool: Tool, what: str, *about: object) -> Any:  # noqa: ANN401 - each says something else
    """Return what a tool says of a call, if it is one that says such a thing."""
    asked = getattr(tool, what, None)
    return asked(*about) if asked else None


def _act(tool: Tool, call: ToolCall, target: str, *, now: tuple[Place, FolderMode | None], look: bool) -> Act:
    """Return what a wish is about one target; whether that is a directory only if somebody wants to ``look``."""
    place, mode = now
    verb: Verb = "read" if tool.effect == "pure" else "other"
    if tool.writes:
        verb = "run" if "argv" in call.arguments else "write"
    (where, rel), asked = _where(verb, target, place), None
    if (listed := _said(tool, "reachable", call.arguments)) is not None:
        verb, where, rel = "send", "internet" if listed else "outside", ""
        asked = parse_target(target) if listed else None
    argv = cast("list[object]", call.arguments.get("argv") or [])
    return Act(
        tool=tool.name,
        verb=verb,
        where=where,
        mode=mode if where in ("folder", "internet") else None,
        wall=place.sandbox.info.level,
        protected=_protected(rel),
        folder=str(place.folder.root) if place.folder else None,
        path=rel,
        deep=look and verb in ("read", "write") and _is_directory(rel, where, place),
        argv=tuple(map(str, argv)),
        host=asked.authority if asked else "",
        method="GET" if asked else "",
        url_path=asked.path if asked else "",
        kind=tool.kind,
    )


def _is_directory(rel: str, where: Where, place: Place) -> bool:
    access = place.folder if where == "folder" else place.results
    with suppress(DeskhandError):
        entry = access.stat(rel or ".") if access else None
        return entry is not None and entry.kind == "directory"
    return False


def _where(verb: Verb, target: str, place: Place) -> tuple[Where, str]:
    """Return in which of the task's places a target lies, and its path there."""
    if verb == "run":
        return ("results" if place.folder is None else "folder"), ""
    rel = _beneath(target, place.folder) if place.folder is not None else None
    if rel is not None:
        return "folder", rel
    rel = _beneath(target, place.results)
    if rel is not None:
        return "results", rel
    return ("outside" if target else "nowhere"), target


def _beneath(target: str, access: FolderAccess) -> str | None:
    """Return the path of a target inside a folder; nothing for a spelling that leads or might lead out."""
    root, path = PurePosixPath(access.root), PurePosixPath(target)
    if ".." in path.parts or not path.is_absolute() or not path.is_relative_to(root):
        return None
    rel = str(path.relative_to(root))
    return "" if rel == "." else rel


def _protected(rel: str) -> bool:
    with suppress(DeskhandError):
        guard_protected(components(rel) if rel else ())
        return False
    return True


def _identity(act: Act, call: ToolCall, targets: tuple[str, ...], place: Place) -> str:
    """Return a hash of the things themselves, so that a yes does not outlive a swap (AP-02)."""
    access = place.results if act.where == "results" else place.folder or place.results
    named = [str(part) for part in cast("list[object]", call.arguments.get("argv") or [])]
    inside = [rel for rel in (_beneath(target, access) for target in targets) if rel]
    seen = [[name, _content(access, name)] for name in (*inside, *named)]
    return sha256_of([str(access.root), seen])


def _content(access: FolderAccess, rel: str) -> str:
    """Return a hash of a file as it is now; empty for what is no plain file, size and time of a huge one."""
    with suppress(DeskhandError):
        entry = access.stat(rel)
        if entry is not None and entry.kind == "file":
            huge = entry.size > READ_BYTES_MAX
            return f"{entry.size}:{entry.modified_ns}" if huge else access.sha256(rel)
    return ""


def _grant(act: Act, action: Action) -> str:
    """Return what a yes for the task covers: this exact command, this host, or this tool in this place (AP-10)."""
    if act.verb == "write":
        return json.dumps(["write", action.tool, action.folder])
    if act.where == "internet":
        return json.dumps(["send", action.tool, parse_target(action.target or "").origin])
    hosts = action.arguments.get("hosts") or []
    what = action.argv or (action.target,)
    return json.dumps([act.verb, action.tool, action.folder, hosts, *what])


def _kind(call: ToolCall, place: Place) -> str | None:
    """Return what a write would do to the file it names."""
    path = call.arguments.get("path")
    with suppress(DeskhandError):
        if isinstance(path, str):
            return "created" if place.results.stat(path) is None else "changed"
    return None


def _changes(call: ToolCall, result: ToolResult, kind: str | None) -> Mapping[str, str]:
    """Return which files differ: as the tool says, else by whether the file was there before."""
    said = result.value.get("changes")
    if isinstance(said, list):
        told = {str(one.get("path")): str(one.get("kind")) for one in said if isinstance(one, dict)}
        return {path: how for path, how in told.items() if how in _KINDS}
    if kind is None or result.outcome != "ok":
        return {}
    return {str(result.value.get("to") or call.arguments.get("path")): kind}


def _of_call(tool: Tool, call: ToolCall, place: Place, value: JsonObject, *, mixed: bool) -> Label:
    """Return what a result brings: of the files it names or was asked about, and of the hosts it talked to."""
    source, said = cast("str", getattr(tool, "source", "place")), call.arguments
    url, hosts, argv = (said.get(name) for name in ("url", "hosts", "argv"))
    if source != "place":
        host = str(url).partition("://")[2].partition("/")[0]
        return label_of("web", host) if source == "web" else Label()
    words = [str(word) for word in argv] if isinstance(argv, list) else []
    names = {*words, *paths_in(said), *paths_in(value)}
    web = [label_of("web", str(host)) for host in hosts] if isinstance(hosts, list) else []
    return together(of_place(place, names, mixed=mixed), *web)
