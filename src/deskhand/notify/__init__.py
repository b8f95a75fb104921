"""Roads to a person: each sends one notice and says what became of it. None knows another."""
