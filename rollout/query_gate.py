"""The query gates: a Log Analytics query that gives one number, which must be neither too high nor too low.

"No data" is an answer of its own: neither success nor failure. So is a query that Log Analytics cannot understand, and
one that it could not answer; neither is ever taken for a number that holds. Times are aware UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from rollout.policy import QueryGate

MOST_QUERIES = 3
"""Queries of one ring. Every look stays in the rollout's history."""

MOST_LOOKS = 10
"""Looks of one query within its time, for the same reason."""

LONGEST_QUERY = 4000
"""A rollout carries its policy from its start to its end."""

SHORTEST_PAUSE = timedelta(minutes=1)

LATE_LOOK = timedelta(days=2)
"""How often is looked after `within`, where the policy waits for data as long as it takes."""

LONGEST_WHY = 200

BROKEN_QUERY = "QueryBroken"
"""The code of an error that stays until somebody has changed the query."""


class QueryLook(Struct, frozen=True, omit_defaults=True):
    """What a query gave at a moment: a number, or why there is none.

    `no_data` says what was missing. `error` says why nobody knows; with `broken` the query itself is wrong, so that
    asking again is of no use. `since` is when it was first asked, `not_before` until when Azure wants to be left alone.
    """

    at: datetime
    number: float | None = None
    no_data: str = ""
    error: str = ""
    broken: bool = False
    since: datetime | None = None
    not_before: datetime | None = None


class QueryVerdict(Struct, frozen=True):
    """What the looks come to. `ask`: the queries that are to be asked now."""

    state: Literal["open", "passed", "failed"]
    reason: str
    message: str
    wake_at: datetime | None = None
    ask: tuple[str, ...] = ()


class QueryFacts(Struct, frozen=True):
    """What a query may use: the version's number, the ring, its host pools' ids, when they began and were done."""

    version: str
    ring: str
    pools: tuple[str, ...]
    started: datetime
    done: datetime
    now: datetime


def judge_queries(gates: Mapping[str, QueryGate], looks: Mapping[str, QueryLook], now: datetime) -> QueryVerdict:
    """Judge a ring's queries by what is known of them so far; one that failed fails the ring at once."""
    verdicts = [_judge(name, gate, looks.get(name), now) for name, gate in gates.items()]
    failed = next((verdict for verdict in verdicts if verdict.state == "failed"), None)
    if failed is not None:
        return failed
    waits = [verdict for verdict in verdicts if verdict.state == "open"]
    if not waits:
        return QueryVerdict("passed", "QueryHolds", " and ".join(verdict.message for verdict in verdicts))
    wake_at = min((verdict.wake_at for verdict in waits if verdict.wake_at is not None), default=None)
    told = [verdict for verdict in waits if not verdict.ask] or waits
    message = " and ".join(verdict.message for verdict in told)
    ask = tuple(name for verdict in waits for name in verdict.ask)
    return QueryVerdict("open", told[-1].reason, message, wake_at, ask)


def _judge(name: str, gate: QueryGate, look: QueryLook | None, now: datetime) -> QueryVerdict:
    if look is None:
        return QueryVerdict("open", "QueryAsked", f"query {name} is asked", ask=(name,))
    since = look.since or look.at
    is_over = look.at - since >= gate.within
    reason, message = _told(name, gate, look)
    if look.number is not None and not _breach(gate, look.number):
        # It may have changed while something else was waited for.
        if now - look.at >= max(gate.every, SHORTEST_PAUSE):
            return QueryVerdict("open", "QueryAsked", f"query {name} is asked again", ask=(name,))
        return QueryVerdict("passed", reason, message)
    waits_on = gate.on_no_data == "wait" and look.number is None
    if look.no_data and is_over and gate.on_no_data == "pass":
        return QueryVerdict("passed", reason, f"{message}, which the policy lets pass")
    if not waits_on and (is_over or look.broken):
        return QueryVerdict("failed", reason, message)
    # The last look is not put off beyond the time there is.
    pause = max(gate.every, LATE_LOOK) if is_over else min(gate.every, since + gate.within - look.at)
    again = max(look.at + max(pause, SHORTEST_PAUSE), look.not_before or look.at)
    return QueryVerdict("open", reason, message, again, (name,) if now >= again else ())


def _told(name: str, gate: QueryGate, look: QueryLook) -> tuple[str, str]:
    """The code and the sentence of a look. The code of a number that does not hold is the only one against an image."""
    if look.broken:
        return "QueryBroken", f"query {name} cannot be used as it stands: {look.error}"
    if look.error:
        return "QueryUnanswered", f"query {name} was not answered: {look.error}"
    if look.number is None:
        return "QueryNoData", f"query {name} has no data: {look.no_data}"
    breach = _breach(gate, look.number)
    if breach:
        return "QueryBreached", f"query {name} gives {look.number:g}, {breach}"
    return "QueryHolds", f"query {name} gives {look.number:g}"


def _breach(gate: QueryGate, number: float) -> str:
    """How a number misses what is wanted, "" when it holds."""
    if gate.at_most is not None and number > gate.at_most:
        return f"more than {gate.at_most:g}"
    if gate.at_least is not None and number < gate.at_least:
        return f"less than {gate.at_least:g}"
    return ""


def with_look(looks: Mapping[str, QueryLook], name: str, look: QueryLook) -> dict[str, QueryLook]:
    """The looks with a newer one; it remembers when the query was first asked."""
    before = looks.get(name)
    since = look.at if before is None else before.since or before.at
    return {**looks, name: structs.replace(look, since=since, error=look.error[:LONGEST_WHY])}


# ------------------------------------------------------------------------------------------------------- what is asked


def span_of(gate: QueryGate, facts: QueryFacts) -> tuple[datetime, datetime]:
    """From when until when the query looks: `timespan` until now, or since the ring's first host pool was started."""
    start = facts.started if gate.timespan is None else facts.now - gate.timespan
    return min(start, facts.now - SHORTEST_PAUSE), facts.now


def filled(query: str, facts: QueryFacts) -> str:
    """The query with a `let` before it for each of Goldroll's names that it uses; without any it stays as it is.

    The values are literals of KQL's own, so that nothing in them can be read as a part of the query.
    """
    used = set(re.findall(r"\bgoldroll_\w+", query))
    lets = [f"let {name} = {value};" for name, value in _literals(facts) if name in used]
    return "\n".join([" ".join(lets), query]) if lets else query


def unknown_names(query: str) -> list[str]:
    """What the query takes for a name of Goldroll's and is none."""
    known = {name for name, _ in _literals(_NOTHING)}
    return sorted(set(re.findall(r"\bgoldroll_\w+", query)) - known)


def known_names() -> tuple[str, ...]:
    """Every name that a query may use."""
    return tuple(name for name, _ in _literals(_NOTHING))


def _literals(facts: QueryFacts) -> Iterable[tuple[str, str]]:
    return (
        ("goldroll_version", json.dumps(facts.version)),
        ("goldroll_ring", json.dumps(facts.ring)),
        # Log Analytics writes the ids in _ResourceId in lower case.
        ("goldroll_host_pools", f"dynamic({json.dumps([pool.lower() for pool in facts.pools])})"),
        ("goldroll_started", _datetime(facts.started)),
        ("goldroll_done", _datetime(facts.done)),
        ("goldroll_now", _datetime(facts.now)),
    )


def _datetime(moment: datetime) -> str:
    return f"datetime({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z)"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = QueryFacts("", "", (), _EPOCH, _EPOCH, _EPOCH)
