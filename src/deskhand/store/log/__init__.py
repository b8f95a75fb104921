"""The account's log: one write, reading, erasing, checking, and telling of what was committed."""
