"""What is shown of the gates of a ring: each with what has been seen, what it must be, and since or until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from rollout.gates import GateState
from rollout.policy import ApprovalGate, HealthGate, QueryGate, RingPolicy
from rollout.query_gate import judge_queries
from rollout.sign_ins import queries_of
from rollout.smoke_test import SmokeRun

LONGEST_VALUE = 200


class GateView(Struct, frozen=True, omit_defaults=True):
    """One gate of a ring: what has been seen (`value`) against what lets the ring pass (`threshold`).

    `closed`: it opens when the ring's host pools are done. `until` is when it decides by itself, if it does; `name`
    that of a query.
    """

    ring: str
    kind: Literal["SmokeTest", "Soak", "Approval", "Health", "Query"]
    state: Literal["closed", "open", "passed", "failed"]
    value: str
    threshold: str
    until: datetime | None = None
    name: str = ""


def gates_of(ring: RingPolicy, pools: tuple[str, ...], state: GateState | None, now: datetime) -> tuple[GateView, ...]:
    """The gates of a ring, in the order in which they are judged; `pools` are those that have got the version.

    `state` is None as long as the ring's pools are not done: then every gate is closed.
    """
    gates = ring.gates
    views = []
    if gates.smoke_test is not None:
        views.append(_smoke_test(ring.name, pools, {} if state is None else state.smoke, is_open=state is not None))
    if gates.soak:
        views.append(_soak(ring.name, gates.soak, state, now))
    if gates.approval is not None:
        views.append(_approval(ring.name, gates.approval, state, now))
    if gates.health is not None:
        views.append(_health(ring.name, gates.health, state))
    views += [_query(ring.name, name, query, state, now) for name, query in queries_of(gates).items()]
    return tuple(views)


def _smoke_test(ring: str, pools: tuple[str, ...], runs: dict[str, SmokeRun], *, is_open: bool) -> GateView:
    threshold = "exit code 0 on a host of each pool"
    if not is_open:
        return GateView(ring, "SmokeTest", "closed", "", threshold)
    failed = [f"{pool}: {run.message}" for pool, run in runs.items() if run.state == "failed"]
    passed = sum(run.state == "passed" for run in runs.values())
    if failed:
        return GateView(ring, "SmokeTest", "failed", failed[0][:LONGEST_VALUE], threshold)
    state: Literal["passed", "open"] = "passed" if passed >= len(pools) else "open"
    return GateView(ring, "SmokeTest", state, f"passed on {passed} of {len(pools)} pools", threshold)


def _soak(ring: str, soak: timedelta, state: GateState | None, now: datetime) -> GateView:
    threshold = f"{spoken_span(soak)} in use"
    if state is None:
        return GateView(ring, "Soak", "closed", "", threshold)
    until, seen = state.opened_at + soak, min(max(now - state.opened_at, timedelta(0)), soak)
    return GateView(ring, "Soak", "passed" if now >= until else "open", spoken_span(seen), threshold, until)


def _approval(ring: str, gate: ApprovalGate, state: GateState | None, now: datetime) -> GateView:
    threshold = f"yes of {' or '.join(gate.roles)}"
    if state is None:
        return GateView(ring, "Approval", "closed", "", threshold)
    if (answer := state.answer) is not None:
        because = f": {answer.reason}" if answer.reason else ""
        told = f"{'approved' if answer.decision == 'approve' else 'rejected'} by {answer.by}{because}"
        passed = answer.decision == "approve"
        return GateView(ring, "Approval", "passed" if passed else "failed", told[:LONGEST_VALUE], threshold)
    until = state.opened_at + gate.deadline
    if now < until or gate.on_timeout == "wait":
        return GateView(ring, "Approval", "open", "nobody has answered yet", threshold, until)
    passed = gate.on_timeout == "approve"
    return GateView(ring, "Approval", "passed" if passed else "failed", "nobody has answered in time", threshold, until)


def _health(ring: str, gate: HealthGate, state: GateState | None) -> GateView:
    threshold = f"at most {gate.max_unhealthy_percent} % of the hosts on the new version unhealthy"
    if state is None:
        return GateView(ring, "Health", "closed", "", threshold)
    until = None if state.first_look is None else state.first_look + gate.within
    look = state.look
    if look is None:
        return GateView(ring, "Health", "open", "not judged yet", threshold, until)
    if look.unreadable or not look.running:
        value = look.unreadable or "none of its hosts runs"
        return GateView(ring, "Health", "open", value[:LONGEST_VALUE], threshold, until)
    good = 100 * len(look.unhealthy) <= gate.max_unhealthy_percent * look.running
    value = f"{len(look.unhealthy)} of {look.running} unhealthy"
    return GateView(ring, "Health", "passed" if good else "open", value, threshold, until)


def _query(ring: str, name: str, gate: QueryGate, state: GateState | None, now: datetime) -> GateView:
    bounds = [(gate.at_least, "at least"), (gate.at_most, "at most")]
    threshold = " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)
    if state is None:
        return GateView(ring, "Query", "closed", "", threshold, name=name)
    look = state.queries.get(name)
    if look is None:
        return GateView(ring, "Query", "open", "not asked yet", threshold, name=name)
    verdict = judge_queries({name: gate}, {name: look}, now)
    value = f"{look.number:g}" if look.number is not None else look.no_data or look.error
    until = (look.since or look.at) + gate.within
    return GateView(ring, "Query", verdict.state, value[:LONGEST_VALUE], threshold, until, name)


def spoken_span(span: timedelta) -> str:
    """A span as people say it: "4 h", "2 h 10 min", "3 d"."""
    minutes = int(span.total_seconds() // 60)
    parts = [(minutes // 1440, "d"), (minutes % 1440 // 60, "h"), (minutes % 60, "min")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 min"
