"""Rules that say what may happen, as pure code. Nothing here acts."""
