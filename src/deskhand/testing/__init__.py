"""Fakes of the outside that ship with Deskhand: for its tests, for the demo and for authors of adapters."""

from __future__ import annotations
