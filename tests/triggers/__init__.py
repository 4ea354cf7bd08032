"""Triggers with a working stand-in for the Durable client, against the simulated Azure."""
