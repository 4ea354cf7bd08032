"""Answers of the HTTP API: JSON, and errors as RFC 9457 wants them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import azure.functions as func
import msgspec
from msgspec import Struct

LONGEST_BODY = 10_000
"""Bytes of a request's body; nothing that can be asked for needs more."""

NEVER_A_PAGE = {"X-Content-Type-Options": "nosniff"}
"""Names and reasons that people wrote stand in every answer: no browser may take one for a page, whatever is in it."""

_HEADERS = {**NEVER_A_PAGE, "Cache-Control": "no-store"}


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error. `code` is stable and for machines, `detail` for people, `field` names what is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""


def problem(status: int, code: str, detail: str, field: str = "") -> func.HttpResponse:
    """An error as RFC 9457 wants it, with what Problem adds to it."""
    body = Problem("about:blank", HTTPStatus(status).phrase, status, detail, code, field)
    return func.HttpResponse(
        _json(body), status_code=status, headers=_HEADERS, mimetype="application/problem+json", charset="utf-8"
    )


def answer(body: Any, status: int, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A JSON answer."""
    told = {**_HEADERS, **(headers or {})}
    return func.HttpResponse(
        _json(body), status_code=status, headers=told, mimetype="application/json", charset="utf-8"
    )


def _json(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # Half a character, quoted from an address or a body, has no UTF-8.
        return msgspec.json.encode(_whole_characters(msgspec.to_builtins(body)))


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(one) for key, one in value.items()}
    return [_whole_characters(one) for one in value] if isinstance(value, list) else value
