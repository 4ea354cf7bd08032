"""The adapters against the simulated Azure, through the real client libraries, and against bodies Azure might send."""
