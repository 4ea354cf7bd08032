"""The query gates: numbers that hold, that hold late or never, no data, and queries that nobody can answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates import HealthLook
from rollout.policy import ApprovalGate, HealthGate, QueryGate, SignInFailuresGate, hours, minutes
from rollout.query_gate import QueryFacts, QueryLook, filled, known_names, unknown_names
from rollout.ring_state import was_rejected
from rollout.ring_steps import QueryLogs
from rollout.sign_ins import SIGN_IN_FAILURES
from rollout.verdicts import Verdict
from tests.rollout.ring_world import TUESDAY, RingWorld, a_ring, a_rollout, approves

WORKSPACE = "11111111-2222-3333-4444-555555555555"
DONE = TUESDAY + hours(1)
"""When the first ring's pools are done, and its query is first asked."""

Logs = Callable[[QueryLogs, datetime], QueryLook]


def a_query(**fields: Any) -> QueryGate:
    """At most five errors, looked for every half hour within two."""
    defaults: dict[str, Any] = {"query": "Errors | count", "at_most": 5, "every": minutes(30), "within": hours(2)}
    return QueryGate(workspace_id=WORKSPACE, **{**defaults, **fields})


def play(logs: Logs, answers: Any = (), until: timedelta = timedelta(days=60), **gates: Any) -> RingWorld:
    """Two rings of a pool each; the first has one query, `errors`, unless `gates` say otherwise."""
    gates = {"queries": {"errors": a_query()}, **gates}
    rollout = a_rollout(a_ring("validation", "test", **gates), a_ring("people", "office"), latest="earned")
    return RingWorld(rollout, answers=list(answers), logs=logs).play(until)


def numbers(*values: float | None) -> Logs:
    """These numbers one after the other (None: no row), then the last one for ever."""
    left = list(values)

    def answer(step: QueryLogs, at: datetime) -> QueryLook:
        value = left.pop(0) if len(left) > 1 else left[0]
        return QueryLook(at, no_data="it gives no row") if value is None else QueryLook(at, number=value)

    return answer


def failing(message: str, *, broken: bool = False, wait: timedelta = timedelta(0)) -> Logs:
    return lambda step, at: QueryLook(at, error=message, broken=broken, not_before=at + wait)


def reason(world: RingWorld) -> tuple[str, str]:
    ring = world.progress.rings["validation"]
    return ring.reason, ring.why


def asked_after(world: RingWorld) -> list[timedelta]:
    """When the query was asked, counted from the first time."""
    return [at - world.queries[0][0] for at, _ in world.queries]


# ----------------------------------------------------------------------------------------------------- numbers


def test_a_number_that_holds_lets_the_next_ring_start_at_once() -> None:
    world = play(numbers(5))
    assert world.started["office"] == DONE
    assert "ring validation has passed: query errors gives 5" in world.told


def test_a_number_that_is_too_high_has_some_time_to_come_down() -> None:
    world = play(numbers(9, 7, 3))
    assert world.started["office"] == DONE + hours(1)
    assert "ring validation: query errors gives 9, more than 5" in world.told


def test_a_number_that_stays_too_high_fails_the_ring_and_the_image() -> None:
    world = play(numbers(9))
    assert reason(world) == ("QueryBreached", "query errors gives 9, more than 5")
    assert asked_after(world) == [minutes(30 * n) for n in range(5)]
    assert was_rejected(world.progress)
    assert world.marks[-1][1].finding is not None
    assert world.marks[-1][1].finding.verdict is Verdict.FAILED


@pytest.mark.parametrize(("value", "holds"), [(9.99, False), (10, True), (20, True), (20.01, False)])
def test_a_number_can_have_bounds_on_both_sides(value: float, holds: bool) -> None:
    world = play(numbers(value), queries={"users": a_query(at_least=10, at_most=20)})
    assert ("office" in world.started) is holds


def test_the_last_look_comes_when_the_time_is_over_and_not_later() -> None:
    world = play(numbers(9), queries={"errors": a_query(every=minutes(50))})
    assert asked_after(world) == [minutes(0), minutes(50), minutes(100), hours(2)]


# ----------------------------------------------------------------------------------------------------- no data


def test_no_data_is_no_success_and_is_told_as_such() -> None:
    world = play(numbers(None), until=hours(2))
    assert "office" not in world.started
    assert world.progress.message == "ring validation: query errors has no data: it gives no row"


def test_data_that_comes_late_counts() -> None:
    assert play(numbers(None, None, 1)).started["office"] == DONE + hours(1)


def test_a_ring_without_data_fails_by_default_and_says_nothing_about_the_image() -> None:
    world = play(numbers(None))
    assert reason(world) == ("QueryNoData", "query errors has no data: it gives no row")
    assert world.now == DONE + hours(2)
    assert [mark.kind for _, mark in world.marks] == ["hold_back"]


def test_a_policy_may_let_a_ring_without_data_pass_but_not_at_once() -> None:
    world = play(numbers(None), queries={"errors": a_query(on_no_data="pass")})
    assert world.started["office"] == DONE + hours(2)
    assert "it gives no row, which the policy lets pass" in reason(world)[1]


def test_a_policy_that_lets_no_data_pass_lets_no_bad_number_pass() -> None:
    world = play(numbers(None, 9), queries={"errors": a_query(on_no_data="pass")})
    assert reason(world)[0] == "QueryBreached"


def test_a_policy_may_wait_for_data_as_long_as_it_takes_and_then_seldom_looks() -> None:
    empty_for_a_month = numbers(*[None] * 19, 2)
    world = play(empty_for_a_month, queries={"errors": a_query(on_no_data="wait")})
    assert timedelta(days=28) < world.started["office"] - DONE < timedelta(days=31)
    assert len(world.queries) == 20


def test_waiting_for_data_is_no_waiting_for_a_better_number() -> None:
    world = play(numbers(None, None, None, None, None, 9), queries={"errors": a_query(on_no_data="wait")})
    assert reason(world)[0] == "QueryBreached"


# ---------------------------------------------------------------------------------------------- queries without answer


@pytest.mark.parametrize("on_no_data", ["fail", "pass"])
def test_a_query_that_cannot_be_understood_fails_the_ring_at_once(on_no_data: Any) -> None:
    logs = failing("Failed to resolve table 'Errrs'", broken=True)
    world = play(logs, queries={"errors": a_query(on_no_data=on_no_data)})
    assert reason(world) == (
        "QueryBroken",
        "query errors cannot be used as it stands: Failed to resolve table 'Errrs'",
    )
    assert world.now == DONE
    assert [mark.kind for _, mark in world.marks] == ["hold_back"]


def test_where_data_is_waited_for_a_query_that_cannot_be_understood_is_told_and_asked_again() -> None:
    """A table that nothing has been written to yet is a table that does not exist."""

    def logs(step: QueryLogs, at: datetime) -> QueryLook:
        there = at >= DONE + hours(1)
        return QueryLook(at, number=0) if there else QueryLook(at, error="no such table", broken=True)

    world = play(logs, queries={"errors": a_query(on_no_data="wait")})
    assert "ring validation: query errors cannot be used as it stands: no such table" in world.told
    assert world.started["office"] == DONE + hours(1)


@pytest.mark.parametrize("on_no_data", ["fail", "pass"])
def test_a_query_that_is_never_answered_fails_the_ring_whatever_is_said_of_no_data(on_no_data: Any) -> None:
    world = play(failing("the result is not complete"), queries={"errors": a_query(on_no_data=on_no_data)})
    assert reason(world) == ("QueryUnanswered", "query errors was not answered: the result is not complete")
    assert world.now == DONE + hours(2)


def test_a_workspace_that_is_asked_too_often_is_left_alone_until_it_says() -> None:
    world = play(failing("too many requests", wait=minutes(45)))
    assert asked_after(world)[:3] == [minutes(0), minutes(45), minutes(90)]


def test_what_a_query_complains_of_is_cut_because_it_stays_in_the_state() -> None:
    assert len(reason(play(failing("x" * 9000, broken=True)))[1]) < 300


# -------------------------------------------------------------------------------------------------------- together


def test_several_queries_must_all_hold() -> None:
    def logs(step: QueryLogs, at: datetime) -> QueryLook:
        return QueryLook(at, number=0 if step.name == "crashes" or at >= DONE + hours(1) else 80)

    world = play(logs, queries={"crashes": a_query(), "slow": a_query(at_most=10)})
    assert world.started["office"] == DONE + hours(1)
    assert "ring validation has passed: query crashes gives 0 and query slow gives 0" in world.told


def test_a_query_that_held_is_asked_again_when_another_has_taken_its_time() -> None:
    def logs(step: QueryLogs, at: datetime) -> QueryLook:
        if step.name == "crashes":
            return QueryLook(at, number=0 if at < DONE + hours(1) else 50)
        return QueryLook(at, number=0 if at >= DONE + hours(1) else 80)

    world = play(logs, queries={"crashes": a_query(), "slow": a_query(at_most=10)})
    assert reason(world) == ("QueryBreached", "query crashes gives 50, more than 5")


def test_queries_are_asked_last_and_of_the_time_since_the_ring_began() -> None:
    answers = [(TUESDAY + timedelta(days=1), approves("validation"))]
    world = play(numbers(0), answers, soak=hours(5), approval=ApprovalGate())
    ((at, step),) = world.queries
    assert at == step.end == TUESDAY + timedelta(days=1)
    assert step.start == TUESDAY


def test_a_query_looks_back_as_far_as_the_policy_says() -> None:
    ((_, step),) = play(numbers(0), queries={"errors": a_query(timespan=minutes(20))}).queries
    assert (step.start, step.end) == (DONE - minutes(20), DONE)


def test_health_and_queries_must_both_hold() -> None:
    rollout = a_rollout(a_ring("validation", "test", health=HealthGate(), queries={"errors": a_query()}))
    world = RingWorld(rollout, logs=numbers(0))
    world.health = lambda pool, at: HealthLook(at, 4, {} if at >= DONE + minutes(45) else {"avd-001": "sick"})
    world.play()
    assert world.phase_of("validation") == "Passed"
    assert world.now >= DONE + minutes(45)
    assert any(told.endswith("4 healthy hosts of 4 and query errors gives 0") for told in world.told)


# ------------------------------------------------------------------------------------------------- failed sign-ins


def test_failed_sign_ins_are_a_query_that_is_ready_made() -> None:
    gate = SignInFailuresGate(workspace_id=WORKSPACE, at_most_percent=5, least_sign_ins=30)
    world = play(numbers(None, 5.2, 4.8), queries={}, sign_in_failures=gate)

    assert world.started["office"] == DONE + hours(2)
    assert {step.name for _, step in world.queries} == {SIGN_IN_FAILURES}
    first = world.queries[0][1].query
    assert "| where SignIns >= 30" in first
    assert "let goldroll_done = datetime(2026-11-10T21:00:00.000000Z);" in first.splitlines()[0]
    assert "{" not in first


def test_too_few_sign_ins_are_no_success() -> None:
    gate = SignInFailuresGate(workspace_id=WORKSPACE)
    world = play(numbers(None), queries={}, sign_in_failures=gate)
    assert reason(world)[0] == "QueryNoData"
    assert world.now == DONE + hours(10)


# ------------------------------------------------------------------------------------------------ what a query can use


def facts(**said: Any) -> QueryFacts:
    moment = datetime(2026, 11, 10, 20, 0, tzinfo=UTC)
    given: dict[str, Any] = {"version": "2.0.0", "ring": "validation", "pools": ("/Sub/Pool",)}
    return QueryFacts(**{**given, "started": moment, "done": moment + hours(1), "now": moment + hours(2), **said})


def test_a_query_that_uses_no_name_is_sent_as_it_stands() -> None:
    assert filled("Errors | count", facts()) == "Errors | count"


def test_a_query_gets_the_names_that_it_uses_and_no_others() -> None:
    query = "Errors | where Version == goldroll_version and Pool in (goldroll_host_pools) | count"
    assert filled(query, facts()).splitlines() == [
        'let goldroll_version = "2.0.0"; let goldroll_host_pools = dynamic(["/sub/pool"]);',
        query,
    ]


@given(st.text())
def test_nothing_in_a_value_can_end_its_literal(text: str) -> None:
    let = filled("print goldroll_ring", facts(ring=text)).split("\nprint")[0]
    literal = let.removeprefix("let goldroll_ring = ").removesuffix(";")
    assert json.loads(literal) == text
    assert re.fullmatch(r'"([^"\\\n]|\\.)*"', literal)


def test_names_that_goldroll_does_not_know_are_found() -> None:
    assert unknown_names("print goldroll_ring, goldroll_rings") == ["goldroll_rings"]
    assert "goldroll_now" in known_names()
