"""The heart of the Durable engine: episodes of orchestrations, each committed in one transaction."""

import importlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from localhost.app import App
from localhost.clock import Clock
from localhost.entity_batches import entity_request
from localhost.events import EpisodeFinished, HostEvent, InstanceFinished
from localhost.history import Event, EventType, dumps, event, execution_started, moment, timestamp
from localhost.replay import Answer, Completion, OrchestrationError, Outcome, Replay, Scheduled
from localhost.stats import Stats
from localhost.store import Instance, Message, Store
from localhost.worker import Datum, FunctionFailed, Worker

_MOST_CUSTOM_STATUS = 8 * 1024  # characters: Azure Storage takes 16 KB of UTF-16
_ERROR_LABEL = "\n\n$OutOfProcData$:"


@dataclass(slots=True)
class _Execution:
    """The history of a running execution, kept in memory between episodes; the store has the same."""

    execution_id: str
    texts: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class Engine:
    """Moves instances on. It holds no state of its own that a restart would miss."""

    def __init__(
        self,
        app: App,
        store: Store,
        worker: Worker,
        clock: Clock,
        tell: Callable[[HostEvent], None],
        stats: Stats,
    ) -> None:
        """tell: receives what happened, after it is committed."""
        self._stats = stats
        self._app = app
        self._store = store
        self._worker = worker
        self._clock = clock
        self._tell = tell
        self._executions: dict[str, _Execution] = {}
        _speed_up_history_parsing()

    # -- starting ------------------------------------------------------------------------------------------------

    def begin(
        self,
        name: str,
        instance_id: str,
        raw_input: str,
        *,
        version: str = "",
        parent: tuple[str, str, int] | None = None,
    ) -> None:
        """Create an instance, or a new execution of a finished one, and queue its start. Call it in a transaction.

        raw_input: JSON text; a client's start and a call of a sub-orchestrator send a JSON string that holds JSON text.
        parent: instance id, execution id and sequence number to report to.
        """
        now = self._clock.now()
        if self._store.instance(instance_id) is not None:
            self._store.delete_instance(instance_id)
        execution_id = self._new_execution_id(instance_id)
        parent_id, parent_execution_id, parent_sequence = parent or (None, None, None)
        self._store.save_instance(
            Instance(
                id=instance_id,
                name=name,
                version=version,
                execution_id=execution_id,
                parent_id=parent_id,
                parent_execution_id=parent_execution_id,
                parent_sequence=parent_sequence,
                status="Pending",
                input=raw_input,
                output="null",
                custom_status="null",
                created=now,
                updated=now,
            )
        )
        self._send_start(now, name, raw_input, instance_id, execution_id, parent, version)

    def _send_start(
        self,
        now: datetime,
        name: str,
        raw_input: str,
        instance_id: str,
        execution_id: str,
        parent: tuple[str, str, int] | None,
        version: str,
    ) -> None:
        parent_event: Event | None = None
        if parent is not None:
            parent_event = {
                "OrchestrationInstance": {"InstanceId": parent[0], "ExecutionId": parent[1]},
                "TaskScheduleId": parent[2],
            }
        started = execution_started(now, name, raw_input, instance_id, execution_id, parent_event, version)
        self._store.send(instance_id, execution_id, now, dumps(started))

    def _new_execution_id(self, instance_id: str) -> str:
        return uuid5(NAMESPACE_OID, f"{instance_id}/{self._store.next_serial()}").hex

    # -- orchestrations ------------------------------------------------------------------------------------------

    def run_episode(self, instance_id: str) -> None:
        """Deal with every visible message of an instance: replay the orchestrator and commit what follows."""
        now = self._clock.now()
        messages = self._store.messages(instance_id, now)
        instance = self._store.instance(instance_id)
        fresh = [] if instance is None or instance.is_finished else _of_execution(messages, instance.execution_id)
        if instance is None or not fresh:
            self._discard(messages)
            return
        execution = self._execution(instance)
        past = len(execution.events)
        new_events = [event(EventType.ORCHESTRATOR_STARTED, now), *fresh]
        new_texts = [dumps(new) for new in new_events]
        started = time.perf_counter()
        answer, outcome = self._replay(instance, execution, new_events, new_texts)
        seconds = time.perf_counter() - started

        recorded = [_scheduling_event(scheduled, now, instance) for scheduled in outcome.scheduled]
        if outcome.completion is not None and outcome.completion.status != "Terminated":
            recorded.append(_completion_event(outcome.completion, now))
        recorded.append(event(EventType.ORCHESTRATOR_COMPLETED, now))
        texts = new_texts + [dumps(new) for new in recorded]
        status = outcome.completion.status if outcome.completion else "Suspended" if outcome.suspended else "Running"
        with self._store.transaction("episode"):
            self._store.delete_messages(messages)
            self._store.append_history(instance_id, past, texts)
            for scheduled in outcome.scheduled:
                self._dispatch(scheduled, instance, now)
            instance.updated = now
            instance.status = status
            if answer is not None:
                instance.custom_status = dumps(answer.custom_status)
            if outcome.completion is not None:
                self._complete(instance, outcome.completion, now)
            self._store.save_instance(instance)
        self._remember(instance, execution, new_events + recorded, texts, finished=outcome.completion is not None)
        self._count_episode(past + len(texts), seconds)
        self._tell(EpisodeFinished(now, instance_id, instance.name, past + len(texts), seconds, status))
        if instance.is_finished:
            self._tell(InstanceFinished(now, instance_id, instance.name, instance.status, instance.output))

    def _replay(
        self, instance: Instance, execution: _Execution, new_events: list[Event], new_texts: list[str]
    ) -> tuple[Answer | None, Outcome]:
        """Both replays: the SDK's, for the actions, and the framework's, for what is new among them."""
        try:
            answer = self._ask_sdk(instance, execution.texts + new_texts)
        except OrchestrationError as error:
            return None, Outcome(completion=Completion("Failed", str(error)))
        replay = Replay(instance.name, instance.id, instance.execution_id, answer, self._app)
        return answer, replay.run(execution.events + new_events)

    def _ask_sdk(self, instance: Instance, history: list[str]) -> Answer:
        function = self._app.orchestrator(instance.name)
        if function is None:
            raise OrchestrationError(
                f"The function '{instance.name}' doesn't exist, is disabled, or is not an orchestrator function."
            )
        context = _orchestration_context(instance, history)
        try:
            state = json.loads(self._worker.invoke_now(function, Datum(type="string", value=context)))
        except FunctionFailed as failure:
            message = f"Orchestrator function '{instance.name}' failed: {failure.text}"
            label = failure.text.find(_ERROR_LABEL)
            if label < 0:
                raise OrchestrationError(message) from failure
            state = json.loads(failure.text[label + len(_ERROR_LABEL) :])
        except ValueError as error:
            raise OrchestrationError(f"Orchestrator function '{instance.name}' failed: {error}") from error
        # Schema 3 answers with exactly one inner list; an orchestrator that yields nothing may leave it empty.
        if len(dumps(state.get("customStatus"))) > _MOST_CUSTOM_STATUS:
            raise OrchestrationError(
                f"Orchestrator function '{instance.name}' failed: the custom status is larger than 16 KB of UTF-16 text"
            )
        actions = [action for group in state["actions"] for action in group]
        return Answer(actions, state["isDone"], state.get("output"), state.get("error"), state.get("customStatus"))

    def _dispatch(self, scheduled: Scheduled, instance: Instance, now: datetime) -> None:
        if scheduled.kind == EventType.TASK_SCHEDULED:
            self._store.add_work(
                instance.id, instance.execution_id, scheduled.sequence, scheduled.name, scheduled.input, now
            )
        elif scheduled.kind == EventType.TIMER_CREATED:
            fire_at = scheduled.fire_at or now
            fired = event(EventType.TIMER_FIRED, fire_at, TimerId=scheduled.sequence, FireAt=_fire_at(scheduled))
            self._store.send(instance.id, instance.execution_id, fire_at, dumps(fired))
        elif scheduled.kind == EventType.SUB_ORCHESTRATION_CREATED:
            self._begin_sub_orchestration(scheduled, instance, now)
        else:
            self._store.send(scheduled.target, None, now, entity_request(scheduled, instance))

    def _begin_sub_orchestration(self, scheduled: Scheduled, parent: Instance, now: datetime) -> None:
        existing = self._store.instance(scheduled.target)
        if existing is None or existing.is_finished:
            place = (parent.id, parent.execution_id, scheduled.sequence)
            self.begin(
                scheduled.name, scheduled.target, dumps(scheduled.input), version=scheduled.version, parent=place
            )
            return
        # Azure drops the start and the parent waits for ever; here it is told, because nobody can debug a hang.
        failed = event(
            EventType.SUB_ORCHESTRATION_FAILED,
            now,
            TaskScheduledId=scheduled.sequence,
            Reason=f"An orchestration instance with the id '{scheduled.target}' is already {existing.status}.",
            Details="",
        )
        self._store.send(parent.id, parent.execution_id, now, dumps(failed))

    def _complete(self, instance: Instance, completion: Completion, now: datetime) -> None:
        self._store.delete_messages_of_execution(instance.id, instance.execution_id)
        if completion.status == "ContinuedAsNew":
            self._continue_as_new(instance, completion, now)
            return
        instance.output = dumps(completion.output)
        if instance.parent_id is None:
            return
        if completion.status == "Completed":
            report = event(
                EventType.SUB_ORCHESTRATION_COMPLETED,
                now,
                TaskScheduledId=instance.parent_sequence,
                Result=instance.output,
            )
        else:
            report = event(
                EventType.SUB_ORCHESTRATION_FAILED,
                now,
                TaskScheduledId=instance.parent_sequence,
                Reason=str(completion.output),
                Details="",
            )
        self._store.send(instance.parent_id, instance.parent_execution_id, now, dumps(report))

    def _continue_as_new(self, instance: Instance, completion: Completion, now: datetime) -> None:
        """A new execution with an empty history. Only events that came after the call in its last turn go along."""
        self._store.clear_history(instance.id)
        instance.execution_id = self._new_execution_id(instance.id)
        instance.input = dumps(completion.output)
        instance.status = "Running"
        parent = None
        if instance.parent_id is not None and instance.parent_execution_id is not None:
            parent = (instance.parent_id, instance.parent_execution_id, instance.parent_sequence or 0)
        self._send_start(
            now, instance.name, instance.input, instance.id, instance.execution_id, parent, instance.version
        )
        for carried in completion.carried_over:
            # Due when they came, so that they stay ahead of messages that arrived later.
            self._store.send(instance.id, None, moment(carried["Timestamp"]), dumps(carried))

    def _discard(self, messages: list[Message]) -> None:
        with self._store.transaction("discard"):
            self._store.delete_messages(messages)

    def _execution(self, instance: Instance) -> _Execution:
        known = self._executions.get(instance.id)
        if known is None or known.execution_id != instance.execution_id:
            texts = self._store.history(instance.id)
            known = _Execution(instance.execution_id, texts, [json.loads(text) for text in texts])
        return known

    def _remember(
        self, instance: Instance, execution: _Execution, events: list[Event], texts: list[str], *, finished: bool
    ) -> None:
        if finished:
            self._executions.pop(instance.id, None)
            return
        execution.events += events
        execution.texts += texts
        self._executions[instance.id] = execution

    def _count_episode(self, events: int, seconds: float) -> None:
        self._stats.episodes += 1
        self._stats.max_history = max(self._stats.max_history, events)
        self._stats.replay_seconds += seconds
        self._stats.longest_replay = max(self._stats.longest_replay, seconds)


def _of_execution(messages: Iterable[Message], execution_id: str) -> list[Event]:
    """The events of messages that concern this execution, its start first."""
    events = [json.loads(m.body) for m in messages if m.execution_id is None or m.execution_id == execution_id]
    return sorted(events, key=lambda event: event["EventType"] != EventType.EXECUTION_STARTED)


def _orchestration_context(instance: Instance, history: list[str]) -> str:
    """The orchestrationTrigger binding's value. The history is joined as text: it was serialised when recorded."""
    rest = {
        "input": json.loads(instance.input),
        "instanceId": instance.id,
        "isReplaying": False,
        "parentInstanceId": instance.parent_id,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
    return f'{{"history":[{",".join(history)}],{dumps(rest)[1:]}'


def _scheduling_event(scheduled: Scheduled, now: datetime, instance: Instance) -> Event:
    if scheduled.kind == EventType.TASK_SCHEDULED:
        fields = {"Name": scheduled.name, "Version": "", "Input": dumps([scheduled.input])}
    elif scheduled.kind == EventType.TIMER_CREATED:
        fields = {"FireAt": _fire_at(scheduled)}
    elif scheduled.kind == EventType.SUB_ORCHESTRATION_CREATED:
        fields = {
            "Name": scheduled.name,
            "Version": scheduled.version,
            "InstanceId": scheduled.target,
            "Input": dumps(scheduled.input),
        }
    else:
        fields = {
            "InstanceId": scheduled.target,
            "Name": scheduled.name,
            "Input": entity_request(scheduled, instance),
        }
    return event(scheduled.kind, now, scheduled.sequence, **fields)


def _completion_event(completion: Completion, now: datetime) -> Event:
    kind = {
        "Completed": EventType.EXECUTION_COMPLETED,
        "Failed": EventType.EXECUTION_FAILED,
        "ContinuedAsNew": EventType.CONTINUE_AS_NEW,
    }[completion.status]
    return event(kind, now, Result=dumps(completion.output))


def _fire_at(scheduled: Scheduled) -> str:
    return timestamp(scheduled.fire_at) if scheduled.fire_at else ""


def _speed_up_history_parsing() -> None:
    """Let the SDK read timestamps with the standard library.

    dateutil's parser is about 80 % of the cost of a replay (55 ms against 7 ms for 1,000 events), and a local run
    replays some thousand times. The host in Azure pays the plain cost.
    """
    # The package of that name exports the class HistoryEvent over its module, hence the import by name.
    module = importlib.import_module("azure.durable_functions.models.history.HistoryEvent")
    module.dt_parse = datetime.fromisoformat  # type: ignore[attr-defined]
