"""`python3 dev.py doctor`: whether a policy, the Azure that it names and the app's roles fit together."""
