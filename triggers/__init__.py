"""How a rollout comes to be: an event, the clock or a person. Triggers read, choose and start; they never roll."""
