"""What the words of people's documents mean: days, tasks and whose they are, clauses of contracts. Patterns are data."""
