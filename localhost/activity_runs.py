"""Runs activities, at least once each: a result is committed as a message, a run cut short before that is repeated."""

import time
from collections.abc import Callable

from localhost.app import App
from localhost.clock import Clock
from localhost.events import ActivityFinished, HostEvent
from localhost.faults import (
    ActivityCall,
    ActivityFaults,
    CrashHost,
    DelayResult,
    DropResult,
    HostCrashed,
    Raise,
    RunTwice,
)
from localhost.history import EventType, dumps, event
from localhost.stats import Stats
from localhost.store import Store, Work
from localhost.worker import Datum, FunctionFailed, Worker


class ActivityRuns:
    """Takes activities off the queue, with the faults that a test wants around them."""

    def __init__(
        self,
        app: App,
        store: Store,
        worker: Worker,
        clock: Clock,
        tell: Callable[[HostEvent], None],
        stats: Stats,
        faults: ActivityFaults | None = None,
    ) -> None:
        """tell: receives an ActivityFinished after each commit. faults: asked before and after each activity."""
        self._app = app
        self._store = store
        self._worker = worker
        self._clock = clock
        self._tell = tell
        self._stats = stats
        self._faults = faults
        self._calls = 0

    async def run(self, work: Work) -> None:
        """Run an activity and commit its result as a message. A run that does not get so far is repeated."""
        self._calls += 1
        call = ActivityCall(work.instance_id, work.name, work.sequence, work.input, self._calls)
        fault = self._faults("before", call) if self._faults else None
        _crash_if(fault)
        started = time.perf_counter()
        result, failure = (None, FunctionFailed(fault.text, "")) if isinstance(fault, Raise) else await self._call(work)
        if isinstance(fault, RunTwice):
            result, failure = await self._call(work)
        seconds = time.perf_counter() - started
        fault = self._faults("after", call) if self._faults else None
        _crash_if(fault)
        now = self._clock.now()
        if isinstance(fault, DropResult):
            with self._store.transaction("activity"):
                self._store.postpone_work(work.id, now + fault.redelivery)
            return
        if failure is None:
            report = event(EventType.TASK_COMPLETED, now, TaskScheduledId=work.sequence, Result=result)
        else:
            report = event(
                EventType.TASK_FAILED,
                now,
                TaskScheduledId=work.sequence,
                # Two blanks: the extension cuts the worker's text after "Exception:".
                Reason=f"Activity function '{work.name}' failed:  {failure.text}",
                Details=f"Result: Failure\nException: {failure.text}\nStack: {failure.stack}",
            )
        due = now + fault.by if isinstance(fault, DelayResult) else now
        with self._store.transaction("activity"):
            if self._store.finish_work(work.id):
                self._store.send(work.instance_id, work.execution_id, due, dumps(report))
        self._stats.activities += 1
        error = failure.text if failure else None
        self._tell(
            ActivityFinished(now, work.instance_id, work.name, work.sequence, work.input, result, error, seconds)
        )

    async def _call(self, work: Work) -> tuple[str | None, FunctionFailed | None]:
        function = self._app.activity(work.name)
        if function is None:
            # Only after a restart with another app: the replay checks the name before it schedules.
            return None, FunctionFailed(f"the function '{work.name}' doesn't exist", "")
        try:
            datum = await self._worker.invoke(function, Datum(type="json", value=work.input))
        except FunctionFailed as failure:
            return None, failure
        return ("null" if datum is None else str(datum.value)), None


def _crash_if(fault: object) -> None:
    if isinstance(fault, CrashHost):
        raise HostCrashed("a fault of the test")
