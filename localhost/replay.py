"""The host's half of a replay: runs the action list of the SDK against the history and finds what is to be done next.

The SDK re-runs the orchestrator and returns every action since the start of the execution. The Durable extension then
performs these actions in order on the Durable Task Framework, which allots the sequence numbers, recognises in the
history what has been scheduled before and emits the rest. `Replay` is that second replay.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Literal, Protocol
from uuid import NAMESPACE_OID, uuid5

from localhost.history import Event, EventType, is_valid_instance_id, moment


class ActionType(IntEnum):
    """Numbers of the actions in the SDK's answer."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    WHEN_ANY = 11
    WHEN_ALL = 12


@dataclass(frozen=True, slots=True)
class Answer:
    """What the SDK returned for one episode. output and custom_status: any JSON value; error: its text, or None."""

    actions: list[dict[str, Any]]
    is_done: bool
    output: Any = None
    error: str | None = None
    custom_status: Any = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Something the orchestration asked for. kind: the history event that records it; target: instance or entity id."""

    kind: EventType
    sequence: int
    name: str = ""
    input: str = "null"
    target: str = ""
    fire_at: datetime | None = None
    request_id: str = ""
    signal: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an execution. output: any JSON value; for ContinuedAsNew the JSON text of the next input."""

    status: Literal["Completed", "Failed", "Terminated", "ContinuedAsNew"]
    output: Any
    carried_over: tuple[Event, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What the episode decided: newly scheduled work in sequence order, and the end if it is one."""

    scheduled: list[Scheduled] = field(default_factory=list)
    completion: Completion | None = None
    suspended: bool = False
    open_tasks: int = 0


class Directory(Protocol):
    """Which functions the app has; names compare without case."""

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of this name."""
        ...

    def has_orchestrator(self, name: str) -> bool:
        """Whether there is an orchestrator of this name."""
        ...

    def has_entity(self, name: str) -> bool:
        """Whether there is an entity of this name."""
        ...


class OrchestrationError(Exception):
    """The execution fails at once: the history does not fit the code, or the code asks for something impossible."""


class Replay:
    """One replay of one execution."""

    def __init__(self, name: str, instance_id: str, execution_id: str, answer: Answer, functions: Directory) -> None:
        """name: the orchestrator's; answer: what the SDK returned for the very history that `run` gets."""
        self._name = name
        self._instance_id = instance_id
        self._execution_id = execution_id
        self._answer = answer
        self._functions = functions
        self._now = datetime.min.replace(tzinfo=UTC)
        self._next_sequence = 0
        self._next_action = 0
        self._finished = False
        self._continue_input: str | None = None
        self._terminated: str | None = None
        self._suspended = False
        self._while_suspended: deque[Event] = deque()
        self._carried_over: list[Event] = []
        self._unmatched: dict[int, Scheduled] = {}
        self._open: dict[int, _Wait] = {}
        self._open_calls: dict[str, _Wait] = {}
        self._waiters: dict[str, list[_Wait]] = {}
        self._arrived: dict[str, int] = {}

    def run(self, history: Iterable[Event]) -> Outcome:
        """Replay the whole history, the new events included, and say what follows."""
        try:
            for event in history:
                self._process(event)
                if self._terminated is not None:
                    return Outcome(completion=Completion("Terminated", self._terminated))
        except OrchestrationError as error:
            return Outcome(completion=Completion("Failed", str(error)))
        # The framework ends an execution only when nothing is open: an uncancelled timer keeps it running.
        open_tasks = len(self._open) + len(self._open_calls)
        scheduled = [] if self._suspended else [self._unmatched[key] for key in sorted(self._unmatched)]
        completion = self._completion() if self._finished and not open_tasks and not self._suspended else None
        return Outcome(scheduled, completion, self._suspended, open_tasks)

    def _completion(self) -> Completion | None:
        if self._continue_input is not None:
            return Completion("ContinuedAsNew", self._continue_input, tuple(self._carried_over))
        if self._answer.error is not None:
            return Completion("Failed", f"Orchestrator function '{self._name}' failed: {self._answer.error}")
        return Completion("Completed", self._answer.output) if self._answer.is_done else None

    # -- history events ------------------------------------------------------------------------------------------

    def _process(self, event: Event) -> None:
        kind = event["EventType"]
        if kind == EventType.ORCHESTRATOR_STARTED:
            self._now = moment(event["Timestamp"])
        elif kind == EventType.EXECUTION_TERMINATED:
            self._terminated = event["Input"]
        elif kind == EventType.EXECUTION_RESUMED:
            self._suspended = False
            while self._while_suspended and not self._suspended:
                self._process(self._while_suspended.popleft())
        elif self._suspended:
            self._while_suspended.append(event)
        elif kind == EventType.EXECUTION_SUSPENDED:
            self._suspended = True
        elif kind == EventType.EXECUTION_STARTED:
            self._advance()
        elif kind in _SCHEDULING:
            self._match(event)
        elif kind in _SETTLING:
            key, failed = _SETTLING[EventType(kind)]
            self._settle(self._open.pop(event[key], None), failed)
        elif kind == EventType.EVENT_RAISED:
            self._raise_event(event)

    def _match(self, event: Event) -> None:
        """Recognise a scheduling event of the past as the action that now has the same sequence number."""
        sequence, kind = event["EventId"], EventType(event["EventType"])
        past = f"{_SCHEDULING[kind]} with sequence ID {sequence}"
        name = event.get("Name") or ""
        if name:
            past += f" and name '{name}'"
        now = self._unmatched.pop(sequence, None)
        if now is None:
            raise _non_deterministic(f"an earlier turn scheduled {past}, but the replay has not (yet) scheduled it")
        if now.kind != kind:
            raise _non_deterministic(
                f"an earlier turn scheduled {past}, but the replay scheduled {_SCHEDULING[now.kind]}"
            )
        if kind != EventType.TIMER_CREATED and name.lower() != now.name.lower():
            raise _non_deterministic(f"an earlier turn scheduled {past}, but the replay scheduled '{now.name}'")

    def _settle(self, wait: "_Wait | None", failed: bool) -> None:
        # None: a result that came twice, or the late firing of a cancelled timer.
        if wait is not None:
            wait.settle(failed)

    def _raise_event(self, event: Event) -> None:
        name = str(event["Name"])
        call = self._open_calls.pop(name, None)
        if call is not None:
            call.settle(False)
        elif self._continue_input is not None:
            self._carried_over.append(event)
        elif waiters := self._waiters.get(name.lower()):
            waiters.pop().settle(
                False
            )  # the framework keeps waiters of one name on a stack: the latest is served first
        else:
            self._arrived[name.lower()] = self._arrived.get(name.lower(), 0) + 1

    # -- actions -------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Perform actions in order; one that is not settled holds the following ones back until it is."""
        while self._next_action < len(self._answer.actions):
            wait = self._perform(self._answer.actions[self._next_action])
            self._next_action += 1
            if not wait.settled:
                wait.then(lambda _: self._advance())
                return
        self._finished = True

    def _perform(self, action: dict[str, Any]) -> "_Wait":
        kind = action["actionType"]
        if kind in (ActionType.WHEN_ALL, ActionType.WHEN_ANY):
            children = [self._perform(child) for child in action["compoundActions"]]
            return _first(children) if kind == ActionType.WHEN_ANY else _all(children)
        if kind == ActionType.CALL_ACTIVITY:
            return self._call_activity(action)
        if kind == ActionType.CALL_ACTIVITY_WITH_RETRY:
            return self._with_retry(lambda: self._call_activity(action), action["retryOptions"])
        if kind == ActionType.CALL_SUB_ORCHESTRATOR:
            return self._call_sub_orchestrator(action)
        if kind == ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY:
            return self._with_retry(lambda: self._call_sub_orchestrator(action), action["retryOptions"])
        if kind == ActionType.CREATE_TIMER:
            return self._create_timer(moment(action["fireAt"]), cancelled=action["isCanceled"])
        if kind == ActionType.WAIT_FOR_EXTERNAL_EVENT:
            return self._wait_for_event(action["externalEventName"])
        if kind in (ActionType.CALL_ENTITY, ActionType.SIGNAL_ENTITY):
            return self._send_to_entity(action, signal=kind == ActionType.SIGNAL_ENTITY)
        if kind == ActionType.CONTINUE_AS_NEW:
            self._continue_input = action["input"]
            return _settled()
        if kind == ActionType.CALL_HTTP:
            raise OrchestrationError(
                f"Orchestrator function '{self._name}' failed: the local host does not do call_http"
            )
        raise OrchestrationError(f"Orchestrator function '{self._name}' failed: unknown action type {kind}")

    def _call_activity(self, action: dict[str, Any]) -> "_Wait":
        name = action["functionName"]
        if not self._functions.has_activity(name):
            raise self._no_such_function(name, "an activity")
        return self._schedule(Scheduled(EventType.TASK_SCHEDULED, self._take_sequence(), name, action["input"]))

    def _call_sub_orchestrator(self, action: dict[str, Any]) -> "_Wait":
        name = action["functionName"]
        if not self._functions.has_orchestrator(name):
            raise self._no_such_function(name, "an orchestrator")
        sequence = self._take_sequence()
        target = action.get("instanceId") or f"{self._execution_id}:{sequence}"
        if not is_valid_instance_id(target):
            raise OrchestrationError(f"Orchestrator function '{self._name}' failed: invalid instance id {target!r}")
        return self._schedule(
            Scheduled(
                EventType.SUB_ORCHESTRATION_CREATED,
                sequence,
                name,
                action["input"],
                target=target,
                version=action.get("version") or "",
            )
        )

    def _create_timer(self, fire_at: datetime, *, cancelled: bool = False) -> "_Wait":
        sequence = self._take_sequence()
        wait = self._schedule(Scheduled(EventType.TIMER_CREATED, sequence, fire_at=fire_at))
        if cancelled:
            del self._open[sequence]
            wait.settle(True)
        return wait

    def _send_to_entity(self, action: dict[str, Any], *, signal: bool) -> "_Wait":
        entity = action["instanceId"]
        if not self._functions.has_entity(entity.split("@")[1]):
            raise self._no_such_function(entity.split("@")[1], "an entity")
        sequence = self._take_sequence()
        request_id = str(uuid5(NAMESPACE_OID, f"{self._execution_id}/{sequence}"))
        self._unmatched[sequence] = Scheduled(
            EventType.EVENT_SENT,
            sequence,
            name=action["operation"],
            input=action["input"],
            target=entity,
            request_id=request_id,
            signal=signal,
        )
        if signal:
            return _settled()
        wait = self._open_calls[request_id] = _Wait()
        return wait

    def _wait_for_event(self, name: str) -> "_Wait":
        key = name.lower()
        if self._arrived.get(key):
            self._arrived[key] -= 1
            return _settled()
        wait = _Wait()
        self._waiters.setdefault(key, []).append(wait)
        return wait

    def _with_retry(self, attempt: Callable[[], "_Wait"], options: dict[str, int]) -> "_Wait":
        """Attempts with a fixed pause between them; the last failure is followed by one more timer, at once.

        The framework looks at the number of attempts only after its pause, and the SDK counts sequence numbers alike.
        """
        outer, pause = _Wait(), timedelta(milliseconds=options["firstRetryIntervalInMilliseconds"])
        most, made = options["maxNumberOfAttempts"], 0

        def begin() -> None:
            nonlocal made
            made += 1
            attempt().then(attempted)

        def attempted(wait: "_Wait") -> None:
            if not wait.failed:
                outer.settle(False)
            elif made < most:
                self._create_timer(self._now + pause).then(lambda _: begin())
            else:
                self._create_timer(self._now).then(lambda _: outer.settle(True))

        begin()
        return outer

    def _schedule(self, scheduled: Scheduled) -> "_Wait":
        self._unmatched[scheduled.sequence] = scheduled
        wait = self._open[scheduled.sequence] = _Wait()
        return wait

    def _take_sequence(self) -> int:
        sequence = self._next_sequence
        self._next_sequence += 1
        return sequence

    def _no_such_function(self, name: str, kind: str) -> OrchestrationError:
        return OrchestrationError(
            f"Orchestrator function '{self._name}' failed: "
            f"The function '{name}' doesn't exist, is disabled, or is not {kind} function."
        )


class _Wait:
    """Something awaited; its listener runs inside the event that settles it, as in the framework."""

    __slots__ = ("_listeners", "failed", "settled")

    def __init__(self) -> None:
        self.settled = False
        self.failed = False
        self._listeners: list[Callable[[_Wait], None]] = []

    def settle(self, failed: bool) -> None:
        if self.settled:
            return
        self.settled, self.failed = True, failed
        for listener in self._listeners:
            listener(self)

    def then(self, listener: Callable[["_Wait"], None]) -> None:
        if self.settled:
            listener(self)
        else:
            self._listeners.append(listener)


def _settled() -> _Wait:
    wait = _Wait()
    wait.settle(False)
    return wait


def _all(children: list[_Wait]) -> _Wait:
    """Settled when all are, failures included: the framework does not go on early."""
    outer, remaining = _Wait(), len(children)

    def one(_: _Wait) -> None:
        nonlocal remaining
        remaining -= 1
        if not remaining:
            outer.settle(any(child.failed for child in children))

    for child in children:
        child.then(one)
    return outer if children else _settled()


def _first(children: list[_Wait]) -> _Wait:
    """Settled with the first; with no children at once (the SDK leaves out children that were scheduled before)."""
    outer = _Wait()
    for child in children:
        child.then(lambda _: outer.settle(False))
    return outer if children else _settled()


def _non_deterministic(what: str) -> OrchestrationError:
    return OrchestrationError(
        f"Non-Deterministic workflow detected: {what}. Was the orchestrator changed after this instance had started?"
    )


_SCHEDULING = {
    EventType.TASK_SCHEDULED: "an activity task",
    EventType.SUB_ORCHESTRATION_CREATED: "a sub-orchestration",
    EventType.TIMER_CREATED: "a timer",
    EventType.EVENT_SENT: "a sent event",
}
_SETTLING = {
    EventType.TASK_COMPLETED: ("TaskScheduledId", False),
    EventType.TASK_FAILED: ("TaskScheduledId", True),
    EventType.SUB_ORCHESTRATION_COMPLETED: ("TaskScheduledId", False),
    EventType.SUB_ORCHESTRATION_FAILED: ("TaskScheduledId", True),
    EventType.TIMER_FIRED: ("TimerId", False),
}
