"""`python3 dev.py goldroll`: the HTTP API from a terminal or a pipeline."""
