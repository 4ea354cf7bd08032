"""Checks of the Bicep files, without Azure and without its compiler."""
