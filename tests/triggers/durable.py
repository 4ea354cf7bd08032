"""A stand-in for the Durable client that keeps instances in memory and refuses what the real one refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from azure.durable_functions import DurableOrchestrationClient
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


class Instances:
    """Instances by their id. `racing`: somebody else starts the same instance between the look and the start."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.started: list[tuple[str, str, Any]] = []
        self.raised: list[tuple[str, str, Any]] = []
        self.racing = False
        self.broken = False

    def add(self, instance_id: str, name: str = "roll_out_image", runtime: str = "Running", **fields: Any) -> None:
        """An instance that is there already, each a minute younger than the one before."""
        created = (NOW + timedelta(minutes=len(self.known))).isoformat()
        self.known[instance_id] = {
            "name": name,
            "instanceId": instance_id,
            "runtimeStatus": runtime,
            "createdTime": created,
            "lastUpdatedTime": created,
            **fields,
        }

    async def get_status(self, instance_id: str, **_: Any) -> Any:
        return DurableOrchestrationStatus.from_json(self.known.get(instance_id, {}))

    async def get_status_all(self) -> Any:
        return [DurableOrchestrationStatus.from_json(status) for status in self.known.values()]

    async def raise_event(self, instance_id: str, name: str, given: Any) -> None:
        self.raised.append((instance_id, name, given))

    async def start_new(self, name: str, instance_id: str, given: Any) -> str:
        if self.broken:
            raise Exception("The operation failed with an unexpected status code 500")
        if self.racing:
            self.add(instance_id)
        if instance_id in self.known:
            raise Exception(f"An Orchestration instance with the status Running already exists: {instance_id}")
        self.started.append((name, instance_id, given))
        self.add(instance_id)
        return instance_id


def function_of(builder: Any) -> Any:
    """The function as it was written, before the SDK put its client middleware around it."""
    function = builder._function.get_user_function()
    return getattr(function, "client_function", function)


def as_client(instances: Instances) -> DurableOrchestrationClient:
    """The stand-in, as the type that triggers ask for."""
    return instances  # type: ignore[return-value]
