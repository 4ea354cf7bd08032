"""What goes wrong when Azure is asked for something: refusals, failures and broken connections."""

from __future__ import annotations

from dataclasses import dataclass


class AzureError(Exception):
    """A refusal with the HTTP status, the ARM error code and the message Azure gives.

    `retry_after` is in seconds; `headers` are added to the response as they are. `target` names the part of the
    request that is wrong. `wrapped` is False for the one documented body without an `error` object (Compute's 429).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
        details: list[dict[str, str]] | None = None,
        wrapped: bool = True,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.retry_after = retry_after
        self.headers = headers or {}
        self.details = details or []
        self.wrapped = wrapped


class ConnectionLost(Exception):
    """The connection broke; whether the request took effect is not known to the caller."""


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """The error of an asynchronous operation, as its status document reports it."""

    code: str
    message: str


def not_found(kind: str, name: str, group: str) -> AzureError:
    """ARM's own 404 for a resource, with `kind` like `Microsoft.Compute/virtualMachines`."""
    return AzureError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def group_not_found(group: str) -> AzureError:
    """ARM's 404 for a resource group that does not exist."""
    return AzureError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def desktop_error(status: int, activity: str, message: str) -> AzureError:
    """Azure Virtual Desktop's form of an error: the HTTP status is the code (facts 3.5)."""
    return AzureError(status, str(status), f"ActivityId: {activity} Error: {message}")
