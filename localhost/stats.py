"""What the host counts."""

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counters since the host started. longest_replay: real seconds of the slowest episode's SDK replay."""

    episodes: int = 0
    activities: int = 0
    max_history: int = 0
    longest_replay: float = 0.0
    replay_seconds: float = 0.0
