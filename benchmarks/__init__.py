"""Goldroll and its peers on the same simulated estate: how long each takes, and what people have to put up with."""
