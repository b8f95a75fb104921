"""What runs in a process of its own: parsers of files that strangers wrote, and SQL that a model wrote."""
