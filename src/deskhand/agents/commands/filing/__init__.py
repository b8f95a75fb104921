"""Commands that change files or make new ones; what they make is computed or read again before it is called done."""
