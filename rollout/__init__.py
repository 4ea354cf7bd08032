"""The core: decides what a rollout does next, from plain data. No Azure, no Durable, no clock, no I/O."""
