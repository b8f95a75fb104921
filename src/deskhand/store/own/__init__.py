"""Own truth beside the log: what no event says and no fold can rebuild."""
