"""A clock that stands still until it is told to move, for runs in virtual time."""

from datetime import UTC, datetime, timedelta


class SteppedClock:
    """Callable that returns the current virtual instant; moves only through `advance` and `advance_to`."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware datetime")
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        """Return the current instant (aware, UTC)."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move forward by `by` (never backwards) and return the new instant."""
        return self.advance_to(self._now + by)

    def advance_to(self, when: datetime) -> datetime:
        """Move forward to `when`; an instant in the past raises ValueError."""
        if when < self._now:
            raise ValueError(f"time does not run backwards: {when} is before {self._now}")
        self._now = when.astimezone(UTC)
        return self._now
