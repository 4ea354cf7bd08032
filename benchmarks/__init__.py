"""Measures the scheduler and the app: against peers, against lower bounds, and as pools grow."""
