"""Orchestrations driven episode by episode through the real Durable SDK."""
