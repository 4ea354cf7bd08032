"""Alerts, proved: their real queries over what the app has logged in scenarios of the simulator."""
