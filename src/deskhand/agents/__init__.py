"""What thinks in an attempt. An agent wishes; it never runs a tool itself."""
