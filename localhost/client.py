"""What a durable client can do to instances and entities, free of HTTP: start, raise, terminate, purge, query."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from localhost.app import App
from localhost.clock import Clock
from localhost.engine import Engine
from localhost.entity_batches import signal_request
from localhost.history import EventType, dumps, event, is_valid_instance_id
from localhost.store import Instance, Store


class UnknownOrchestrator(Exception):
    """The app has no orchestrator of that name."""


class InvalidInstanceId(Exception):
    """Azure takes no ids with such characters."""


class AlreadyRunning(Exception):
    """An instance of that id is pending, running or suspended; only ended ones are replaced."""


class NotFound(Exception):
    """There is no such instance or entity."""


class Gone(Exception):
    """The instance has ended."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances a query means; None and empty mean any. Statuses as in the management API, such as Running."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    prefix: str = ""
    statuses: Sequence[str] = ()

    def matches(self, instance: Instance) -> bool:
        """Whether the instance is meant."""
        return (
            (self.created_from is None or instance.created >= self.created_from)
            and (self.created_to is None or instance.created <= self.created_to)
            and (not self.statuses or instance.status in self.statuses)
            and instance.id.startswith(self.prefix)
        )


class DurableClient:
    """Each call is one transaction; orchestrations react when the host next works."""

    def __init__(self, app: App, store: Store, engine: Engine, clock: Clock, wake: Callable[[], None]) -> None:
        """wake: tells the host that there is work."""
        self._app = app
        self._store = store
        self._engine = engine
        self._clock = clock
        self._wake = wake

    def start(self, name: str, instance_id: str | None, raw_input: str, version: str = "") -> str:
        """Start an orchestration; its id. raw_input: the JSON text of the request's body.

        Raises UnknownOrchestrator, InvalidInstanceId, and AlreadyRunning for an id in use; that of an ended instance
        is used again.
        """
        if instance_id is not None and not is_valid_instance_id(instance_id):
            raise InvalidInstanceId(
                f"Instance ids must not begin with @ nor contain / \\ # ? or control characters: {instance_id!r}"
            )
        function = self._app.orchestrator(name)
        if function is None:
            raise UnknownOrchestrator(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
            )
        existing = self._store.instance(instance_id) if instance_id else None
        if existing is not None and not existing.is_finished:
            raise AlreadyRunning(f"An Orchestration instance with the status {existing.status} already exists.")
        with self._store.transaction("start"):
            chosen = instance_id or uuid5(NAMESPACE_OID, f"instance/{self._store.next_serial()}").hex
            self._engine.begin(function.durable_name, chosen, raw_input, version=version)
        self._wake()
        return chosen

    def raise_event(self, instance_id: str, name: str, raw: str) -> None:
        """Send an external event; raw: the JSON text of the request's body. Raises NotFound, Gone."""
        self._send(instance_id, EventType.EVENT_RAISED, Name=name, Input=raw)

    def terminate(self, instance_id: str, reason: str) -> None:
        """End it as it is. Raises NotFound, Gone."""
        self._send(instance_id, EventType.EXECUTION_TERMINATED, Input=reason)

    def suspend(self, instance_id: str, reason: str) -> None:
        """Let it stand still; messages wait. Raises NotFound, Gone."""
        self._send(instance_id, EventType.EXECUTION_SUSPENDED, Reason=reason)

    def resume(self, instance_id: str, reason: str) -> None:
        """Let a suspended one go on. Raises NotFound, Gone."""
        self._send(instance_id, EventType.EXECUTION_RESUMED, Reason=reason)

    def restart(self, instance_id: str, *, with_new_id: bool) -> str:
        """Start the same orchestrator with the same input again; the id. Raises NotFound, AlreadyRunning."""
        instance = self.instance(instance_id)
        return self.start(instance.name, None if with_new_id else instance_id, instance.input, instance.version)

    def purge(self, instance_id: str) -> int:
        """Delete an ended instance; how many were deleted. Raises NotFound."""
        instance = self.instance(instance_id)
        return self._purge([instance])

    def purge_all(self, which: Filter) -> int:
        """Delete ended instances; how many were deleted."""
        return self._purge([instance for instance in self._store.instances(which.prefix) if which.matches(instance)])

    def instance(self, instance_id: str) -> Instance:
        """The instance. Raises NotFound."""
        instance = self._store.instance(instance_id)
        if instance is None:
            raise NotFound(instance_id)
        return instance

    def instances(self, which: Filter | None = None) -> list[Instance]:
        """The instances that match, in the order of creation."""
        which = which or Filter()
        return [instance for instance in self._store.instances(which.prefix) if which.matches(instance)]

    def history(self, instance_id: str) -> list[dict[str, Any]]:
        """The events of the current execution."""
        return [json.loads(text) for text in self._store.history(instance_id)]

    def signal_entity(self, name: str, key: str, operation: str, raw: str | None) -> None:
        """Send an operation; raw: the JSON text of the body, or None. Raises NotFound for an entity the app lacks."""
        if not self._app.has_entity(name):
            raise NotFound(name)
        with self._store.transaction("message"):
            self._store.send(f"@{name.lower()}@{key}", None, self._clock.now(), signal_request(operation, raw))
        self._wake()

    def entity_state(self, name: str, key: str) -> str:
        """The state as JSON text. Raises NotFound."""
        state = self._store.entity(f"@{name.lower()}@{key}")
        if state is None:
            raise NotFound(f"@{name}@{key}")
        return state

    def _send(self, instance_id: str, kind: EventType, **fields: Any) -> None:
        if self.instance(instance_id).is_finished:
            raise Gone(instance_id)
        now = self._clock.now()
        with self._store.transaction("message"):
            self._store.send(instance_id, None, now, dumps(event(kind, now, **fields)))
        self._wake()

    def _purge(self, instances: Sequence[Instance]) -> int:
        ended = [instance for instance in instances if instance.is_finished]
        if ended:
            with self._store.transaction("purge"):
                for instance in ended:
                    self._store.delete_instance(instance.id)
        return len(ended)
