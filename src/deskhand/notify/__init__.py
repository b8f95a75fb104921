"""Roads to a person: each sends one notice and says what became of it. None knows another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urljoin

from deskhand.clock import Clock
from deskhand.ports import Notice
from deskhand.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A road that leads where setting and secret ``notify.NAME`` of the hub's own computer say, each time anew."""

    name: ClassVar[str]
    said: Callable[[str], object]
    secret: Callable[[str], Secret | None]
    app_url: str
    clock: Clock

    def ready(self) -> bool:
        """Whether it leads somewhere."""
        return bool(self.said(f"notify.{self.name}"))

    def link(self, notice: Notice) -> str:
        """Return where a tap leads."""
        return urljoin(self.app_url, notice.url_path)
