"""What orchestrators have done: one verb each, safe to repeat, with an answer instead of an exception."""
