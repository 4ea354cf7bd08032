"""The kernel of the simulation: one clock, one agenda of things to come, one journal, seeded chance."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from heapq import heappop, heappush
from itertools import count
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from simulator.faults import Faults
from simulator.journal import Entry, Journal, Kind
from simulator.ledger import Ledger
from simulator.timings import Timings

AZURE = "azure"
PERSON = "person"
ADMINISTRATOR = "administrator"
AUTOSCALE = "autoscale"
SESSION_LIMIT = "session limit"

P = ParamSpec("P")
R = TypeVar("R")


class World:
    """Everything the parts of the estate share.

    Nothing runs by itself: `catch_up` works off the agenda up to the clock's now, each thing at its own instant, so a
    run costs what happens in it and not how long it lasts. Handlers see `time`, the instant they were planned for.
    """

    __slots__ = (
        "_agenda",
        "_catching_up",
        "_clock",
        "_serial",
        "actor",
        "faults",
        "journal",
        "ledger",
        "seed",
        "time",
        "timings",
    )

    def __init__(
        self, clock: Callable[[], datetime], seed: int, timings: Timings, faults: Faults, keep_journal: bool
    ) -> None:
        self._clock = clock
        self._agenda: list[tuple[datetime, int, str, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = count()
        self._catching_up = False
        self.seed = seed
        self.time = clock()
        self.actor = ADMINISTRATOR
        self.timings = timings
        self.faults = faults
        self.journal = Journal(keep_journal)
        self.ledger = Ledger()
        faults.listener = self._record_fault

    def catch_up(self) -> None:
        """Let everything happen that is due by now; does nothing when called from within a handler."""
        if self._catching_up:
            return
        now = self._clock()
        agenda = self._agenda
        if agenda and agenda[0][0] <= now:
            caller = self.actor
            self._catching_up = True
            try:
                while agenda and agenda[0][0] <= now:
                    self.time, _, self.actor, handler, arguments = heappop(agenda)
                    handler(*arguments)
            finally:
                self._catching_up = False
                self.actor = caller
        self.time = max(self.time, now)

    def at(self, when: datetime, handler: Callable[..., object], *arguments: Any, by: str = AZURE) -> None:
        """Plan `handler(*arguments)` for `when` (or for now, when that is past), caused by `by`."""
        heappush(self._agenda, (max(when, self.time), next(self._serial), by, handler, arguments))

    def after(self, seconds: float, handler: Callable[..., object], *arguments: Any, by: str = AZURE) -> datetime:
        """Plan `handler(*arguments)` in `seconds` and return that instant."""
        when = self.time + timedelta(seconds=seconds)
        heappush(self._agenda, (when, next(self._serial), by, handler, arguments))
        return when

    def next_due(self) -> datetime | None:
        """When the next thing happens by itself, or None when nothing is planned."""
        return self._agenda[0][0] if self._agenda else None

    def record(self, kind: Kind, subject: str, detail: str = "", *, by: str | None = None, person: str = "") -> None:
        """Write a journal entry for this instant and count it."""
        entry = Entry(self.time, kind, subject, detail, self.actor if by is None else by)
        self.ledger.count(entry, person)
        self.journal.add(entry)

    @contextmanager
    def acting_as(self, label: str) -> Iterator[None]:
        """Whatever is asked of the estate inside the block is journalled as caused by `label`."""
        before, self.actor = self.actor, label
        try:
            yield
        finally:
            self.actor = before

    def stream(self, name: str) -> random.Random:
        """A source of chance of its own, so that one part's draws do not shift another's."""
        return random.Random(f"{self.seed}/{name}")

    def _record_fault(self, kind: str, subject: str) -> None:
        self.record(Kind.FAULT, subject, kind, by=AZURE)


class _HasWorld(Protocol):
    @property
    def world(self) -> World: ...


S = TypeVar("S", bound=_HasWorld)


def public(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Mark a method that outsiders call: the estate catches up with the clock before it runs."""

    @wraps(method)
    def caught_up(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.world.catch_up()
        return method(self, *args, **kwargs)

    return caught_up


def guid(rng: random.Random) -> str:
    """A random GUID in the usual form."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
