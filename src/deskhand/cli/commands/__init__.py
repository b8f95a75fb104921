"""The commands, one module per group of them. Each loads what it needs only when it is used."""
