"""What people's words mean: tasks and whose they are, clauses of contracts, sentences as commands. Patterns are data."""
