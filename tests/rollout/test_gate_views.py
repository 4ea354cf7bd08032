"""What is shown of a ring's gates: what has been seen against what must be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.gate_views import GateView, gates_of
from rollout.gates import Approval, GateState, HealthLook
from rollout.policy import (
    ApprovalGate,
    GatesPolicy,
    HealthGate,
    QueryGate,
    RingPolicy,
    SmokeTestGate,
    hours,
    minutes,
)
from rollout.query_gate import QueryLook
from rollout.smoke_test import SmokeRun

OPENED = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ALL = GatesPolicy(
    soak=hours(4),
    smoke_test=SmokeTestGate(script="exit 0"),
    approval=ApprovalGate(deadline=hours(24), roles=("Approver", "Lead")),
    health=HealthGate(max_unhealthy_percent=10),
)


def look(policy: GatesPolicy, state: GateState | None, *, after: timedelta = timedelta(0)) -> tuple[GateView, ...]:
    ring = RingPolicy(name="validation", host_pools=("one", "two"), gates=policy)
    return gates_of(ring, ("one", "two"), state, OPENED + after)


def seen(view: GateView) -> tuple[str, str]:
    return view.state, view.value


def test_a_ring_without_gates_shows_none() -> None:
    assert look(GatesPolicy(), GateState(OPENED)) == ()


def test_before_the_pools_are_done_every_gate_is_closed_and_says_what_it_will_want() -> None:
    views = look(ALL, None)

    assert [(view.kind, view.state, view.threshold) for view in views] == [
        ("SmokeTest", "closed", "exit code 0 on a host of each pool"),
        ("Soak", "closed", "4 h in use"),
        ("Approval", "closed", "yes of Approver or Lead"),
        ("Health", "closed", "at most 10 % of the hosts on the new version unhealthy"),
    ]


def test_open_gates_say_how_far_they_are_and_until_when() -> None:
    run = SmokeRun(OPENED, "passed", "avd-001")
    smoke, soak, approval, health = look(ALL, GateState(OPENED, smoke={"one": run}), after=minutes(95))

    assert seen(smoke) == ("open", "passed on 1 of 2 pools")
    assert (*seen(soak), soak.until) == ("open", "1 h 35 min", OPENED + hours(4))
    assert (*seen(approval), approval.until) == ("open", "nobody has answered yet", OPENED + hours(24))
    assert (*seen(health), health.until) == ("open", "not judged yet", None)


def test_gates_that_hold_have_passed() -> None:
    state = GateState(
        OPENED,
        answer=Approval("validation", "approve", "andrea@contoso.com", reason="printing works"),
        smoke={pool: SmokeRun(OPENED, "passed", "avd-001") for pool in ("one", "two")},
        look=HealthLook(OPENED, running=20, unhealthy={"one/avd-001": "no heartbeat"}),
        first_look=OPENED,
    )

    assert [seen(view) for view in look(ALL, state, after=hours(5))] == [
        ("passed", "passed on 2 of 2 pools"),
        ("passed", "4 h"),
        ("passed", "approved by andrea@contoso.com: printing works"),
        ("passed", "1 of 20 unhealthy"),
    ]


@pytest.mark.parametrize(
    ("policy", "state", "expected"),
    [
        (
            {"smoke_test": SmokeTestGate(script="exit 1")},
            GateState(OPENED, smoke={"one": SmokeRun(OPENED, "failed", "avd-001", message="exit code 1")}),
            ("failed", "one: exit code 1"),
        ),
        (
            {"approval": ApprovalGate()},
            GateState(OPENED, answer=Approval("validation", "reject", "andrea@contoso.com")),
            ("failed", "rejected by andrea@contoso.com"),
        ),
        (
            {"approval": ApprovalGate(deadline=hours(1), on_timeout="reject")},
            GateState(OPENED),
            ("failed", "nobody has answered in time"),
        ),
        (
            {"approval": ApprovalGate(deadline=hours(1), on_timeout="approve")},
            GateState(OPENED),
            ("passed", "nobody has answered in time"),
        ),
        (
            {"approval": ApprovalGate(deadline=hours(1), on_timeout="wait")},
            GateState(OPENED),
            ("open", "nobody has answered yet"),
        ),
        (
            {"health": HealthGate()},
            GateState(OPENED, look=HealthLook(OPENED, running=4, unhealthy={"one/avd-001": "no heartbeat"})),
            ("open", "1 of 4 unhealthy"),
        ),
        ({"health": HealthGate()}, GateState(OPENED, look=HealthLook(OPENED)), ("open", "none of its hosts runs")),
        (
            {"health": HealthGate()},
            GateState(OPENED, look=HealthLook(OPENED, unreadable="403")),
            ("open", "403"),
        ),
    ],
)
def test_a_gate_that_does_not_hold_says_why(
    policy: dict[str, Any], state: GateState, expected: tuple[str, str]
) -> None:
    (view,) = look(GatesPolicy(**policy), state, after=hours(2))

    assert seen(view) == expected


def test_a_query_shows_its_number_against_what_it_must_be() -> None:
    failures = QueryGate(workspace_id="w", query="q", at_most=5, at_least=0.5)
    policy = GatesPolicy(queries={"crashes": failures})
    looks = {"crashes": QueryLook(OPENED, number=7.5)}

    closed, unasked, breached, silent = (
        look(policy, state, after=minutes(1))[0]
        for state in (
            None,
            GateState(OPENED),
            GateState(OPENED, queries=looks),
            GateState(OPENED, queries={"crashes": QueryLook(OPENED, no_data="no row")}),
        )
    )

    assert (closed.kind, closed.name, closed.threshold) == ("Query", "crashes", "at least 0.5 and at most 5")
    assert [seen(view) for view in (closed, unasked)] == [("closed", ""), ("open", "not asked yet")]
    assert (*seen(breached), breached.until) == ("open", "7.5", OPENED + hours(2))
    assert seen(silent) == ("open", "no row")
