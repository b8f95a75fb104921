"""What the owner wrote down on this computer itself."""
