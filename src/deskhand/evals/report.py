"""The report: one HTML file without scripts and without anything from elsewhere, readable by day and by night.

Whatever a model or a file said is escaped. It refuses to say more than the runs do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from deskhand.evals.figures import Figures, by_exercise, figures_of
from deskhand.evals.running import Record

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62f2f }
@media (prefers-color-scheme: dark) { :root { --good: #4cc46a; --bad: #ff7b72 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top }
th[scope=col] { font-weight: 600 } td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.good { color: var(--good) } .bad { color: var(--bad) } .wide { overflow-x: auto }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; margin: .3rem 0 }
"""
_COLUMNS: Final = (
    "model", "right", "pass@1", "pass^3", "called done, is not", "verified, is not", "asked where needed",
    "asked without need", "refused where right", "tokens", "cost", "time",
)  # fmt: skip


def page(records: Iterable[Record]) -> str:
    """Return the report on all runs."""
    found = list(records)
    subjects = sorted({one.subject for one in found})
    of = {name: [one for one in found if one.subject == name] for name in subjects}
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in _COLUMNS)
    rows = "".join(_row(figures_of(name, runs)) for name, runs in of.items())
    parts = "".join(_subject(name, runs) for name, runs in of.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Deskhand eval</title><style>{_STYLE}</style></head><body>"
        "<h1>Deskhand eval</h1><p>Whole tasks through the real hub, runner, tools and sandbox, on files made for "
        "each run; right is what a look at the files afterwards found, whatever the model said of its work.</p>"
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{parts}</body></html>\n"
    )


def _row(one: Figures) -> str:
    cells = (
        _share(one.pass_1),
        "–" if one.pass_3 is None else _share(one.pass_3),
        f"{one.false_done} of {one.claims}",
        str(one.false_verified),
        f"{one.asked} of {one.to_ask}",
        str(one.asked_needlessly),
        f"{one.refused} of {one.to_refuse}",
        f"{one.tokens:,}",
        _cost(one.money),
        _time(one.seconds),
    )
    told = "".join(f'<td class="n">{cell}</td>' for cell in (f"{one.right} of {one.runs}", *cells))
    return f'<tr><th scope="row">{escape(one.subject)}</th>{told}</tr>'


def _subject(name: str, runs: Sequence[Record]) -> str:
    rows = "".join(_exercise(one, of) for one, of in by_exercise(runs).items())
    head = "".join(f'<th scope="col">{one}</th>' for one in ("exercise", "right", "runs", "time"))
    return f"<h2>{escape(name)}</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _exercise(name: str, runs: Sequence[Record]) -> str:
    right, seconds = sum(one.right for one in runs), sum(one.seconds for one in runs)
    style = "good" if right == len(runs) else "bad"
    details = "".join(map(_run, runs))
    kind = {"ask": " · must ask", "refuse": " · must refuse"}.get(runs[0].kind, "")
    return (
        f'<tr><th scope="row">{escape(name)}{kind}</th>'
        f'<td class="n {style}">{right} of {len(runs)}</td><td>{details}</td>'
        f'<td class="n">{_time(seconds / len(runs))}</td></tr>'
    )


def _run(one: Record) -> str:
    mark, style = ("✓", "good") if one.right else ("✗", "bad")
    verdict = f" · {one.verdict}" if one.verdict else ""
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in one.faults)
    asked = "".join(f"<li>asked: {escape(said)}</li>" for said in one.asked)
    told = escape("\n".join(one.sentences))
    facts = f"seed {one.seed} · {one.day} · {one.steps} steps · {one.tokens:,} tokens · cost {_cost(one.money)}"
    return (
        f'<details><summary><span class="{style}">{mark}</span> run {one.run + 1} · {escape(one.state)}'
        f"{escape(verdict)}{' · called done, is not' if one.false_done else ''}</summary>"
        f"<ul>{faults}{asked}</ul><p>{facts} · {escape(one.model or 'no model')} · the person said yes "
        f"{one.allowed} and no {one.denied} times</p><pre>{told}</pre><pre>{escape(one.said)}</pre></details>"
    )


def _share(value: float) -> str:
    return f"{value:.0%}"


def _cost(money: str | None) -> str:
    return "unknown" if money is None else f"{float(money):.4f} USD" if float(money) else "0"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
