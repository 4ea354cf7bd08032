"""The pure core: tables of situations and properties."""
