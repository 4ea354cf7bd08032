"""Answers of the HTTP API: JSON, and errors as RFC 9457 wants them."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import msgspec

LONGEST_BODY = 10_000
"""Bytes of a request's body; nothing that can be asked for needs more."""

_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    502: "Bad gateway",
    503: "Service unavailable",
}


def problem(status: int, code: str, detail: str) -> func.HttpResponse:
    """An error as RFC 9457 wants it; `code` is ours, for machines."""
    body = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail, "code": code}
    return func.HttpResponse(
        msgspec.json.encode(body), status_code=status, mimetype="application/problem+json", charset="utf-8"
    )


def answer(body: Any, status: int, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A JSON answer."""
    return func.HttpResponse(
        msgspec.json.encode(body), status_code=status, headers=headers, mimetype="application/json", charset="utf-8"
    )
