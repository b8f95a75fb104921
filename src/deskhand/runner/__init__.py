"""The process on a computer that does the work; it dials out to a hub and believes its own files more than it."""
