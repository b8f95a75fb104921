"""Every seam of Deskhand: what the middle needs and the rim supplies.

Each port has a fake in ``deskhand.testing`` that passes the same contract suite as the real part. This package holds
types only; it refuses to hold behaviour.
"""

# What its modules define is what the package offers.
# ruff: noqa: F401, F403
# pyright: reportUnusedImport=false

from __future__ import annotations

from deskhand.core.drafting import Audience, Draft, W
from deskhand.ports.store import *
from deskhand.ports.work import *
