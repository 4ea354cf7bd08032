"""ARM routes of a location: the state of long-running operations, and how much of the quota is used."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import AzureError
from simulator.estate import Estate
from simulator.operations import Operation
from simulator.quota import REGIONAL
from simulator.wire import Answer, Json, Request, Route, compute_time, paged

_LOCATION = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}"


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _LOCATION + "/operations/{operation}", "operations.get", these.operation)
    yield Route("GET", _LOCATION + "/capsOperations/{operation}", "operations.get", these.operation)
    yield Route("GET", _LOCATION + "/usages", "usages.list", these.usages, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def operation(self, request: Request) -> Answer:
        self._estate.now()
        operation = self._estate.operations.get(request.names["operation"])
        if operation is None:
            raise AzureError(404, "OperationNotFound", f"The operation '{request.names['operation']}' was not found.")
        if request.flag("monitor"):
            return _monitored(request, operation)
        return Answer(200, operation_body(operation), {} if operation.ended_at else {"Retry-After": "10"})

    def usages(self, request: Request) -> Answer:
        usages = self._estate.quota.usages(request.subscription, request.names["location"])
        return paged(request, usages, lambda usage: usage_body(*usage))


def operation_body(operation: Operation) -> Json:
    """The status document of an operation (facts 4.5)."""
    body: Json = {
        "startTime": compute_time(operation.started_at),
        "status": operation.status,
        "name": operation.id,
    }
    if operation.ended_at is not None:
        body["endTime"] = compute_time(operation.ended_at)
    if operation.error is not None:
        body["error"] = {"code": operation.error.code, "message": operation.error.message}
    return body


def usage_body(name: str, used: int, limit: int) -> Json:
    """One quota and how much of it is used."""
    shown = "Total Regional vCPUs" if name == REGIONAL else f"{name} vCPUs"
    return {
        "unit": "Count",
        "currentValue": used,
        "limit": limit,
        "name": {"value": name, "localizedValue": shown},
    }


def _monitored(request: Request, operation: Operation) -> Answer:
    """What the `Location` URL answers: 202 until the operation has ended."""
    if operation.ended_at is None:
        return Answer(
            202, None, {"Location": f"{request.base_url}{request.path}?{_query(request)}", "Retry-After": "10"}
        )
    if operation.error is not None:
        raise AzureError(409, operation.error.code, operation.error.message)
    return Answer(200)


def _query(request: Request) -> str:
    return "&".join(f"{name}={value}" for name, value in request.query.items())
