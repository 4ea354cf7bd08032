"""Asks a Log Analytics workspace a query that gives one number."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from adapters.connect import connection
from adapters.errors import StepFailed, translated
from adapters.wire import at, text
from rollout.query_gate import BROKEN_QUERY
from rollout.steps import StepError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

SERVER_SECONDS = 45
"""After which Log Analytics gives a query up: before the connection does, which would not say why."""


class QueryAnswer(Struct, frozen=True, omit_defaults=True):
    """The number, or what was missing for one."""

    number: float | None = None
    no_data: str = ""


def ask_number(workspace_id: str, query: str, start: datetime, end: datetime) -> QueryAnswer:
    """The first column of the first row of the query's first table; rows between `start` and `end` are looked at.

    Raises StepFailed: with code QueryBroken when Log Analytics refuses the query as it stands, or it gives anything
    but a number; with PartialResult when it has not seen all there is, as a count of some is no count.
    """
    try:
        return _read(_tables(workspace_id, query, start, end))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # The client library takes a body apart without a look at its shape.
        why = f"the result cannot be read: {type(error).__name__}"
        raise StepFailed(StepError("UnreadableAnswer", why)) from error


def _tables(workspace_id: str, query: str, start: datetime, end: datetime) -> Any:
    from azure.core.exceptions import HttpResponseError
    from azure.monitor.query import LogsQueryPartialResult

    with translated():
        client = connection().logs()
        try:
            result = client.query_workspace(workspace_id, query, timespan=(start, end), server_timeout=SERVER_SECONDS)
        except HttpResponseError as error:
            if error.status_code == 400:
                raise StepFailed(StepError(BROKEN_QUERY, _innermost(error))) from None
            raise
    if isinstance(result, LogsQueryPartialResult):
        why = result.partial_error.message if result.partial_error else None
        raise StepFailed(StepError("PartialResult", f"the result is not complete: {why or 'nothing says why'}"))
    return result.tables


def _read(tables: Any) -> QueryAnswer:
    if not tables or not tables[0].rows:
        return QueryAnswer(no_data="it gives no row")
    value = tables[0].rows[0][0] if tables[0].columns else None
    if value is None:
        return QueryAnswer(no_data="its first cell is empty")
    number = _number(value, tables[0].columns_types[0])
    if number is None:
        # What stands in it is not repeated: it may be anything that is in the logs.
        why = f"its first cell is no number but of type {tables[0].columns_types[0]}"
        raise StepFailed(StepError(BROKEN_QUERY, why))
    if not math.isfinite(number):
        return QueryAnswer(no_data="its first cell is not finite, as after a division by zero")
    return QueryAnswer(number)


def _number(value: Any, column_type: str) -> float | None:
    """A number as Log Analytics writes it: JSON's own, or text where JSON has none (decimals, NaN, Infinity)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and column_type in ("decimal", "real", "long", "int"):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _innermost(error: HttpResponseError) -> str:
    """What is wrong with a query stands in the innermost of the errors; the outer ones only say that something is."""
    try:
        found = at(json.loads(error.response.text()) if error.response is not None else None, "error")
    except ValueError:
        found = None
    message = text(found, "message")
    while (inner := at(found, "innererror")) is not None:
        found, message = inner, text(inner, "message") or message
    return message or error.message
