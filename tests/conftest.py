"""What every test folder shares: the table of real things and a real PostgreSQL."""

from __future__ import annotations

import pytest

from tests import ran

pytest_plugins = ["tests.postgres"]


def pytest_configure(config: pytest.Config) -> None:
    """Hang in the plugin that acts on `needs` and says at the end what ran."""
    config.pluginmanager.register(ran.plugin(), "deskhand-real-things")
