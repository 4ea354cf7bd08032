"""Calls the Resource Manager with plain JSON, over the client libraries' pipeline but without their models.

A library's models cost: turning the JSON of one VM into objects and back takes 1.5 ms, and a turn reads every VM of a
pool twice, which is three seconds for a thousand hosts. They also refuse a whole list for one value of another type
than they expect, and drop what newer API versions add.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.connect import connection
from adapters.errors import StepFailed, translated
from adapters.wire import Json, items, text

LARGE_PAGE = "1000"


def read(path: str, api_version: str, **parameters: str) -> Json:
    """The JSON of one resource; `parameters` join the query. Raises StepFailed."""
    with translated():
        body = _send("GET", path, {"api-version": api_version, **parameters})
    return body if isinstance(body, dict) else {}


def patch(path: str, api_version: str, body: Json) -> None:
    """Change a resource that no client library at hand knows. Raises StepFailed."""
    with translated():
        _send("PATCH", path, {"api-version": api_version}, body)


def large_pages(path: str, api_version: str) -> Iterator[Json]:
    """Every object of a list of Azure Virtual Desktop, in pages as large as it gives. Raises StepFailed.

    Its pages have some 200 objects unless more are asked for: 6,000 sessions would be thirty reads a turn.
    """
    azure = connection()
    if not azure.refuses_large_pages:
        try:
            yield from pages(path, api_version, pageSize=LARGE_PAGE)
            return
        except StepFailed as failed:
            # The largest size that is allowed is documented nowhere. Whatever it is, the links to further pages are
            # followed; only a refusal has to be coped with, which can come of the first page alone.
            if failed.error.code != "BadRequest":
                raise
            azure.refuses_large_pages = True
    yield from pages(path, api_version)


def pages(path: str, api_version: str, **parameters: str) -> Iterator[Json]:
    """Every object of a list, page after page. Raises StepFailed."""
    query: dict[str, str] | None = {"api-version": api_version, **parameters}
    url = path
    while url:
        with translated():
            page = _send("GET", url, query)
        yield from items(page, "value")
        # A nextLink is an address of its own, complete with the version and the place to go on from.
        url, query = text(page, "nextLink"), None


def _send(method: str, url: str, query: dict[str, str] | None, body: Json | None = None) -> Any:
    from azure.core.exceptions import DecodeError, HttpResponseError
    from azure.core.rest import HttpRequest

    arm = connection().arm()
    response = arm.send_request(HttpRequest(method, arm.format_url(url), params=query, json=body))
    if response.status_code != 200:
        raise HttpResponseError(response=response)
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        raise DecodeError("the answer is not JSON", response=response) from error
