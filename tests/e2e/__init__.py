"""The whole app over HTTP, as processes that can be killed."""
