"""What an agent may wish for: files, tables, documents, commands. Tools never decide whether they may; the gate does."""
