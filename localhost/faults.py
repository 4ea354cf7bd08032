"""Faults that tests inject around activities and commits: crash, run twice, raise, drop or delay a result."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


class HostCrashed(BaseException):
    """The host stopped as if its process had been killed; only what was committed survives.

    A BaseException, so that no handler of ordinary errors between the crash and the test lives on.
    """


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """One run of an activity. input: the JSON text it gets; number counts runs of activities since the host started."""

    instance_id: str
    name: str
    task_id: int
    input: str
    number: int


@dataclass(frozen=True, slots=True)
class CrashHost:
    """Kill the host here; before: the activity has not run; after: it has run and its result is lost."""


@dataclass(frozen=True, slots=True)
class RunTwice:
    """Before: deliver the activity twice; the second result counts."""


@dataclass(frozen=True, slots=True)
class Raise:
    """Before: the activity ends with an exception instead of running; `text` is what the worker says of it."""

    text: str = "MemoryError: "


@dataclass(frozen=True, slots=True)
class DropResult:
    """After: lose the result; the queue delivers the activity again after `redelivery`."""

    redelivery: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class DelayResult:
    """After: the orchestration sees the result only after `by`."""

    by: timedelta


Fault = CrashHost | RunTwice | Raise | DropResult | DelayResult
Moment = Literal["before", "after"]
ActivityFaults = Callable[[Moment, ActivityCall], Fault | None]
CommitHook = Callable[[Moment, str], None]
