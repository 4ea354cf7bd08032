"""The checkers of random runs, by what they watch over; simulator/invariants.py lists them all."""
