"""Durable entities: the little state that outlives a rollout."""
