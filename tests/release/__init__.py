"""The package that is deployed."""
