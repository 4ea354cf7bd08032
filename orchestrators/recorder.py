"""Tells the sinks of an orchestration's events: what each has not got yet, and the activities that deliver it.

Delivering never holds a rollout up: what a sink cannot be given now is tried again later, and what has not been
delivered at the end is handed over to `keep_record`.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
from msgspec import structs

from orchestrators.moment import now_of
from rollout.outbox import (
    MOST_AT_ONCE,
    RECORD,
    Batch,
    Owed,
    answered,
    begin,
    due,
    gives_up,
    note,
    pack,
    unpack_events,
    unpack_outbox,
)
from rollout.recording import Event
from rollout.subject import Subject, subject_of

HAND_OVER_ATTEMPTS, HAND_OVER_PAUSE = 5, timedelta(minutes=1)
"""Handing over needs nothing but Durable itself, which the orchestration cannot do without either."""

_log = logging.getLogger("goldroll.notifications")


def delivery_to(sink: str) -> str:
    """The activity that gives a batch to a sink."""
    return "write_record" if sink == RECORD else "send_notifications"


def tell_of_lost(sink: str, lost: tuple[Event, ...], about: Subject) -> None:
    """Say loudly that these will never be delivered: somebody has to look after the receiver."""
    if lost:
        told = "notifications for the %s are given up: %d, the first of them: %s"
        _log.error(told, sink, len(lost), lost[0].message, extra=about.extra)


class Recorder:
    """What the orchestration behind `context` tells its sinks. Without a sink every method does nothing.

    `sinks` are the record and those of `notified`; `unwritten` is what an earlier execution has left, packed. At most
    one batch for each sink is on its way at a time.
    """

    def __init__(
        self,
        context: df.DurableOrchestrationContext,
        *,
        image: str,
        version: str,
        pool: str = "",
        recorded: bool,
        notified: tuple[str, ...] = (),
        unwritten: str = "",
    ) -> None:
        """Begin, or go on where the last execution stopped."""
        self._context = context
        self._image, self._version, self._pool = image, version, pool
        self._sinks = [*([RECORD] if recorded else []), *notified]
        self._outbox = unpack_outbox(unwritten) if unwritten else begin(now_of(context))
        self._writing: dict[str, tuple[Event, ...]] = {}
        self._tasks: dict[str, Any] = {}

    @property
    def packed(self) -> str:
        """What the next execution has to deliver, "" without a sink."""
        return pack(self._outbox) if self._sinks else ""

    @property
    def sinks(self) -> int:
        """How many sinks are told: so many activities may run beside the steps of a turn."""
        return len(self._sinks)

    @property
    def retry_at(self) -> datetime | None:
        """When the first sink may be tried again after it has failed; None when there is nothing to try again."""
        waits = [
            owed.retry_at
            for sink, owed in self._outbox.owed.items()
            if owed.events and owed.retry_at is not None and sink not in self._writing
        ]
        return min(waits, default=None)

    def note(self, events: tuple[Event, ...]) -> None:
        """The sinks are to get these events."""
        if self._sinks:
            self._outbox = note(self._outbox, events, self._sinks, of_pool=bool(self._pool))

    def note_packed(self, events: str) -> None:
        """As `note`, from an activity's answer; "" is none."""
        if events:
            self.note(unpack_events(events))

    @property
    def tasks(self) -> tuple[Any, ...]:
        """What `begin_due` has begun and `end_completed` has not ended: part of each wait."""
        return tuple(self._tasks.values())

    def begin_due(self, now: datetime) -> bool:
        """As `begin_writing`, for an orchestration with one place to wait; whether anything has begun."""
        begun = self.begin_writing(now)
        self._tasks |= begun
        return bool(begun)

    def end_completed(self, now: datetime) -> None:
        """Take what has come of `tasks` by now."""
        for sink, task in list(self._tasks.items()):
            if task.is_completed:
                del self._tasks[sink]
                self.end_writing(sink, task.result, now)

    def begin_writing(self, now: datetime) -> dict[str, Any]:
        """The tasks that give the sinks what is due, or hand it over when that fails for long; none when nothing is.

        `end_writing` takes what comes of each.
        """
        tasks = {}
        for sink in self._sinks:
            owed = self._owed(sink)
            if sink not in self._writing and (events := due(owed, now, sink)):
                activity = "hand_over_record" if gives_up(owed, sink) else delivery_to(sink)
                tasks[sink] = self._begin(sink, events, activity)
        return tasks

    def end_writing(self, sink: str, answer: Any, now: datetime) -> None:
        """What became of it: the activity's answer, or anything else when it died."""
        events = self._writing.pop(sink)
        owed, lost = answered(self._owed(sink), events, answer, now, sink)
        self._outbox = structs.replace(self._outbox, owed={**self._outbox.owed, sink: owed})
        if isinstance(answer, dict) and answer.get("off"):
            self._sinks.remove(sink)
        if not self._context.is_replaying:
            tell_of_lost(sink, lost, subject_of(self._context.instance_id, pool=self._pool))

    def finish(self) -> Generator[Any, Any, None]:
        """Deliver what is left, or hand it over. The orchestration ends after this."""
        yield from self._wait_for(self._tasks)
        while tasks := self.begin_writing(now_of(self._context)):
            yield from self._wait_for(tasks)
        for _ in range(HAND_OVER_ATTEMPTS):
            while unfinished := [sink for sink in self._sinks if self._owed(sink).events]:
                tasks = {
                    sink: self._begin(sink, self._owed(sink).events[:MOST_AT_ONCE], "hand_over_record")
                    for sink in unfinished
                }
                before = {sink: len(self._owed(sink).events) for sink in unfinished}
                yield from self._wait_for(tasks)
                if any(len(self._owed(sink).events) == before[sink] for sink in unfinished):
                    break
            else:
                return
            yield self._context.create_timer(now_of(self._context) + HAND_OVER_PAUSE)

    def _owed(self, sink: str) -> Owed:
        return self._outbox.owed.get(sink) or Owed()

    def _wait_for(self, tasks: dict[str, Any]) -> Generator[Any, Any, None]:
        for sink, task in tasks.items():
            try:
                answer = yield task
            except Exception:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
                answer = None
            self.end_writing(sink, answer, now_of(self._context))

    def _begin(self, sink: str, events: tuple[Event, ...], activity: str) -> Any:
        self._writing[sink] = events
        batch = Batch(self._context.instance_id, self._image, self._version, self._pool, events, sink)
        return self._context.call_activity(activity, pack(batch), dict)
