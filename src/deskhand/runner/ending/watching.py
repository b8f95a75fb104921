"""Watches how far an attempt gets and what it uses: when to say so, when to ask, when to end.

It refuses to count what is not known, and to take as a yes what is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import cast

from deskhand.clock import stamp
from deskhand.core.settings import effective
from deskhand.limits import ASKS_WITHIN, DENIALS_MAX, IDLE_MOVES_MAX, NAME_CHARS_MAX, PLAN_LINES_MAX
from deskhand.permissions.evaluate import visible
from deskhand.ports import Ask, Done, Move, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.gate import Gate
from deskhand.runner.parts import Parts
from deskhand.workflow import attempt
from deskhand.workflow.attempt import LIMITS, NOTED_SHARE, ONE, AttemptState, reached, shown


class Watch:
    """Watches one attempt under its own limits, or else those of the account's settings."""

    def __init__(self, brief: Brief, parts: Parts, gate: Gate) -> None:
        self._budget = brief.budget
        self._setting, self._most = parts.journal.setting, parts.most
        self._say, self._now = gate.say, parts.clock.now

    def lost(self, state: AttemptState) -> str:
        """Return why the attempt gets nowhere; empty when it does."""
        if attempt.in_circles(state.turns):
            return self._say("attempt.loop")
        stuck = state.idle >= IDLE_MOVES_MAX
        return self._say("attempt.no_progress", count=state.idle) if stuck else ""

    def stopped(self, state: AttemptState) -> str:
        """Return where a person stopped it, or this computer's own limit; empty when neither did."""
        most = {name: Decimal(one) for name in LIMITS if (one := self._most(f"limit.{name}"))}
        if over := reached(state.spending, most, ONE):
            return self._say("budget.most", what=self._used(state, over, most))
        what = self._used(state, self._near(state, ONE))
        return self._say("budget.stopped", what=what) if state.stopped else ""

    def question(self, state: AttemptState) -> Ask | None:
        """Return what to ask when a limit is used up."""
        over = self._near(state, ONE)
        if not over:
            return None
        choices = (self._say("budget.go_on"), self._say("budget.stop"))
        text = self._say("budget.ask", what=self._used(state, over))
        return Ask(text=text, choices=choices)

    def pressed(self, state: AttemptState) -> Ask | None:
        """Return what to ask instead of one more yes when too many were asked for lately (AP-12)."""
        stored = self._setting(name := "asks.per_ten_minutes")
        most = int(str(effective({} if stored is None else {name: stored}, name)))
        lately = sum(at > stamp(self._now() - ASKS_WITHIN) for at in state.asked)
        if not most or lately < most:
            return None
        return Ask(text=self._say("asks.ask", count=lately), choices=(self._say("asks.go_on"),))

    def probed(self, state: AttemptState) -> Ask | None:
        """Return what to ask before anything more when too much was tried that may not be (PI-15)."""
        if len(state.denied) < DENIALS_MAX:
            return None
        tried = "; ".join(visible(one) for one in state.denied[-DENIALS_MAX:])
        text = self._say("asks.denied", count=len(state.denied), tried=tried)
        return Ask(text=text, choices=(self._say("asks.let_on"),))

    def notes(self, state: AttemptState) -> dict[str, str]:
        """Return by name what to say, once, of limits that are near or cannot be watched."""
        near = [name for name in self._near(state, NOTED_SHARE) if name not in state.noted]
        words = {name: self._say("budget.noted", what=self._used(state, [name])) for name in near}
        asked = self._budget is not None and self._budget.money is not None
        if asked and state.spending.usd is None and "unpriced" not in state.noted:
            words["unpriced"] = self._say("budget.unpriced", model=state.spending.model)
        return words

    def _near(self, state: AttemptState, share: Decimal) -> list[str]:
        limits = attempt.limits_of(self._budget, self._setting, times=state.times)
        return reached(state.spending, limits, share)

    def _used(self, state: AttemptState, names: Sequence[str], *own: Mapping[str, Decimal]) -> str:
        """Return how much of these limits was used, in words."""
        limits, *_ = *own, attempt.limits_of(self._budget, self._setting, times=state.times)
        used = state.spending.by_name
        return ", ".join(
            self._say(f"budget.{name}", used=shown(used[name]), limit=shown(limits[name])) for name in names
        )


def more(wish: JsonObject, answer: str) -> JsonObject:
    """Return what an answer says about a limit; what is neither yes nor no says nothing, and is asked again."""
    choices = [str(one).casefold() for one in cast("list[str]", wish["limits"])]
    said = answer.strip().casefold()
    return {"more": said == choices[0]} if said in choices else {}


def bounded(move: Move) -> Move:
    """Return a move whose plan and criteria are no longer than anybody reads."""
    if isinstance(move, (Wishes, Done)) and move.plan is not None:
        plan = [item.but(text=item.text[:NAME_CHARS_MAX]) for item in move.plan[:PLAN_LINES_MAX]]
        move = replace(move, plan=tuple(plan))
    if isinstance(move, Wishes):
        criteria = [one[:NAME_CHARS_MAX] for one in move.criteria[:PLAN_LINES_MAX]]
        move = replace(move, criteria=tuple(criteria))
    return move
