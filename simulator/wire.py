"""What all ARM routes share: requests and answers, dates, links, pages and the headers of long-running operations."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from simulator.errors import AzureError
from simulator.operations import Operation

Json = dict[str, Any]
Item = TypeVar("Item")

API_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(-preview)?$")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a route sees it. `names` are the variable parts of the path, `query` has lower-case names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json
    base_url: str
    page_size: int
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        """The api-version asked for."""
        return self.query["api-version"]

    @property
    def subscription(self) -> str:
        """The subscription in the path."""
        return self.names["subscription"]

    @property
    def group(self) -> str:
        """The resource group in the path."""
        return self.names["group"]

    def flag(self, name: str) -> bool:
        """Whether a query parameter is `true`."""
        return self.query.get(name.lower(), "").lower() == "true"

    def properties(self) -> Json:
        """The `properties` of the body; a 400 when they are not an object."""
        found = self.body.get("properties")
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise invalid("The request content was invalid and could not be deserialized.", "properties")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a body that is never changed afterwards, or none."""

    status: int
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is what the call is counted as; in `path`, `{name}` stands for one segment.

    `of_manager`: Resource Manager answers it, with its api-version and its token buckets.
    """

    method: str
    path: str
    name: str
    handler: Handler
    lists: bool = False
    of_manager: bool = True


def invalid(message: str, target: str | None = None) -> AzureError:
    """A 400 for a body or parameter that makes no sense."""
    return AzureError(400, "InvalidParameter", message, target=target)


def paged(request: Request, items: Sequence[Item], body_of: Callable[[Item], Json], size: int | None = None) -> Answer:
    """One page of `items`, with a link to the next page when there is one; bodies are made for that page only."""
    size = size or request.page_size
    start = _skipped(request)
    body: Json = {"value": [body_of(item) for item in items[start : start + size]]}
    if start + size < len(items):
        token = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        kept = [(name, value) for name, value in request.query.items() if name != "$skiptoken"]
        query = "&".join(f"{name}={quote(value, safe='$')}" for name, value in (*kept, ("$skiptoken", token)))
        body["nextLink"] = f"{request.base_url}{quote(request.path)}?{query}"
    return Answer(200, body)


def _skipped(request: Request) -> int:
    token = request.query.get("$skiptoken")
    try:
        return int(base64.urlsafe_b64decode(token)) if token else int(request.query.get("initialskip", "0"))
    except ValueError:
        raise invalid(f"The skip token '{token}' is not valid.", "$skiptoken") from None


def accepted(
    request: Request,
    operation: Operation,
    *,
    status: int,
    body: Json | None = None,
    retry_after: int = 10,
    collection: str = "operations",
) -> Answer:
    """An answer with the headers that tell where to ask how the operation goes."""
    subscription = request.subscription
    url = (
        f"{request.base_url}/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{operation.region}"
        f"/{collection}/{operation.id}?p={subscription}&api-version={request.api_version}"
    )
    headers = {"Azure-AsyncOperation": url, "Retry-After": str(retry_after)}
    if status == 202:
        headers["Location"] = f"{url}&monitor=true"
    return Answer(status, body, headers)


def desktop_time(when: datetime | None) -> str | None:
    """An instant as Virtual Desktop writes it: seven decimals and a Z."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z" if when else None


def compute_time(when: datetime) -> str:
    """An instant as Compute writes it: seven decimals and an offset."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0+00:00"


def parse_time(value: object, target: str) -> datetime:
    """An instant from a request; a 400 when it is none. Without an offset it is UTC."""
    if not isinstance(value, str):
        raise invalid(f"The value of '{target}' is not a date.", target)
    text = re.sub(r"(\.\d{6})\d+", r"\1", value.strip())
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"The value '{value}' of '{target}' is not a date.", target) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
