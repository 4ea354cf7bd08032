"""Invokes triggered functions (HTTP, timer, Event Grid) and reports how they ended."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from localhost.app import Function
from localhost.clock import Clock
from localhost.events import FunctionFinished, HostEvent
from localhost.schedule import TimerTrigger
from localhost.store import Schedule
from localhost.worker import Datum, FunctionFailed, Worker

_log = logging.getLogger(__name__)


class Triggers:
    """One place through which every triggered function runs."""

    def __init__(self, worker: Worker, clock: Clock, tell: Callable[[HostEvent], None]) -> None:
        """tell: receives a FunctionFinished for each run."""
        self._worker = worker
        self._clock = clock
        self._tell = tell
        self._runs = 0

    async def run(self, function: Function, data: Datum) -> Datum | None:
        """Run a function; its return datum. Raises FunctionFailed, after logging it."""
        self._runs += 1
        started, error = time.perf_counter(), None
        try:
            return await self._worker.invoke(function, data, str(uuid5(NAMESPACE_OID, f"invocation/{self._runs}")))
        except FunctionFailed as failure:
            error = failure.text
            _log.error("Function '%s' failed: %s\n%s", function.name, failure.text, failure.stack)
            raise
        finally:
            seconds = time.perf_counter() - started
            self._tell(FunctionFinished(self._clock.now(), function.name, function.kind, error, seconds))

    async def run_timer(self, trigger: TimerTrigger, schedule: Schedule, past_due: bool) -> None:
        """Run a timer trigger; a failure is logged and the schedule goes on."""
        try:
            await self.run(trigger.function, trigger.request(schedule, past_due=past_due))
        except FunctionFailed:
            return

    async def run_event(self, function: Function, event: dict[str, Any]) -> bool:
        """Run an Event Grid trigger for one event; whether it went well."""
        try:
            await self.run(function, Datum(type="json", value=json.dumps(event)))
        except FunctionFailed:
            return False
        return True
