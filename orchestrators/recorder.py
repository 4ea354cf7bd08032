"""Writes the record of an orchestration: what is to be written, and the activities that do it.

Writing never holds a rollout up: a record that cannot be written now is tried again later, and what has not been
written at the end is handed over to `keep_record`.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df

from orchestrators.moment import now_of
from rollout.recording import Event
from rollout.unwritten import (
    MOST_AT_ONCE,
    Batch,
    begin,
    due,
    failed,
    gives_up,
    note,
    pack,
    unpack_events,
    unpack_unwritten,
    written,
)

HAND_OVER_ATTEMPTS, HAND_OVER_PAUSE = 5, timedelta(minutes=1)
"""Handing over needs nothing but Durable itself, which the orchestration cannot do without either."""


class Recorder:
    """The record of the orchestration behind `context`. When it is off, every method does nothing.

    `unwritten` is what an earlier execution has left, packed. At most one batch is being written at a time.
    """

    def __init__(
        self,
        context: df.DurableOrchestrationContext,
        *,
        image: str,
        version: str,
        pool: str = "",
        is_on: bool,
        unwritten: str = "",
    ) -> None:
        """Begin, or go on where the last execution stopped."""
        self._context = context
        self._image, self._version, self._pool = image, version, pool
        self._is_on = is_on
        self._unwritten = unpack_unwritten(unwritten) if unwritten else begin(now_of(context))
        self._writing: tuple[Event, ...] = ()

    @property
    def packed(self) -> str:
        """What the next execution has to write, "" when the record is off."""
        return pack(self._unwritten) if self._is_on else ""

    @property
    def retry_at(self) -> datetime | None:
        """When writing may be tried again after it has failed; None when there is nothing to try again."""
        return self._unwritten.retry_at if self._unwritten.events else None

    def note(self, events: tuple[Event, ...]) -> None:
        """These events are to be written."""
        if self._is_on:
            self._unwritten = note(self._unwritten, events)

    def note_packed(self, events: str) -> None:
        """As `note`, from an activity's answer; "" is none."""
        if events:
            self.note(unpack_events(events))

    def is_due(self, now: datetime) -> bool:
        """There is something to write, and nothing is being written."""
        return not self._writing and bool(due(self._unwritten, now))

    def begin_writing(self, now: datetime) -> Any:
        """The task that writes what is due, or hands it over when writing fails for long. `end_writing` takes what
        comes of it."""
        activity = "hand_over_record" if gives_up(self._unwritten) else "write_record"
        return self._begin(due(self._unwritten, now), activity)

    def end_writing(self, answer: Any, now: datetime) -> None:
        """What became of it: the activity's answer, or anything else when it died."""
        events, self._writing = self._writing, ()
        if not isinstance(answer, dict) or answer.get("error") is not None:
            self._unwritten = failed(self._unwritten, now)
        elif answer.get("off"):
            self._is_on, self._unwritten = False, written(self._unwritten, events)
        else:
            self._unwritten = written(self._unwritten, events)

    def finish(self) -> Generator[Any, Any, None]:
        """Write what is left, or hand it over. The orchestration ends after this."""
        while self._is_on and self.is_due(now_of(self._context)):
            yield from self._wait_for(self.begin_writing(now_of(self._context)))
        for _ in range(HAND_OVER_ATTEMPTS):
            while self._is_on and self._unwritten.events:
                yield from self._wait_for(self._begin(self._unwritten.events[:MOST_AT_ONCE], "hand_over_record"))
                if self._unwritten.attempts:
                    break
            if not (self._is_on and self._unwritten.events):
                return
            yield self._context.create_timer(now_of(self._context) + HAND_OVER_PAUSE)

    def _wait_for(self, task: Any) -> Generator[Any, Any, None]:
        try:
            answer = yield task
        except Exception:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
            answer = None
        self.end_writing(answer, now_of(self._context))

    def _begin(self, events: tuple[Event, ...], activity: str) -> Any:
        self._writing = events
        batch = Batch(self._context.instance_id, self._image, self._version, self._pool, events)
        return self._context.call_activity(activity, pack(batch), dict)
