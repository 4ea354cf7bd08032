"""Clocks for the estate: one that stands still until it is told to move, and one that runs faster than time."""

from collections.abc import Callable
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


class ScaledClock:
    """Simulated time as a pure function of real time: whoever knows the three numbers shows the same time.

    So two processes share simulated time without talking to each other, and one that was restarted finds its way back.
    """

    __slots__ = ("_origin_real", "_origin_simulated", "_real", "speed")

    def __init__(
        self,
        origin_real: datetime,
        origin_simulated: datetime,
        speed: float,
        real: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if speed <= 0:
            raise ValueError("a clock's speed is more than 0")
        if origin_real.tzinfo is None or origin_simulated.tzinfo is None:
            raise ValueError("a clock's origins are aware datetimes")
        self._origin_real = origin_real
        self._origin_simulated = origin_simulated
        self._real = real
        self.speed = speed

    def __call__(self) -> datetime:
        """Return the current simulated instant (aware, UTC)."""
        return (self._origin_simulated + (self._real() - self._origin_real) * self.speed).astimezone(UTC)
