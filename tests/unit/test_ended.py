"""What is kept of runs that ended."""

from __future__ import annotations

from pathlib import Path

from deskhand.ports import CommandResult
from deskhand.sandbox.layers import Ended, Records


def test_a_record_that_another_run_forgets_meanwhile_is_no_error(tmp_path: Path) -> None:
    """R4: of two commands that end at once both let go of old records, and neither is called broken for it."""
    records = Records(tmp_path)
    (tmp_path / "gone.json").symlink_to(tmp_path / "forgotten by another")
    result = CommandResult(exit_code=0, output=b"done", truncated=False, timed_out=False)

    records.write("mine", Ended(result=result, started_ns=1, applied=True))

    kept = records.read("mine")
    assert kept is not None
    assert kept.result.output == b"done"
