"""How an attempt ends: verdict, reasons and counts, as the last thing it says.

Pure but for the stamps of its ops. It refuses to call a thing done that did not pass its checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deskhand.core.verdict import verdict_of
from deskhand.protocol import events as ev
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Changes, TaskState, Usage, Verdict
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.gate import Performed
from deskhand.runner.saying import Voice
from deskhand.texts import text
from deskhand.workflow.attempt import AttemptState
from deskhand.workflow.rows import Step, result_to_json

Differences = Mapping[str, str]
"""Path -> created, changed or deleted, as seen from before the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What there is to say at the end of an attempt."""

    state: AttemptState
    changes: Differences
    epoch: int

    @property
    def failed(self) -> bool:
        """Whether a check of the present try did not pass."""
        return any(not check.passed for check in self.state.checks)

    def done(self, voice: Voice, summary: str, *, language: str) -> list[Op]:
        """Return the end of an attempt whose agent believes it is done."""
        outcome = verdict_of(self.state.checks, unknown_effects=self.state.unknown)
        reasons = tuple(
            text("attempt.check_failed", language=language, name=name) for name in outcome.failed
        )
        return [
            voice.op(
                ev.TaskFinished(
                    state=outcome.state,
                    verdict=outcome.verdict,
                    summary=summary,
                    not_done_because=reasons,
                    changes=self._counted(),
                    usage=Usage(steps=self.state.steps),
                    epoch=self.epoch,
                    happened_at=voice.now,
                )
            )
        ]

    def not_done(self, voice: Voice, reasons: Sequence[str]) -> list[Op]:
        """Return the end of an attempt that could not do it."""
        return [
            voice.op(
                ev.TaskFinished(
                    state=TaskState.FAILED,
                    verdict=Verdict.NOT_DONE,
                    not_done_because=tuple(reasons),
                    changes=self._counted(),
                    usage=Usage(steps=self.state.steps),
                    epoch=self.epoch,
                    happened_at=voice.now,
                )
            )
        ]

    def _counted(self) -> Changes:
        kinds = list(self.changes.values())
        return Changes(
            created=kinds.count("created"),
            changed=kinds.count("changed"),
            deleted=kinds.count("deleted"),
        )


def result_with_changes(performed: Performed) -> JsonObject:
    """Return a result as its row keeps it, with the files that differ because of it."""
    changes: list[Json] = [
        {"path": change.path, "kind": change.kind} for change in performed.changes
    ]
    return {**result_to_json(performed.result), "changes": changes}


def changes_of(steps: Sequence[Step], *, before: Differences | None = None) -> Differences:
    """Return which files differ after these steps, seen from before the first one."""
    found = dict(before or {})
    for step in steps:
        said = (step.result or {}).get("changes") if step.kind == "tool" else None
        for item in said if isinstance(said, list) else []:
            if isinstance(item, dict):
                _differ(found, str(item.get("path")), str(item.get("kind")))
    return found


def _differ(found: dict[str, str], path: str, kind: str) -> None:
    was = found.get(path)
    if was == "created" and kind == "deleted":
        del found[path]
    elif was == "created":
        return
    elif was == "deleted" and kind == "created":
        found[path] = "changed"
    else:
        found[path] = kind
