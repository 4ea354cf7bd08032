"""What the host tells its listeners while it works: finished episodes, activities, functions, instances, log lines."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class EpisodeFinished:
    """One turn of an orchestration is committed. seconds: real time of its replay; events: length of its history."""

    at: datetime
    instance_id: str
    name: str
    events: int
    seconds: float
    status: str


@dataclass(frozen=True, slots=True)
class ActivityFinished:
    """One run of an activity is over and its result is committed. error: the worker's text, or None."""

    at: datetime
    instance_id: str
    name: str
    task_id: int
    input: str
    result: str | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class FunctionFinished:
    """A triggered function (HTTP, timer, Event Grid) is over. error: the worker's text, or None."""

    at: datetime
    name: str
    trigger: str
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class InstanceFinished:
    """An orchestration ended. status: Completed, Failed or Terminated; output: JSON text."""

    at: datetime
    instance_id: str
    name: str
    status: str
    output: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A record of the standard logging module while the host runs, at the host's time."""

    at: datetime
    logger: str
    level: str
    message: str


HostEvent = EpisodeFinished | ActivityFinished | FunctionFinished | InstanceFinished | LogLine
