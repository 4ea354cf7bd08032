"""Reads the JSON bodies of requests: what cannot be read is answered with what was expected instead."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import azure.functions as func
import msgspec
from msgspec import Meta

from rollout.commands import LONGEST_REASON
from triggers.problems import LONGEST_BODY, problem

Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON, pattern=r"\w")]
"""Why somebody asks for something: it says something, and fits into a status."""

_Body = TypeVar("_Body")

_FIELDS = re.compile(r"(?:at `\$\.|required field `|unknown field `)([^`]{1,100})`")


def read_body(
    req: func.HttpRequest, model: type[_Body], example: str, *, may_be_empty: bool = False
) -> _Body | func.HttpResponse:
    """A request's body as this model, or the answer that says what is wrong with it; `example` shows a good one.

    413: longer than LONGEST_BODY bytes. 415: said to be something else than JSON in UTF-8 (saying nothing is fine).
    400: no JSON, or other fields than those of the model; then the problem's `field` names it.
    """
    body = req.get_body()
    if len(body) > LONGEST_BODY:
        return problem(413, "TooLarge", f"the body has {len(body)} bytes; {LONGEST_BODY} are the most")
    if may_be_empty and not body.strip():
        body = b"{}"
    elif (said := _content_type(req)) and not _is_json(said):
        return problem(415, "NotJson", f"the body must be application/json in UTF-8, not {said[:100]!r}")
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.MsgspecError, UnicodeError) as error:
        told = str(error)
    except RecursionError:
        told = "it is nested too deeply"
    field = _FIELDS.search(told)
    return problem(400, "BadRequest", f"the body must be like {example}: {told}", field[1] if field else "")


def one_line(text: str) -> str:
    """The text as it may stand in a log, a status or a tag: one line, without control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def moment_in(text: str) -> datetime | None:
    """The moment that part of a query names (UTC where it names no zone), None when it cannot be read as one."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign in a query reads as a space
        moment = moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if 2000 <= moment.year <= 2200 else None  # nothing overflows when days are added


def header_of(req: func.HttpRequest, wanted: str) -> str:
    """A header's value, whatever the case of its name; "" when there is none."""
    return next((str(value) for name, value in req.headers.items() if name.lower() == wanted.lower()), "")


def _content_type(req: func.HttpRequest) -> str:
    return header_of(req, "Content-Type").strip()


def _is_json(content_type: str) -> bool:
    kind, _, rest = content_type.lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", rest)
    return kind.strip() == "application/json" and (charset is None or charset[1] in ("utf-8", "utf8", "us-ascii"))
