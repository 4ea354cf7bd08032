"""Log Analytics: workspaces that give the answers they were told, and the host pools' connection logs.

It does not run KQL. A workspace knows queries by their text, and what each gives: tables, or a function that makes them
from what is asked about. A first line of `let` statements is taken off before and handed to that function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator.errors import AzureError
from simulator.host_pools import HostPool
from simulator.sessions import Sessions
from simulator.wire import Answer, Json, Request, Route, parse_time
from simulator.world import World, public

_LETS = re.compile(r"(?:let \w+ = [^;\n]*; ?)+\n")
_LET = re.compile(r"let (\w+) = ([^;\n]*);")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it came: the values of its `let` statements, and the time that it looks at (None: all)."""

    lets: dict[str, str]
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a result: (name, type) of its columns, and its rows."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    name: str = "PrimaryResult"


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gives. `partial` says why the tables do not hold everything, "" when they do."""

    tables: tuple[Table, ...]
    partial: str = ""


class Refused(Exception):
    """Log Analytics does not understand the query: `code` such as SemanticError, and what is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


Knows = Callable[[Asked], Result]


def one(value: Any, column_type: str = "long") -> Result:
    """A result of one cell."""
    return Result((Table((("Value", column_type),), ((value,),)),))


@dataclass(slots=True)
class _Attempt:
    at: datetime
    pool: str
    failed: bool


@dataclass(slots=True)
class Workspace:
    """A workspace: what it knows, and every query that came."""

    id: str
    knows: dict[str, Knows] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Workspaces:
    """All workspaces. From the first one on every connection to a host pool is logged."""

    def __init__(self, world: World, sessions: Sessions) -> None:
        self.world = world
        self._sessions = sessions
        self._workspaces: dict[str, Workspace] = {}
        self._attempts: list[_Attempt] = []

    @public
    def add(self, workspace_id: str) -> Workspace:
        """Create a workspace."""
        if not self._workspaces:
            self._sessions.connected.append(self._log)
        return self._workspaces.setdefault(workspace_id.lower(), Workspace(workspace_id))

    @public
    def ask(self, workspace_id: str, query: str, start: datetime | None, end: datetime | None) -> Result:
        """What a query gives. Raises AzureError for a workspace that is not there, Refused for an unknown query."""
        workspace = self._workspaces.get(workspace_id.lower())
        if workspace is None:
            raise AzureError(404, "WorkspaceNotFoundError", "The workspace could not be found")
        workspace.asked.append(query)
        lets = _LETS.match(query)
        known = workspace.knows.get(query[lets.end() :] if lets else query)
        if known is None:
            raise Refused("SyntaxError", "The simulated workspace knows no answer to this query.")
        return known(Asked(dict(_LET.findall(lets[0])) if lets else {}, start, end))

    def failed_sign_ins(self, least: int) -> Knows:
        """What the documented query for failed sign-ins gives: one row with their share, none below `least`."""

        def count(asked: Asked) -> Result:
            since = datetime.fromisoformat(asked.lets["goldroll_done"].removeprefix("datetime(").removesuffix(")"))
            pools = json.loads(asked.lets["goldroll_host_pools"].removeprefix("dynamic(").removesuffix(")"))
            until = self.world.time - timedelta(minutes=15)
            counted = [attempt for attempt in self._attempts if since <= attempt.at < until and attempt.pool in pools]
            failed = sum(attempt.failed for attempt in counted)
            rows = ((round(100 * failed / len(counted), 1),),) if len(counted) >= least else ()
            return Result((Table((("Column1", "real"),), rows),))

        return count

    def _log(self, pool: HostPool, failed: bool) -> None:
        self._attempts.append(_Attempt(self.world.time, pool.id.lower(), failed))


def routes(workspaces: Workspaces) -> Iterator[Route]:
    """The one route of the query API."""

    def query(request: Request) -> Answer:
        text, span = request.body.get("query"), request.body.get("timespan")
        if not isinstance(text, str):
            return _refusal("QueryValidationError", "The query is missing.")
        start, end = (parse_time(part, "timespan") for part in span.split("/")) if span else (None, None)
        try:
            result = workspaces.ask(request.names["workspace"], text, start, end)
        except Refused as refused:
            return _refusal(refused.code, refused.message)
        body: Json = {"tables": [_table(table) for table in result.tables]}
        if result.partial:
            inner = {"code": "-2133196797", "message": result.partial, "severity": 2}
            details = [{"code": "EngineError", "message": "Something went wrong", "innererror": inner}]
            message = "There were some errors when processing your query."
            body["error"] = {"code": "PartialError", "message": message, "details": details}
        return Answer(200, body)

    yield Route("POST", "/v1/workspaces/{workspace}/query", "logs.query", query, of_manager=False)


def _table(table: Table) -> Json:
    columns = [{"name": name, "type": kind} for name, kind in table.columns]
    return {"name": table.name, "columns": columns, "rows": [list(row) for row in table.rows]}


def _refusal(code: str, message: str) -> Answer:
    inner = {"code": code, "message": "A problem was found in the query.", "innererror": {"message": message}}
    message = "The request had some invalid properties"
    return Answer(400, {"error": {"code": "BadArgumentError", "message": message, "innererror": inner}})
