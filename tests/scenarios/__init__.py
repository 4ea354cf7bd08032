"""The whole app, played through: golden stories, and faults wherever an activity runs."""
