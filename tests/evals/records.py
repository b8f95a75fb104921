"""Runs of an eval as they are kept, made up for tests."""

from __future__ import annotations

from typing import Any

from deskhand.evals.running import Record


def record(**changed: Any) -> Record:  # noqa: ANN401 - any of its fields
    """Return a run that went right, but for what is said of it."""
    data: dict[str, Any] = {
        "subject": "m",
        "exercise": "a",
        "version": 1,
        "kind": "do",
        "seed": 1,
        "run": 0,
        "day": "2026-03-04",
        "right": True,
        "faults": (),
        "state": "completed",
        "verdict": "unverified",
        "asked": (),
        "allowed": 0,
        "denied": 0,
        "model": "m",
        "steps": 2,
        "tokens": 100,
        "money": "0.01",
        "seconds": 1.5,
        "sentences": ("Do it.",),
        "said": "Done.",
    }
    return Record(**(data | changed))
