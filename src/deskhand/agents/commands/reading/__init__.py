"""Commands that read and say: each line of theirs names the file and line it stands in."""
