"""`goldroll` in the terminal."""
