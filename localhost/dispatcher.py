"""Decides what the host does next: activities, episodes, entity batches, timer triggers, and when time may move on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from localhost.activity_runs import ActivityRuns
from localhost.clock import Clock, VirtualClock
from localhost.engine import Engine
from localhost.entity_batches import EntityBatches
from localhost.faults import HostCrashed
from localhost.schedule import TimerTrigger
from localhost.store import Schedule, Store

RunTimer = Callable[[TimerTrigger, Schedule, bool], Awaitable[None]]


@dataclass(slots=True)
class _Planned:
    trigger: TimerTrigger
    schedule: Schedule
    past_due: bool
    running: bool = False


class Dispatcher:
    """With a virtual clock all happens one by one inside `run_until`; otherwise `serve` works all the time."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        activities: ActivityRuns,
        entities: EntityBatches,
        clock: Clock,
        run_timer: RunTimer,
        concurrency: int,
    ) -> None:
        """run_timer: invokes a timer-triggered function. concurrency: activities that may run at once in `serve`."""
        self._store = store
        self._engine = engine
        self._activities = activities
        self._entities = entities
        self._clock = clock
        self._run_timer = run_timer
        self._concurrency = concurrency
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._requests = 0
        self._in_flight: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned: list[_Planned] = []
        self._crash: BaseException | None = None

    # -- what others tell it -------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The host's time."""
        return self._clock.now()

    def wake(self) -> None:
        """There is new work."""
        self._wake.set()

    def crash(self, reason: BaseException) -> None:
        """The host is dead: nothing more is done and whoever waits gets the reason."""
        self._crash = self._crash or reason
        self._wake.set()
        self._progress.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """While an HTTP request is in progress, virtual time stands still."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._wake.set()

    def plan(self, triggers: Sequence[TimerTrigger]) -> None:
        """Take up timer triggers where the store says they stood; a missed occurrence runs at once, as past due."""
        now = self._clock.now()
        for trigger in triggers:
            known = self._store.schedule(trigger.function.name)
            due = trigger.next_after(known.last or known.updated) if known and trigger.monitored else now
            past_due = known is not None and due < now
            if not past_due:
                due = now if trigger.run_on_startup else trigger.next_after(now)
            schedule = Schedule(known.last if known else None, due, now)
            self._planned.append(_Planned(trigger, schedule, past_due))
            with self._store.transaction("schedule"):
                self._store.save_schedule(trigger.function.name, schedule)

    # -- virtual time --------------------------------------------------------------------------------------------

    async def run_until(self, done: Callable[[], bool] | None, limit: datetime | None) -> bool:
        """Work, one thing after the other, moving time when there is nothing to do now.

        done: looked at after every step; None: until nothing is left, recurring timer triggers aside.
        True when that is reached; False when time is at `limit` or nothing can happen any more.
        """
        if not isinstance(self._clock, VirtualClock):
            return await self._wait_until(done, limit)
        while True:
            self._raise_crash()
            if done is not None and done():
                return True
            if await self._step():
                await asyncio.sleep(0)  # requests that came in meanwhile get their turn
                continue
            self._wake.clear()
            if self._requests:
                await self._wake.wait()
                continue
            now = self._clock.now()
            calls, messages = self._clock.next_call(), self._store.next_due(now)
            if done is None and calls is None and messages is None:
                return True
            due = _earliest(calls, messages, *(planned.schedule.next for planned in self._planned))
            if limit is not None and now >= limit and (due is None or due > limit):
                return False
            due = _earliest(due, limit)
            if due is None:
                return False
            await self._clock.sleep_until(due, self._wake)

    async def _step(self) -> bool:
        """Do one thing that is due now; False when there is none.

        Activities come first: those of one fan-out all end at the same virtual moment, and one episode sees them all.
        """
        now = self._clock.now()
        for work in self._store.visible_work(now, 1):
            await self._activities.run(work)
            return True
        if self._advance_instance(now):
            return True
        for planned in self._planned:
            if planned.schedule.next <= now:
                await self._fire(planned)
                return True
        return False

    # -- real time -----------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Work until cancelled: activities beside each other, episodes and entities one by one."""
        while True:
            self._raise_crash()
            self._wake.clear()
            now = self._clock.now()
            self._begin_activities(now)
            for planned in self._planned:
                if planned.schedule.next <= now and not planned.running:
                    planned.running = True
                    self._spawn(self._fire(planned))
            if self._advance_instance(now):
                self._progress.set()
                await asyncio.sleep(0)
                continue
            waiting = (planned.schedule.next for planned in self._planned if not planned.running)
            await self._clock.sleep_until(_earliest(self._store.next_due(now), *waiting), self._wake)

    def _begin_activities(self, now: datetime) -> None:
        for work in self._store.visible_work(now, self._concurrency):
            if work.id not in self._in_flight and len(self._in_flight) < self._concurrency:
                self._in_flight.add(work.id)
                self._spawn(self._activities.run(work), work.id)

    def _spawn(self, work: Awaitable[None], work_id: int | None = None) -> None:
        async def run() -> None:
            try:
                await work
            except (HostCrashed, Exception) as error:  # noqa: BLE001 -- whoever waits for the host gets it
                self.crash(error)
            finally:
                if work_id is not None:
                    self._in_flight.discard(work_id)
                self._wake.set()
                self._progress.set()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel what is running; it will run again after the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait_until(self, done: Callable[[], bool] | None, limit: datetime | None) -> bool:
        while True:
            self._raise_crash()
            self._progress.clear()
            now = self._clock.now()
            if done() if done is not None else self._is_idle(now):
                return True
            if limit is not None and now >= limit:
                return False
            # What `done` looks at may change without the host's doing, hence twice a second.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._clock.sleep_until(limit, self._progress), 0.5)

    def _is_idle(self, now: datetime) -> bool:
        return not (self._tasks or self._requests or self._store.next_target(now) or self._store.next_due(now))

    # -- both ----------------------------------------------------------------------------------------------------

    def _advance_instance(self, now: datetime) -> bool:
        target = self._store.next_target(now)
        if target is None:
            return False
        if target.startswith("@"):
            self._entities.run(target)
        else:
            self._engine.run_episode(target)
        return True

    async def _fire(self, planned: _Planned) -> None:
        occurrence = planned.schedule.next
        try:
            await self._run_timer(planned.trigger, planned.schedule, planned.past_due)
        finally:
            planned.running = False
        now = self._clock.now()
        planned.schedule = Schedule(occurrence, planned.trigger.next_after(max(now, occurrence)), now)
        planned.past_due = False
        with self._store.transaction("schedule"):
            self._store.save_schedule(planned.trigger.function.name, planned.schedule)

    def _raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
