"""Build `.venv/` in the checkout from a hashed lock, for `make demo` and `make test`.

Needs nothing but a Python of its own kind: no package is imported here. It never installs a file
whose hash is not in the lock, touches nothing outside the checkout, and the second run only
compares a digest.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
KINDS = {"runtime": ("runtime",), "dev": ("dev", "runtime")}  # dev holds all of runtime
BAR_CELLS = 20
ERROR_LINES_SHOWN = 25


def main() -> int:
    """Make sure the environment named on the command line stands; say so in one line."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "runtime"
    if kind not in KINDS:
        return refuse(f"no such environment: {kind}", "use runtime or dev")
    if sys.version_info[:2] < OLDEST:
        return start_again_with_newer_python()
    if stands(kind):
        return 0
    if not os.access(ROOT, os.W_OK):
        return refuse(f"{ROOT} may not be written to", "clone it into a folder of your own")
    return build(kind)


def stands(kind: str) -> bool:
    """Tell whether the environment was built from exactly these locks, in this very place."""
    stamp = VENV / f"deskhand-{kind}.sha256"
    return stamp.is_file() and stamp.read_text() == digest(kind) and healthy()


def digest(kind: str) -> str:
    """Sum up what the environment depends on: lock, project file and its own place."""
    parts = [str(ROOT).encode(), lock(kind).read_bytes(), (ROOT / "pyproject.toml").read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def lock(kind: str) -> Path:
    """Name the hashed lock of one environment."""
    return ROOT / "requirements" / f"{kind}.txt"


def healthy() -> bool:
    """Tell whether its interpreter still starts (a system upgrade may have taken it away)."""
    if not PYTHON.exists():
        return False
    probe = f"import sys, pip; sys.exit(sys.version_info[:2] < {OLDEST})"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0


def build(kind: str) -> int:
    """Create the environment, install the lock, then this checkout itself, and stamp it."""
    began = time.monotonic()
    progress = Progress(kind)
    if not healthy():
        made = run([sys.executable, "-m", "venv", "--clear", str(VENV)], progress)
        if made is not None:
            return refuse_venv(made)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    failed = run([*pip, "--progress-bar=off", "--require-hashes", "-r", str(lock(kind))], progress)
    # The build backend is in the lock as well, so this step asks no index for anything.
    failed = failed or run([*pip, "--no-build-isolation", "--no-deps", "-e", str(ROOT)], progress)
    if failed is not None:
        progress.close()
        sys.stderr.write(failed + "\n")
        return refuse("the packages could not be installed", "see above; then run make again")
    for each in KINDS[kind]:
        (VENV / f"deskhand-{each}.sha256").write_text(digest(each))
    progress.close(f"{time.monotonic() - began:.0f} s")
    return 0


def run(command: list[str], progress: Progress) -> str | None:
    """Run one step, show how far it is, and return what it said only if it failed."""
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PYTHONUNBUFFERED": "1"}
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
    ) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            progress.heard(line)
    return "\n".join(said[-ERROR_LINES_SHOWN:]) if process.returncode else None


def refuse_venv(said: str) -> int:
    """Say why no environment could be made, with the cure for the usual reason."""
    sys.stderr.write(said + "\n")
    if "ensurepip" in said:
        number = ".".join(str(part) for part in sys.version_info[:2])
        return refuse(
            "this Python cannot make environments: its ensurepip is missing",
            f"sudo apt-get install python3-venv python{number}-venv (or your system's like of it)",
        )
    return refuse("no environment could be made", "see above")


def start_again_with_newer_python() -> int:
    """Hand over to a newer Python if one beside this old one really starts."""
    for minor in range(14, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        # A version manager may leave a name on PATH behind which nothing is chosen.
        if newer and subprocess.run([newer, "-c", ""], capture_output=True, check=False).returncode == 0:
            return subprocess.run([newer, *sys.argv], check=False).returncode
    have = ".".join(str(part) for part in sys.version_info[:3])
    return refuse(
        f"Deskhand needs Python 3.11 or newer, this is {have}",
        "install one and name it: make PYTHON=/path/to/python3 ...",
    )


def refuse(reason: str, cure: str) -> int:
    """Say what is wrong and what helps."""
    sys.stderr.write(f" Setting up stopped: {reason}.\n What helps: {cure}\n")
    return 1


class Progress:
    """One line that grows on a terminal; a first and a last line where output is kept."""

    def __init__(self, kind: str) -> None:
        """Open the line."""
        self._total = len(re.findall(r"^[a-z0-9][^ ]*==", lock(kind).read_text(), re.MULTILINE))
        self._seen: set[str] = set()
        self._live = sys.stderr.isatty()
        self._what = " Setting up (first time only)" if kind == "runtime" else " Setting up the tools"
        self._show()

    def heard(self, line: str) -> None:
        """Count a package as soon as the installer has turned to it."""
        named = re.match(r"\s*(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line)
        if named and named[1] not in self._seen:
            self._seen.add(named[1])
            if self._live:
                self._show()

    def close(self, spent: str = "") -> None:
        """End the line, with the time it took if all went well."""
        if spent:
            self._seen.update(str(number) for number in range(self._total))
            note = "no account, no key; all of it is in .venv/"
            sys.stderr.write(f"{self._start()}{self._bar()} {spent}   {note}\n")
        elif self._live:
            sys.stderr.write("\n")
        sys.stderr.flush()

    def _show(self) -> None:
        ending = "" if self._live else f" {self._total} packages, checked by hash ...\n"
        sys.stderr.write(f"{self._start()}{self._bar() if self._live else ''}{ending}")
        sys.stderr.flush()

    def _start(self) -> str:
        return f"\r{self._what}  " if self._live else f"{self._what}  "

    def _bar(self) -> str:
        done = min(len(self._seen) / max(self._total, 1), 1.0)
        filled = round(done * BAR_CELLS)
        return "█" * filled + "░" * (BAR_CELLS - filled)


if __name__ == "__main__":
    sys.exit(main())
