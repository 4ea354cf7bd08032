"""The plan: what it says of hosts, rings and limits, and what it foretells."""
