"""HTTP at the rim of the hub: walls, one table of who may call what, and thin routes. No decision is made here."""

from __future__ import annotations
