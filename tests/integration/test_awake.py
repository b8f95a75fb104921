"""A computer that works does not fall asleep, where its owner wants that; and it may the moment the work is over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from deskhand.cli.staying import beside, keep_awake
from tests.laptop import until

INHIBIT = """#!/bin/sh
echo asked >> "{log}"
test "$1 $4" = "--what=sleep:idle cat" || exit 9
echo $$ > "{log}.held"
exec cat
"""


@dataclass(frozen=True, slots=True)
class Inhibitor:
    """Stands for the system's own program, which keeps the machine awake for as long as it runs."""

    log: Path

    def holds(self) -> bool:
        """Return whether it runs now."""
        held = self.log.with_name("log.held")
        return held.exists() and Path(f"/proc/{held.read_text().strip() or '-'}").exists()

    def asked(self) -> int:
        """Return how often it was started."""
        return len(self.log.read_text().split())


@pytest.fixture
def inhibitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inhibitor:
    """Return the stand-in, found where the system's own would be."""
    program = tmp_path / "systemd-inhibit"
    program.write_text(INHIBIT.format(log=tmp_path / "log"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Inhibitor(tmp_path / "log")


async def test_it_is_kept_awake_only_while_it_works(inhibitor: Inhibitor) -> None:
    """G-03: held while there is work, let go when there is none, and held again with the next."""
    working = False
    async with beside(keep_awake(lambda: working)):
        assert not inhibitor.holds()
        working = True
        await until(inhibitor.holds)
        working = False
        await until(lambda: not inhibitor.holds())
        working = True
        await until(inhibitor.holds)


async def test_it_may_sleep_once_the_program_has_ended(inhibitor: Inhibitor) -> None:
    """However it ends: what holds the machine awake ends with our end of a pipe."""
    async with beside(keep_awake(lambda: True)):
        await until(inhibitor.holds)

    await until(lambda: not inhibitor.holds())
    assert inhibitor.asked() == 1


async def test_a_system_that_refuses_is_asked_once(inhibitor: Inhibitor, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and nobody asks each second."""
    program = inhibitor.log.with_name("systemd-inhibit")
    program.write_text(f"#!/bin/sh\necho asked >> {inhibitor.log}\nexit 1\n")

    async with beside(keep_awake(lambda: True)):
        await until(lambda: "power.may_sleep" in caplog.text)

    assert inhibitor.asked() == 1
