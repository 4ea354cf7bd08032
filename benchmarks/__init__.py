"""Measures the scheduler and the app: against peers, against bounds, and as pools grow."""
