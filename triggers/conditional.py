"""Answers that cost next to nothing when they have not changed: whoever asks again says which answer they have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import azure.functions as func
import msgspec

from triggers.problems import NEVER_A_PAGE


def answer_unless_known(headers: Mapping[str, str], body: Any) -> func.HttpResponse:
    """A JSON answer with an ETag, or 304 without a body when the request's If-None-Match has it.

    Nobody but the browser that asked may keep it, and only to ask again with: what is in it is not for everybody.
    """
    return content_unless_known(headers, msgspec.json.encode(body), "application/json")


def content_unless_known(headers: Mapping[str, str], content: bytes, mimetype: str) -> func.HttpResponse:
    """The same for any content of UTF-8 text, or of bytes."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = {value.strip().removeprefix("W/") for value in _if_none_match(headers).split(",")}
    told = {**NEVER_A_PAGE, "ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in known:
        return func.HttpResponse(status_code=304, headers=told)
    charset = None if mimetype.startswith(("font/", "image/png")) else "utf-8"
    return func.HttpResponse(content, headers=told, mimetype=mimetype, charset=charset)


def _if_none_match(headers: Mapping[str, str]) -> str:
    return next((value for name, value in headers.items() if name.lower() == "if-none-match"), "")
