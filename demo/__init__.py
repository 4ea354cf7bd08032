"""The whole of Goldroll on a laptop: scenarios played by the real app on a local host against a simulated Azure."""
