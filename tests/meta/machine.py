"""What must not stand in a committed file: the hosts this machine installs from, and its folders.

Asked of the package clients at run time, because a list of them would be such a trace itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.meta.findings import ROOT

SHARED_FOLDERS = {Path("/"), Path("/tmp"), Path("/home"), Path.home(), Path(tempfile.gettempdir())}  # noqa: S108 - not written to, only told apart
NAME_LENGTH_MIN = 4


def index_hosts() -> list[str]:
    """Name the hosts that pip, npm and apt are set up to install from."""
    said = ask(sys.executable, "-m", "pip", "config", "list") + ask("npm", "config", "get", "registry")
    for pattern in ("*.list", "*.sources"):
        said += "".join(each.read_text(errors="replace") for each in Path("/etc/apt").rglob(pattern))
    hosts = {re.split(r"[@]", host)[-1].split(":")[0] for host in re.findall(r"https?://([^/\s'\"]+)", said)}
    return sorted(hosts - {"localhost", "127.0.0.1"})


def folders() -> list[str]:
    """Name this checkout and what lies beside it, unless it lies where everything lies."""
    named = [str(ROOT)]
    if ROOT.parent not in SHARED_FOLDERS:
        named += [str(each) for each in ROOT.parent.iterdir() if len(each.name) >= NAME_LENGTH_MIN]
    return sorted(set(named))


def ask(*command: str) -> str:
    """Return what a client says, or nothing where it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
