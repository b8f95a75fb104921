"""The command line: parse, call, print. What it shows it read from the hub; it decides nothing."""
