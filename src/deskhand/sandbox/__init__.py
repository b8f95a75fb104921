"""Walls around commands. Every wall is tried before it is trusted, and without one nothing runs."""
