"""What ``/organize`` and ``/rename`` share: a list of what goes where, moves in few wishes, and the way back.

The list is written before anything moves. No file is ever overwritten: a name that is taken gets a number. It refuses
to call it done when one file stayed where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from deskhand.agents.commands.command import Line, Steps, StoppedError, Voice
from deskhand.agents.commands.filing.making import ending_of
from deskhand.agents.commands.values import named, objects, words
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

_BATCH_MAX: Final = 300
_LISTED_MAX: Final = 1_500
_SHOWN_BYTES_MAX: Final = 30_000
"""An approval must be able to show all of a wish; a list is shown once, moves with their places."""
_SHOWN_MAX: Final = 50
_MOVES_MAX: Final = 9_000
_FACTS_MAX: Final = 2_000
_MIDWAY: Final = ".on-its-way"
_LIST: Final = "-list.csv"


def listed(path: str, voice: Voice) -> Steps[tuple[list[JsonObject], set[str]]]:
    """Return the files that lie directly there and are people's own, and all names below, folded."""
    wish: JsonObject = {"path": path, "recursive": True}
    value = yield from voice.use(voice.call("list_files", "list", wish, path=path))
    if value.get("complete") is not True:
        raise StoppedError(voice.say("moving.too_many", path=path))
    entries = objects(value, "entries")
    prefix = "".join(f"{part}/" for part in path.split("/") if part not in ("", "."))
    own = [
        entry
        for entry in entries
        if entry.get("kind") == "file"
        and "/" not in (name := words(entry, "path").removeprefix(prefix))
        and not name.startswith((".", "~$"))
        and not words(entry, "path").endswith(_LIST)
    ]
    return own, {words(entry, "path").casefold() for entry in entries}


def free(wanted: str, taken: set[str]) -> str:
    """Return the name, with a number where it is taken, and take it."""
    ending = ending_of(wanted)
    stem = wanted[: len(wanted) - len(ending) - 1] if ending else wanted
    name, number = wanted, 2
    while name.casefold() in taken:
        name, number = f"{stem} ({number}).{ending}".rstrip("."), number + 1
    taken.add(name.casefold())
    return name


def move_all(
    pairs: Mapping[str, str], line: Line, voice: Voice, before: Done | None
) -> Steps[Done | GiveUp]:
    """Write the list, move, and end with what must hold of every file."""
    if before is not None:
        return GiveUp(reasons=(voice.say("moving.changed_since"),))
    if not 0 < len(pairs) <= _MOVES_MAX:
        key = "moving.nothing" if not pairs else "moving.too_many"
        raise StoppedError(voice.say(key, path=line.operands[0]))
    lines = [f"- {named(path)} → {named(to)}" for path, to in pairs.items()]
    lines[_SHOWN_MAX:] = [voice.say("find.more", count=len(lines) - _SHOWN_MAX)] * (
        len(lines) > _SHOWN_MAX
    )
    names = yield from _write_lists(pairs, line.name, voice)
    counts: dict[str, object] = {"total": len(pairs), "list": ", ".join(names)}
    if "dry-run" in line.options:
        planned = voice.say("moving.planned", **counts)
        return Done(summary=planned, say="\n".join(lines), outputs=names)
    moved, failed = yield from _moved(pairs, voice)
    if failed:
        done = {path: to for path, (to, _) in moved.items()}
        yield from _write_lists(done, line.name, voice, again=names)
    summary = voice.say("moving.done", count=len(moved), **counts)
    if failed:
        return GiveUp(reasons=(*failed[:_SHOWN_MAX], summary))
    arrived = {to for to, _ in moved.values()}
    facts: list[Json] = [{"path": to, "sha256": digest} for to, digest in moved.values()]
    gone: list[Json] = [{"path": path, "gone": True} for path in moved if path not in arrived]
    facts += gone
    parts = (facts[start : start + _FACTS_MAX] for start in range(0, len(facts), _FACTS_MAX))
    checks = tuple(voice.check("files", "", {"files": part}) for part in parts)
    return Done(summary=summary, say="\n".join(lines), outputs=names, checks=checks)


def _moved(
    pairs: Mapping[str, str], voice: Voice
) -> Steps[tuple[dict[str, tuple[str, str]], list[str]]]:
    """Move what is on no other's place at once, the others by a name on the way; return who moved and who did not."""
    places = {path.casefold() for path in pairs}
    first = {
        path: f"{to}{_MIDWAY}" if to.casefold() in places else to for path, to in pairs.items()
    }
    arrived, failed = yield from _batched(first, voice)
    late = {to: path for path, (to, _) in arrived.items() if to != pairs[path]}
    second, more = yield from _batched({to: pairs[path] for to, path in late.items()}, voice)
    return arrived | {late[to]: done for to, done in second.items()}, [*failed, *more]


def _batched(
    pairs: Mapping[str, str], voice: Voice
) -> Steps[tuple[dict[str, tuple[str, str]], list[str]]]:
    """Return where each arrived, with its hash, and why others did not; a no ends it, a name nobody may touch is found."""
    arrived, failed = dict[str, tuple[str, str]](), list[str]()
    waiting = [*_batches(pairs, _BATCH_MAX)]
    while waiting:
        batch = waiting.pop(0)
        wish: JsonObject = {"paths": [*batch], "to": [*batch.values()]}
        call = voice.call("move_files", "move_all", wish, count=len(batch), first=next(iter(batch)))
        turn = yield Wishes(calls=(call,))
        if len(turn.results) != 1 or turn.results[0].outcome != "ok":
            protected = bool(turn.results) and turn.results[0].value.get("rule") == "protected"
            each, half = [*batch.items()], len(batch) // 2
            if protected and half:
                waiting[:0] = [dict(each[:half]), dict(each[half:])]
                continue
            failed += voice.stopped(call, turn).reasons
            waiting = waiting if protected else []
            continue
        for each in objects(turn.results[0].value, "moved"):
            arrived[words(each, "path")] = words(each, "to"), words(each, "sha256")
        for each in objects(turn.results[0].value, "failed"):
            why = {"path": named(words(each, "path")), "why": words(each, "why")}
            failed.append(voice.say("duplicates.not_moved", **why))
    return arrived, failed


def _batches(
    pairs: Mapping[str, str], most: int, size: int = _SHOWN_BYTES_MAX
) -> Iterator[dict[str, str]]:
    batch, room = dict[str, str](), size
    for path, to in pairs.items():
        room -= len((path + to).encode())
        if batch and (room < 0 or len(batch) >= most):
            yield batch
            batch, room = {}, size
        batch[path] = to
    if batch:
        yield batch


def _write_lists(
    pairs: Mapping[str, str], command: str, voice: Voice, *, again: tuple[str, ...] = ()
) -> Steps[tuple[str, ...]]:
    """Write down what goes where, in as many lists as it takes, and return their names."""
    names = list[str]()
    batches = [*_batches(pairs, _LISTED_MAX, 3 * _SHOWN_BYTES_MAX)]
    batches += [{}] * (len(again) - len(batches))
    for n, batch in enumerate(batches):
        name = again[n] if again else (yield from voice.free_name(f"{command}{_LIST}", None))[0]
        rows: list[Json] = [[path, to] for path, to in batch.items()]
        head: Json = [voice.say("moving.from"), voice.say("moving.to")]
        wish: JsonObject = {"path": name, "replace": bool(again)}
        wish["tables"] = [{"rows": [head, *rows]}]
        yield from voice.use(voice.call("write_document", "write", wish, path=name))
        names.append(name)
    return tuple(names)
