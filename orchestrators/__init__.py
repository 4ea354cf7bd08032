"""Durable orchestrations: they sequence, fan out and wait, and decide nothing that the core could decide."""
