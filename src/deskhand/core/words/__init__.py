"""What people's words mean: tasks and whose they are, clauses of contracts, commands in sentences. Patterns are data."""
