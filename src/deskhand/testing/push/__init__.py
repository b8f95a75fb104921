"""A push service on loopback, and the browser behind it that decrypts."""
