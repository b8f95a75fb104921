"""What the runner's own process must be before it works: no root, no core file, closed to its neighbours.

It refuses to be root unless told so (``--as-root``, for containers and CI); the rest is done as far as the system can.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deskhand.errors import Code, DeskhandError

_PR_SET_DUMPABLE: Final = 4


def close_to_others() -> None:
    """Make environment and memory unreadable for other processes of the same user, and write no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The process, as far as it can be asked and changed; a test gives its own."""

    user: Callable[[], int] = os.geteuid
    close_to_others: Callable[[], None] = close_to_others

    def prepare(self, *, as_root: bool) -> None:
        """Make the process fit to work.

        Raises:
            DeskhandError: ``root_refused``.
        """
        if self.user() == 0 and not as_root:
            raise DeskhandError(Code.ROOT_REFUSED)
        self.close_to_others()
