"""What of a thread goes with a task: its newest messages and results, bounded, each with its trust.

Pure. It refuses to grow: older text is left out first, and a long text is cut where it can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deskhand.limits import CONTEXT_CHARS_MAX, CONTEXT_ITEM_CHARS_MAX, CONTEXT_MESSAGES_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Trust
from deskhand.protocol.tasks import ContextItem, Task

_CUT = " […]"


TaskOf = Callable[[str], Task | None]


def context_of(
    events: Sequence[ev.Event], *, but_task: str, task_of: TaskOf = lambda _: None
) -> tuple[ContextItem, ...]:
    """Return the items for a brief, oldest first.

    Args:
        events: the thread's newest ``message.posted`` and ``task.finished``, oldest first.
        but_task: the task itself, whose own message is its text already.
        task_of: the tasks that ended, for the files they made.
    """
    items: list[ContextItem] = []
    left = CONTEXT_CHARS_MAX
    for event in reversed(events):
        item = None if event.task == but_task else _item(event, task_of)
        if item is None:
            continue
        if left <= len(_CUT) or len(items) == CONTEXT_MESSAGES_MAX:
            break
        most = min(left, CONTEXT_ITEM_CHARS_MAX)
        text = item.text if len(item.text) <= most else item.text[: most - len(_CUT)] + _CUT
        left -= len(text)
        items.append(item.but(text=text))
    return tuple(reversed(items))


def _item(event: ev.Event, task_of: TaskOf) -> ContextItem | None:
    task = task_of(event.task or "")
    label = task.label if task else None
    match ev.body_of(event):
        case ev.MessagePosted(role=who, text=text, trust=trust):
            role = "user" if who == "user" else "agent"
            return ContextItem(role=role, text=text, at=event.at, trust=trust, label=label)
        case ev.TaskFinished(answer=False) as end:
            files = task.artifacts if task else ()
            lines = [end.verdict or end.state, end.summary or "", *end.not_done_because]
            text = "\n".join(filter(None, [*lines, *(f"{one.name}: {one.path}" for one in files)]))
            return ContextItem(role="result", text=text, at=event.at, trust=Trust.UNTRUSTED, label=label)
        case _:
            return None
