"""Asynchronous operations: what a status URL reports, from the moment a request was accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from simulator.errors import OperationFailure
from simulator.world import World, guid


@dataclass(slots=True, eq=False)
class Operation:
    """One accepted request. `status` is InProgress, Succeeded, Failed or Canceled; `region` is part of its URL."""

    id: str
    region: str
    subject: str
    started_at: datetime
    ended_at: datetime | None = None
    status: str = "InProgress"
    error: OperationFailure | None = None


class Operations:
    """Every operation so far, by id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.stream("operations")
        self._operations: dict[str, Operation] = {}

    def begin(self, region: str, subject: str) -> Operation:
        """A new operation that is in progress."""
        operation = Operation(guid(self._rng), region, subject, self._world.time)
        self._operations[operation.id] = operation
        return operation

    def end(self, operation: Operation, error: OperationFailure | None = None) -> None:
        """Close the operation, as failed when there is an error; a closed one stays as it is."""
        if operation.ended_at is None:
            operation.ended_at = self._world.time
            operation.status = "Failed" if error else "Succeeded"
            operation.error = error

    def cancel(self, operation: Operation) -> None:
        """Close the operation as canceled, because another one took its place."""
        if operation.ended_at is None:
            operation.ended_at = self._world.time
            operation.status = "Canceled"
            operation.error = OperationFailure(
                "OperationPreempted", "Operation execution has been preempted by a more recent operation."
            )

    def get(self, operation_id: str) -> Operation | None:
        """The operation with this id, or None."""
        return self._operations.get(operation_id)
