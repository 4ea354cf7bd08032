"""What Application Insights would hold of a run, and which alerts Azure Monitor would raise on it.

The tables have the columns that the Functions host fills and our queries read (azure-webjobs-sdk,
ApplicationInsightsLogger): a line of Python's logging is a row of AppTraces; each run of a function is a row of
AppRequests, whose Success says that it ended without an exception, and whose ResultCode is "0" unless it answers HTTP.
Telemetry arrives at once here; in Azure it takes minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import takewhile
from typing import Any

import duckdb
import duckdb_kql

from demo.run import Run
from localhost import ActivityFinished, EpisodeFinished, FunctionFinished, LogLine
from localhost.events import HostEvent
from tests.alerts.rules import Rule, deployed

_SEVERITY = {"DEBUG": 0, "INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}

_WINDOW = "TimeGenerated > getvariable('after') AND TimeGenerated <= getvariable('until')"
_TABLES = f"""
    CREATE TABLE traces (TimeGenerated TIMESTAMP, Message VARCHAR, SeverityLevel BIGINT);
    CREATE TABLE requests (TimeGenerated TIMESTAMP, Name VARCHAR, Success BOOLEAN, ResultCode VARCHAR);
    CREATE VIEW AppTraces AS SELECT * FROM traces WHERE {_WINDOW};
    CREATE VIEW AppRequests AS SELECT * FROM requests WHERE {_WINDOW};
"""

Database = duckdb.DuckDBPyConnection

Raised = dict[str, list[datetime]]
"""When each alert was raised; those that were not are left out."""


class Telemetry:
    """Takes in what a host tells, and evaluates alert rules over it."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.traces: list[tuple[datetime, str, int]] = []
        self.requests: list[tuple[datetime, str, bool, str]] = []
        self._metrics: dict[str, list[datetime]] = {}

    def take(self, event: HostEvent) -> None:
        """Take in what the host has told."""
        at = event.at.replace(tzinfo=None)
        if isinstance(event, LogLine):
            # What the local host says of itself is not what Azure's says.
            if not event.logger.startswith("localhost"):
                self.traces.append((at, event.message, _SEVERITY[event.level]))
        elif isinstance(event, ActivityFinished):
            self.requests.append((at, event.name, event.error is None, "0"))
        elif isinstance(event, EpisodeFinished):
            self.requests.append((at, event.name, event.status != "Failed", "0"))
        elif isinstance(event, FunctionFinished):
            code = "0" if event.trigger != "httpTrigger" else "200" if event.error is None else "500"
            self.requests.append((at, event.name, event.error is None, code))

    def log(self, at: datetime, message: str, level: str = "INFO") -> None:
        """Take in a line that no host has told."""
        self.take(LogLine(at, "goldroll", level, message))

    def count(self, metric: str, at: Sequence[datetime]) -> None:
        """Take in a metric that counts what happened at these moments."""
        self._metrics[metric] = [one.replace(tzinfo=None) for one in at]

    def raised(self, begins: datetime, ends: datetime, rules: Sequence[Rule] = ()) -> Raised:
        """Which alerts were raised, and when: every rule is evaluated at its times, also shortly after the end."""
        with duckdb.connect() as database:
            database.execute(_TABLES)
            _fill(database, "traces", self.traces)
            _fill(database, "requests", self.requests)
            found = {rule.name: self._times(database, rule, begins, ends) for rule in rules or deployed()}
        return {name: times for name, times in found.items() if times}

    def _times(self, database: Database, rule: Rule, begins: datetime, ends: datetime) -> list[datetime]:
        times, standing, last = list[datetime](), set[str](), begins
        for moment in self._worth_a_look(database, rule, begins, ends):
            met = self._met(database, rule, moment - rule.window, moment)
            if moment - last > rule.every:
                standing = set()
            if met - standing or (met and not rule.lasts):
                times.append(moment)
            standing, last = met, moment
        return times

    def _worth_a_look(self, database: Database, rule: Rule, begins: datetime, ends: datetime) -> list[datetime]:
        """Those of the rule's times, counted from the beginning, whose window holds anything that it looks for.

        At all others nothing is met: see `_selection`.
        """
        if rule.metric:
            found = [at.replace(tzinfo=UTC) for at in self._metrics.get(rule.metric, ())]
        else:
            self._met(database, rule, begins - rule.window, ends)  # fails at once where the query is wrong
            rows = database.execute(_sql(_selection(rule.query), "TimeGenerated")).fetchall()
            found = [at.replace(tzinfo=UTC) for (at,) in rows]
        worth = set[datetime]()
        for at in found:
            moment = begins - (begins - at) // rule.every * rule.every  # the first one at or after it
            while moment - rule.window < at:
                worth.add(moment)
                moment += rule.every
        return sorted(worth)

    def _met(self, database: Database, rule: Rule, after: datetime, until: datetime) -> set[str]:
        """For which values of `per` ("" without) the condition is met by what came after one moment until another."""
        if rule.metric:
            total = sum(after < at.replace(tzinfo=UTC) <= until for at in self._metrics.get(rule.metric, ()))
            return {""} if total > rule.threshold else set()
        _look_at(database, after, until)
        counts = Counter(str(row[0]) for row in database.execute(_sql(rule.query, rule.per or "''")).fetchall())
        return {value for value, count in counts.items() if count > rule.threshold}


class Observed(Run):
    """A run whose telemetry is kept."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """As a Run."""
        self.telemetry = Telemetry()
        super().__init__(*given, **named)

    def _hear(self, event: HostEvent) -> None:
        super()._hear(event)
        self.telemetry.take(event)

    def raised(self) -> Raised:
        """Which alerts were raised when it is over, and when."""
        dead = [letter.dead_at for letter in self.event_grid.dead_letters if letter.dead_at is not None]
        self.telemetry.count("DeadLetteredCount", dead)
        return self.telemetry.raised(self.scenario.begins, self.clock.now())


def _look_at(database: Database, after: datetime, until: datetime) -> None:
    """Let the tables hold what came after one moment until another."""
    for name, moment in (("after", after), ("until", until)):
        database.execute(f"SET VARIABLE {name} = ?::TIMESTAMP", [moment.replace(tzinfo=None)])


@cache
def _sql(query: str, column: str) -> str:
    """A column of the query's result, in DuckDB's SQL. Raises duckdb_kql.KqlError for a query that it cannot read."""
    return f"SELECT {column} FROM ({duckdb_kql.to_sql(query)})"


def _selection(query: str) -> str:
    """The beginning of a query that says which rows of its table it looks for.

    Where there are none of these, the rest has no row either: AssertionError when that is not plain to see.
    """
    table, *rest = _parts(query)
    chosen = list(takewhile(lambda part: part.split()[0] == "where", rest))
    for part in rest[len(chosen) :]:
        name = part.split()[0]
        assert name in ("where", "extend") or (name == "summarize" and " by " in part), f"may {part} make rows of none?"
    return "|".join([table, *chosen])


def _parts(query: str) -> list[str]:
    """The operators of a query: what stands between its pipes, those in texts aside."""
    parts, quoted, part = [], "", ""
    for character in query:
        if character in "'\"" and quoted in ("", character):
            quoted = "" if quoted else character
        if character == "|" and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def _fill(database: Database, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    # One statement with all values: a row at a time takes a hundred times as long.
    marks = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
    database.execute(f"INSERT INTO {table} VALUES {marks}", [value for row in rows for value in row])
