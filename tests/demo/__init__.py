"""Tests of the demo: what it shows and what it says at its end."""
