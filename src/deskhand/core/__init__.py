"""Decisions and folds as pure functions: no clock, no disk, no network, nothing awaited."""
