"""A home in one file: made while the hub runs, refused when a bit of it is wrong, and safe to go back to."""
