"""Lists Durable's instances page after page, which the SDK's own client (1.7) cannot: it drops what follows a page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import azure.durable_functions as df
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from msgspec import Struct

CONTINUATION = "x-ms-continuation-token"
LONGEST_TOKEN = 4_000
_TIMEOUT = 30
"""Seconds for one page."""


class BadToken(Exception):
    """The continuation token is none of ours, or Durable does not know it (any more)."""


class Page(Struct, frozen=True):
    """Some instances in the order of the store, and the token of the next page ("" after the last one)."""

    statuses: Sequence[DurableOrchestrationStatus]
    token: str


async def list_instances(
    client: df.DurableOrchestrationClient,
    prefix: str,
    top: int,
    token: str = "",
    since: datetime | None = None,
    statuses: Sequence[df.OrchestrationRuntimeStatus] = (),
) -> Page:
    """At most `top` instances whose ids begin with `prefix`, created `since`, in one of `statuses` (any if empty).

    A page may hold fewer than `top`, even none, and yet have a next one: Durable filters what it has read. `token` is
    that of the page before. Raises BadToken; a RuntimeError when Durable does not answer with a list.
    """
    import aiohttp  # with Durable's SDK, which imports it anyway

    query = {"instanceIdPrefix": prefix, "top": str(top), "showInput": "false"}
    if since is not None:
        query["createdTimeFrom"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    if statuses:
        query["runtimeStatus"] = ",".join(status.value for status in statuses)
    headers = {CONTINUATION: _read(token)} if token else {}
    url = f"{_base_url(client)}instances/"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session,
        session.get(url, params=query, headers=headers) as answer,
    ):
        if answer.status != 200:
            if token and answer.status < 500:
                raise BadToken("it is not known (any more)")
            raise RuntimeError(f"Durable answers {answer.status} when asked for its instances")
        found: Any = await answer.json(content_type=None)
        following = answer.headers.get(CONTINUATION, "")
    return Page([DurableOrchestrationStatus.from_json(one) for one in found], _write(following))


def _base_url(client: df.DurableOrchestrationClient) -> str:
    url = client._orchestration_bindings.rpc_base_url  # noqa: SLF001 - the SDK shows it nowhere else
    return url or ""


def _write(token: str) -> str:
    # The host's token may hold anything; ours has its place in an address.
    return base64.urlsafe_b64encode(token.encode()).decode() if token not in ("", "null") else ""


def _read(token: str) -> str:
    try:
        text = base64.b64decode(token[:LONGEST_TOKEN], altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise BadToken("it is none of this API's") from None
    if not text or not text.isprintable():
        raise BadToken("it is none of this API's")  # it becomes a header
    return text
