"""Tests mirror the packages; scenarios hold golden stories."""
