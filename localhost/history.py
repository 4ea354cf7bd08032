"""Durable history events as JSON objects: their numbers, their constructors and the time format of the wire."""

import json
import re
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

Event = dict[str, Any]


class EventType(IntEnum):
    """Numbers of the extension's history events."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_FAILED = 2
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_CREATED = 7
    SUB_ORCHESTRATION_COMPLETED = 8
    SUB_ORCHESTRATION_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15
    CONTINUE_AS_NEW = 16
    EXECUTION_SUSPENDED = 19
    EXECUTION_RESUMED = 20


def event(kind: EventType, at: datetime, event_id: int = -1, **fields: Any) -> Event:
    """A history event of `kind` at `at`; event_id is the sequence number of the scheduling kinds and -1 for others."""
    return {"EventType": int(kind), "EventId": event_id, "IsPlayed": False, "Timestamp": timestamp(at), **fields}


def execution_started(
    at: datetime, name: str, raw_input: str, instance_id: str, execution_id: str, parent: Event | None, version: str
) -> Event:
    """The first event of an execution. The SDK fails without the keys Version and Input, so both are always there."""
    return event(
        EventType.EXECUTION_STARTED,
        at,
        Name=name,
        Version=version,
        Input=raw_input,
        Tags=None,
        OrchestrationInstance={"InstanceId": instance_id, "ExecutionId": execution_id},
        ParentInstance=parent,
    )


def is_valid_instance_id(instance_id: str) -> bool:
    """Whether Azure takes it: not empty, no @ in front, no / \\ # ? and no control characters."""
    return re.fullmatch(r"(?!@)[^/\\#?\x00-\x1f\x7f-\x9f]+", instance_id) is not None


def timestamp(at: datetime) -> str:
    """A UTC moment as .NET writes it: seven fractional digits and Z."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}0Z"


def moment(text: str) -> datetime:
    """The inverse of `timestamp`; also reads the SDK's six digits. Offsets other than Z are converted to UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def dumps(value: Any) -> str:
    """Compact JSON text."""
    return json.dumps(value, separators=(",", ":"))
