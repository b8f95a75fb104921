"""What may happen, as pure data and pure functions: rules, how they are weighed, and how they are explained."""
