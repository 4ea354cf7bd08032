"""Builds what is deployed: a zip of the app and nothing else, and proves that it starts."""
