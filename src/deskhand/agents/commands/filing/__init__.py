"""Commands that shape tables, convert and file away: what they make is computed or read again before it is called done."""
