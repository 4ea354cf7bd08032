"""The host's idea of time: real, faster than real, or virtual (it stands still until the host has nothing to do)."""

import asyncio
import heapq
import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

Callback = Callable[[], Awaitable[None] | None]


class Clock(Protocol):
    """What the host needs of time. Every datetime is aware and in UTC."""

    def now(self) -> datetime:
        """The present moment."""
        ...

    async def sleep_until(self, at: datetime | None, wake: asyncio.Event) -> None:
        """Return when `at` has come or `wake` is set, whichever is first; with `at` None only `wake` ends the sleep.

        May return early; the caller looks at the clock and at its work again.
        """
        ...


class RealClock:
    """Wall clock time."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    async def sleep_until(self, at: datetime | None, wake: asyncio.Event) -> None:
        """See `Clock.sleep_until`."""
        await _wait(wake, None if at is None else (at - self.now()).total_seconds())


class ScaledClock:
    """Simulated time that runs `speed` times as fast as real time.

    A pure function of real time and three numbers, so that two processes, or one that was restarted, agree on it.

    origin_real: a real moment; origin_simulated: the simulated moment that coincides with it; speed: simulated seconds
    for each real second, above zero.
    """

    def __init__(self, origin_real: datetime, origin_simulated: datetime, speed: float) -> None:
        """See the class."""
        if speed <= 0:
            raise ValueError(f"speed must be above zero, not {speed}")
        self._origin_real = origin_real
        self._origin_simulated = origin_simulated
        self._speed = speed

    def now(self) -> datetime:
        """The present simulated moment."""
        return self._origin_simulated + (datetime.now(UTC) - self._origin_real) * self._speed

    async def sleep_until(self, at: datetime | None, wake: asyncio.Event) -> None:
        """See `Clock.sleep_until`; `at` is simulated time."""
        await _wait(wake, None if at is None else (at - self.now()).total_seconds() / self._speed)


class VirtualClock:
    """Time that moves only when the host sleeps, straight to the next thing that is due.

    before_advance: awaited with (from, to) before time moves; a demo sleeps in it to show simulated time at a pace.
    If something wakes the host meanwhile, time stays where it is.
    """

    def __init__(self, start: datetime) -> None:
        """Start at `start`, an aware datetime."""
        if start.tzinfo is None:
            raise ValueError("a virtual clock starts at an aware datetime")
        self._now = start.astimezone(UTC)
        self._calls: list[tuple[datetime, int, Callback]] = []
        self._serial = 0
        self.before_advance: Callable[[datetime, datetime], Awaitable[None]] | None = None

    def now(self) -> datetime:
        """The present simulated moment."""
        return self._now

    def call_at(self, at: datetime, callback: Callback) -> None:
        """Run `callback` (sync or async) when time reaches `at`; those of one moment run in the order of the calls."""
        self._serial += 1
        heapq.heappush(self._calls, (max(at, self._now), self._serial, callback))

    def next_call(self) -> datetime | None:
        """When the earliest `call_at` is due, or None."""
        return self._calls[0][0] if self._calls else None

    async def sleep_until(self, at: datetime | None, wake: asyncio.Event) -> None:
        """Move time to `at` or to the earliest `call_at`, whichever is first, and run the callbacks due then."""
        due = min((moment for moment in (at, self.next_call()) if moment is not None), default=None)
        if due is None:
            await wake.wait()
            return
        if due > self._now:
            if self.before_advance is not None:
                await self.before_advance(self._now, due)
                if wake.is_set():
                    return
            self._now = due
        while self._calls and self._calls[0][0] <= self._now:
            _, _, callback = heapq.heappop(self._calls)
            outcome = callback()
            if inspect.isawaitable(outcome):
                await outcome


def pace(simulated_seconds_per_second: float) -> Callable[[datetime, datetime], Awaitable[None]]:
    """A `VirtualClock.before_advance` hook that shows simulated time at the given pace."""

    async def sleep(start: datetime, end: datetime) -> None:
        await asyncio.sleep((end - start) / timedelta(seconds=simulated_seconds_per_second))

    return sleep


async def _wait(wake: asyncio.Event, seconds: float | None) -> None:
    # asyncio refuses timeouts of many years and a host looks at its work again anyhow: an hour at most.
    timeout = None if seconds is None else min(max(seconds, 0.0), 3600.0)
    try:
        await asyncio.wait_for(wake.wait(), timeout)
    except TimeoutError:
        return
