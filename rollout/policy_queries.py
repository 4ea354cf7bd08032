"""What a ring's queries must be beyond their types: few, not asked too often, with a name and a number to compare."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec

from rollout.policy import QueryGate, SignInFailuresGate
from rollout.policy_check import Check
from rollout.policy_rules import iso
from rollout.policy_tree import Entry, child_path, shorten
from rollout.query_gate import MOST_LOOKS, MOST_QUERIES, SHORTEST_PAUSE
from rollout.sign_ins import SIGN_IN_FAILURES

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def check_queries(ring: Entry, check: Check) -> None:
    """Report queries of a ring that are too many, have no usable name, compare with nothing or are asked too often."""
    ready_made = ring.find("gates.sign_in_failures")
    if ready_made is not None:
        _check_times(ready_made, SignInFailuresGate, check)
    queries = ring.find("gates.queries")
    if queries is None or not isinstance(queries.data, dict):
        return
    if len(queries.data) > MOST_QUERIES:
        check.report(queries, f"has {len(queries.data)} queries; at most {MOST_QUERIES} are asked for a ring")
    for name, query in queries.data.items():
        if not _NAME.fullmatch(name):
            expected = "at most 40 lower-case letters, digits or hyphens, not beginning with a hyphen"
            check.report_at(query.path, query.line, f"expected a name of {expected}, got {shorten(name)}")
        elif name == SIGN_IN_FAILURES:
            check.report_at(query.path, query.line, "is the name of the gate sign_in_failures: take another one")
        _check_bounds(query, check)
        _check_times(query, QueryGate, check)


def _check_bounds(query: Entry, check: Check) -> None:
    if not isinstance(query.data, dict):
        return
    least, most = query.find("at_least"), query.find("at_most")
    if (least is None or least.data is None) and (most is None or most.data is None):
        check.report_at(child_path(query.path, "at_most"), query.line, "is missing, or at_least: one of them is needed")
    elif least is not None and most is not None and _number(least) > _number(most):
        check.report(least, f"must not be above at_most ({most.data}), or no number ever holds")


def _check_times(gate: Entry, model: type[QueryGate | SignInFailuresGate], check: Check) -> None:
    within, every = (_duration(gate, key, model) for key in ("within", "every"))
    if within is None or every is None:
        return
    said = gate.find("every") or gate.find("within") or gate
    if every < SHORTEST_PAUSE:
        check.report(said, f"must be at least {iso(SHORTEST_PAUSE)}, got {iso(every)}")
    elif within > MOST_LOOKS * every:
        least = iso(within / MOST_LOOKS)
        check.report(
            said, f"asking every {iso(every)} within {iso(within)} is more than {MOST_LOOKS} times: at least {least}"
        )


def _duration(gate: Entry, key: str, model: type[QueryGate | SignInFailuresGate]) -> timedelta | None:
    """What the file says, or the default; None when it says something that is no duration."""
    entry = gate.find(key)
    if entry is None:
        default = next(field.default for field in msgspec.structs.fields(model) if field.name == key)
        return default if isinstance(default, timedelta) else None
    try:
        return msgspec.convert(entry.data, timedelta)
    except msgspec.ValidationError:
        return None


def _number(entry: Entry) -> float:
    """NaN, which no comparison is true of, for what is no number."""
    usable = isinstance(entry.data, int | float) and not isinstance(entry.data, bool)
    return float(entry.data) if usable else float("nan")  # type: ignore[arg-type]
