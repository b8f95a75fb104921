"""Tasks that wait for a model: what is decided about them, and what they may mean meanwhile."""
