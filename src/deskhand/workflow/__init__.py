"""The attempt's workflow: what is remembered of it, what follows from that, and when it goes on."""
