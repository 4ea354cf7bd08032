"""Every activity against the simulated Azure, with its input and answer passing through JSON as in Durable."""
