"""The programs that stay: up, hub and runner, each composed in one place. Loaded only by their commands."""
