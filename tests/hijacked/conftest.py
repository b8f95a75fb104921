"""Who is attacked: each user, behind each wall."""

from __future__ import annotations

from tests.contract.sandbox.conftest import party, warm

__all__ = ["party", "warm"]
