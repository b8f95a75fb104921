"""The command agent: what works with no model at all. One file per command, the same gate, journal and checks."""
