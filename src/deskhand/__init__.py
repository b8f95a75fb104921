"""Deskhand: hand a task to your own computer, walk away, come back to finished, checked work.

This file holds the version and nothing else: importing the package starts nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
