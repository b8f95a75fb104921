"""What a command said, bounded: the beginning and the end, with a marker for what was left out between (RL-05)."""

from __future__ import annotations


class BoundedOutput:
    """Takes any number of bytes and keeps about ``limit`` of them.

    Args:
        limit: how many bytes of the command's output to keep.
    """

    def __init__(self, limit: int) -> None:
        """Split the room: the end is where errors are said, so it gets a quarter."""
        self._tail_room = limit // 4
        self._head_room = limit - self._tail_room
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        fits = self._head_room - len(self._head)
        self._head += chunk[:fits]
        self._tail += chunk[fits:]
        surplus = len(self._tail) - self._tail_room
        if surplus > 0:
            self._left_out += surplus
            del self._tail[:surplus]

    @property
    def truncated(self) -> bool:
        """Whether anything was left out."""
        return self._left_out > 0

    def data(self) -> bytes:
        """Return what was kept."""
        if not self._left_out:
            return bytes(self._head + self._tail)
        marker = f"\n[... {self._left_out} bytes left out ...]\n".encode()
        return bytes(self._head) + marker + bytes(self._tail)
