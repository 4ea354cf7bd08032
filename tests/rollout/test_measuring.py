"""What is measured of a turn: figures that agree with the pool and with each other, and each thing once."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest
from msgspec import structs

from rollout.measuring import METRICS, Measurement, of_delivery, of_failure, of_retirement, of_smoke_test, of_turn
from rollout.model import HostProgress, ImageVersion, Phase, PoolSnapshot, RolloutState, Stage
from rollout.outcomes import record
from rollout.policy import hours, minutes
from rollout.pool import decide, decide_unreadable
from rollout.retention import DeleteVersion, RetentionPlan, VersionPlan
from rollout.steps import DEFERRED, Decision, RemoveHost, StepError, StepOutcome, StopDraining
from rollout.verdicts import Verdict
from tests.rollout.builders import (
    MORNING,
    NEXT,
    ROLLOUT,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    hosts_named,
    registration_of,
    version_id,
    vm_id,
)

NEW = "avd-013"
BUSY = StepError("503", "the service is busy")

Told = dict[str, list[tuple[dict[str, str], float]]]


def told_of(
    before: RolloutState,
    pool: PoolSnapshot | None,
    now: datetime = MORNING,
    decision: Decision | None = None,
    **policy: Any,
) -> Told:
    """What a turn tells: of this pool and these memories, or of a decision that is given."""
    rules = a_policy(**policy)
    if decision is None:
        assert pool is not None
        decision = decide(before, pool, rules, now)
    found: Told = defaultdict(list)
    for measured in of_turn(before, decision, pool, rules, now):
        assert measured.attributes.keys() == set(METRICS[measured.metric].attributes)
        found[measured.metric].append((measured.attributes, measured.value))
    return found


def by(told: Told, metric: str, attribute: str) -> dict[str, float]:
    return {attributes[attribute]: value for attributes, value in told[metric]}


def values(told: Told, metric: str) -> list[float]:
    return [value for _, value in told[metric]]


# ------------------------------------------------------------------------------------------------------ the pool itself


def test_every_host_is_in_exactly_one_state() -> None:
    hosts = [*hosts_named(7), a_draining_host("avd-008"), a_draining_host("avd-009", sessions=2), a_host(NEW, NEXT)]
    leaving = {"avd-009": HostProgress(Stage.DRAINING, MORNING, asked=True)}
    state = a_rolling_state(a_pool(hosts), leaving, skipped={"avd-001": "Locked"})

    states = by(told_of(state, a_pool(hosts)), "rollout_hosts", "state")

    assert sum(states.values()) >= len(hosts)  # new hosts that are ordered in this turn are in hand as well
    assert (states["Current"], states["SetAside"], states["Draining"]) == (1, 1, 1)
    assert {str(stage) for stage in Stage} - {"Steering"} <= states.keys()
    assert "Steering" not in states, "that word is for those that a step is on its way to; people see them as steered"


def test_hosts_that_are_steered_are_told_apart_from_those_in_hand() -> None:
    hosts = [*hosts_named(10), a_draining_host("avd-011", sessions=9), a_host(NEW, NEXT)]

    told = told_of(a_rolling_state(a_pool(hosts)), a_pool(hosts))

    assert by(told, "rollout_hosts", "state")["Steered"] >= 1


def test_available_are_those_that_people_can_go_to() -> None:
    hosts = [
        a_host("avd-001"),
        a_host("avd-002", drained=True),
        a_host("avd-003", powered_off=True),
        a_host("avd-004", status="Unavailable"),
    ]

    told = told_of(a_state(), a_pool(hosts))

    assert values(told, "rollout_hosts_available") == [1]
    assert values(told, "rollout_hosts_unavailable") == [3]
    assert values(told, "rollout_hosts_desired") == [4]


def test_versions_are_counted_and_the_target_also_when_no_host_has_it() -> None:
    hosts = [*hosts_named(3), a_host("avd-004", "0.9.0"), a_host("avd-005", image_version_id="")]

    versions = by(told_of(a_state(), a_pool(hosts)), "fleet_version_hosts", "version")

    assert versions == {"1.0.0": 3, "0.9.0": 1, "unknown": 1, NEXT: 0}


def test_a_versions_age_is_told_in_days_where_azure_says_when_it_was_published() -> None:
    image = ImageVersion(version_id(NEXT), published_at=MORNING - hours(36))

    assert values(told_of(a_state(), structs.replace(a_pool(), image=image)), "image_version_age_days") == [1.5]
    assert values(told_of(a_state(), a_pool()), "image_version_age_days") == []


def test_the_budget_is_what_the_policy_allows_and_what_leaves() -> None:
    leaving = {f"avd-{n:03}": HostProgress(Stage.REMOVING, MORNING) for n in (1, 2)}
    pool = a_pool(outdated=8, current=0)
    decision = Decision(a_rolling_state(pool, leaving))

    told = told_of(decision.state, pool, decision=decision, max_wave="50%")

    assert values(told, "rollout_allowed_disruptions") == [4]
    assert values(told, "rollout_hosts_consuming_budget") == [2]


def test_of_a_pool_that_nobody_can_read_no_figure_is_told() -> None:
    before = a_rolling_state(a_pool())

    told = told_of(before, None, decision=decide_unreadable(before, BUSY, MORNING))

    assert told.keys() == {"rollout_info", "rollout_sessions_signed_out_total"}
    assert told["rollout_info"][0][0]["region"] == ""


# ------------------------------------------------------------------------------------------------------------ the phase


def test_the_phase_that_is_left_is_told_to_be_over() -> None:
    told = told_of(a_state(), a_pool())

    assert by(told, "rollout_info", "phase") == {"Canary": 1, "Scheduled": 0}
    ((moved, count),) = told["rollout_phase_transitions_total"]
    assert (moved["from"], moved["to"], moved["reason"], count) == ("Scheduled", "Canary", "ProvingCanary", 1)


def test_a_turn_that_changes_no_phase_tells_of_none() -> None:
    first = decide(a_state(), a_pool(), a_policy(), MORNING)

    told = told_of(first.state, a_pool(), MORNING + minutes(1))

    assert by(told, "rollout_info", "phase") == {"Canary": 1}
    assert "rollout_phase_transitions_total" not in told


def test_the_rollout_is_that_of_the_whole_and_the_pool_that_of_the_policy() -> None:
    before = structs.replace(a_state(), rollout_id="image-gal-win11-2.0.0-abcdef:office")

    ((attributes, _), *_) = told_of(before, a_pool())["rollout_info"]

    assert (attributes["rollout"], attributes["pool"]) == ("image-gal-win11-2.0.0-abcdef", "office")


@pytest.mark.parametrize(
    ("phase", "reason", "is_blocked"),
    [
        (Phase.WAITING_CAPACITY, "SkuNotAvailable", True),
        (Phase.WAITING_WINDOW, "WindowClosed", True),
        (Phase.WAITING_REPLICATION, "NotReplicated", True),
        (Phase.SCHEDULED, "PoolInUse", True),
        (Phase.SCHEDULED, "", False),
        (Phase.ROLLING, "Replacing", False),
    ],
)
def test_time_for_which_it_was_blocked_is_told_when_it_is_over(phase: Phase, reason: str, is_blocked: bool) -> None:
    before = a_state(phase=phase, reason=reason, since=MORNING - hours(2))

    told = told_of(before, a_pool())

    assert by(told, "rollout_blocked_seconds_total", "reason") == ({reason: 7200} if is_blocked else {})


def test_a_pause_is_told_with_its_length_when_it_is_over() -> None:
    before = a_state(phase=Phase.PAUSED, reason="PausedByOperator", since=MORNING - minutes(10))

    assert values(told_of(before, a_pool()), "rollout_manual_pause_duration_seconds") == [600]


def test_the_end_is_told_with_how_long_it_took() -> None:
    pool = a_pool(outdated=0, current=3)
    before = a_rolling_state(pool, started_at=MORNING - hours(3))

    told = told_of(before, pool)

    assert by(told, "rollout_duration_seconds", "status") == {"Succeeded": 3 * 3600}


# ----------------------------------------------------------------------------------------------------- people and gates


def test_sign_outs_are_totals_so_that_telling_them_twice_changes_nothing() -> None:
    before = a_rolling_state(a_pool(), forced_sign_outs=5, disconnected_sign_outs=2, signed_out=("a", "b", "c", "d"))

    first = told_of(before, a_pool())["rollout_sessions_signed_out_total"]

    assert [(at["kind"], value) for at, value in first] == [("forced", 5), ("disconnected", 2), ("repeat", 1)]
    assert told_of(before, a_pool())["rollout_sessions_signed_out_total"] == first
    assert METRICS["rollout_sessions_signed_out_total"].kind == "gauge"


def test_the_canarys_verdict_is_told_once() -> None:
    before = a_state(desired=3, canary=(NEW,))
    passed = structs.replace(before, canary_passed=True)
    failed = structs.replace(before, phase=Phase.HALTED, reason="NotReadyInTime", quarantined={NEW: "NotReadyInTime"})

    for after, verdict in ((passed, "passed"), (failed, "failed")):
        assert by(told_of(before, None, decision=Decision(after)), "rollout_gate_result", "verdict") == {verdict: 1}
        assert "rollout_gate_result" not in told_of(after, None, decision=Decision(after))


def test_a_smoke_test_that_runs_has_no_verdict_yet() -> None:
    assert [list(of_smoke_test("office", state)) for state in ("waiting", "running")] == [[], []]
    (measured,) = of_smoke_test("office", "failed")
    assert measured.attributes == {"pool": "office", "gate": "smoke_test", "verdict": "failed"}


# ----------------------------------------------------------------------------------------------------- hosts on the way


def a_registered_host(**fields: Any) -> PoolSnapshot:
    new = a_host(NEW, NEXT, drained=True, held_by=ROLLOUT, **fields)
    return a_pool([*hosts_named(12, **fields), new])


def on_its_way(stage: Stage, **fields: Any) -> RolloutState:
    in_hand = {NEW: HostProgress(stage, MORNING, **fields)}
    return a_rolling_state(a_registered_host(), in_hand, desired=12, settled=12)


@pytest.mark.parametrize("stage", [Stage.PROVISIONING, Stage.JOINING])
def test_provisioning_lasts_from_the_order_to_the_registration(stage: Stage) -> None:
    before = on_its_way(stage, entered=None if stage is Stage.PROVISIONING else MORNING + minutes(6))

    told = told_of(before, a_registered_host(), MORNING + minutes(14))

    assert values(told, "rollout_host_provision_seconds") == [14 * 60]
    assert told["rollout_host_provision_seconds"][0][0] == {"pool": "office", "version": NEXT}


def test_verifying_lasts_from_the_registration_until_it_is_put_into_service() -> None:
    registered = decide(on_its_way(Stage.JOINING), a_registered_host(), a_policy(), MORNING + minutes(10)).state
    proven_at = MORNING + minutes(16)
    pool = a_registered_host(last_heartbeat=proven_at)
    good = decide(registered, pool, a_policy(), MORNING + minutes(11)).state

    told = told_of(good, pool, proven_at)

    assert values(told, "rollout_host_verify_seconds") == [6 * 60]


def test_a_host_that_must_be_put_into_service_again_is_verified_once() -> None:
    step = StopDraining(NEW, vm_id(NEW), registration_of(NEW), "good")
    before = on_its_way(Stage.VERIFYING, entered=MORNING)
    again = record(before, [StepOutcome(step, BUSY)], MORNING)

    counts = [
        values(told_of(state, None, decision=Decision(state, (step,))), "rollout_host_verify_seconds")
        for state in (before, again)
    ]

    assert counts == [[0], []]


def test_of_a_host_that_an_earlier_version_began_to_verify_nobody_knows_how_long_it_took() -> None:
    step = StopDraining(NEW, vm_id(NEW), registration_of(NEW), "good")
    before = on_its_way(Stage.VERIFYING)

    assert "rollout_host_verify_seconds" not in told_of(before, None, decision=Decision(before, (step,)))


def emptied(progress: HostProgress, now: datetime) -> list[float]:
    hosts = [a_draining_host("avd-001"), *hosts_named(11, first=2), a_host(NEW, NEXT)]
    before = a_rolling_state(a_pool(hosts), {"avd-001": progress}, desired=12, settled=12)
    return values(told_of(before, a_pool(hosts), now), "rollout_host_drain_seconds")


def test_draining_lasts_until_nobody_is_left() -> None:
    assert emptied(HostProgress(Stage.DRAINING, MORNING, asked=True), MORNING + minutes(45)) == [45 * 60]


def test_a_host_that_is_in_use_again_drains_anew() -> None:
    removing = a_state(in_hand={"avd-001": HostProgress(Stage.REMOVING, MORNING, entered=MORNING + minutes(5))})
    remove = RemoveHost("avd-001", vm_id("avd-001"), registration_of("avd-001"), "empty")

    in_use = [StepOutcome(remove, StepError("HostInUse", "somebody is back"))]
    back = record(removing, in_use, MORNING + minutes(6)).in_hand["avd-001"]

    assert back.stage is Stage.DRAINING
    assert emptied(back, MORNING + minutes(16)) == [10 * 60]


# ---------------------------------------------------------------------------------------- steps, deliveries, retirement


def test_an_attempt_that_failed_is_counted_and_one_that_was_put_off_is_not() -> None:
    (measured,) = of_failure("provision_host", "office", "503")

    assert measured.attributes == {"pool": "office", "op": "provision_host", "code": "503"}
    assert not list(of_failure("provision_host", "office", DEFERRED))


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"ok": True}, {"delivered": 5}),
        ({"ok": True, "left": ["4", "5"]}, {"delivered": 3}),
        ({"error": {"code": "503", "message": ""}}, {"failed": 5}),
        ({"error": {"code": "503", "message": ""}, "left": ["5"]}, {"delivered": 4, "failed": 1}),
        ({"off": True}, {}),
    ],
)
def test_notifications_are_counted_by_what_became_of_them(answer: dict[str, Any], counts: dict[str, int]) -> None:
    measured: list[Measurement] = list(of_delivery("webhook", "office", 5, answer))

    assert {one.attributes["result"]: one.value for one in measured} == counts
    assert all(one.attributes.keys() == {"pool", "sink", "result"} for one in measured)


def test_versions_that_a_plan_deletes_are_not_retained() -> None:
    deleted = VersionPlan("1.0.0", Verdict.GOOD, "old", step=DeleteVersion("1.0.0", version_id("1.0.0"), "old"))
    kept = [VersionPlan(number, Verdict.GOOD, "new") for number in ("3.0.0", "2.0.0")]
    plan = RetentionPlan(MORNING, (*kept, deleted))

    (measured,) = of_retirement("win11", plan)

    assert (measured.value, measured.attributes) == (2, {"image": "win11"})


def test_every_metric_has_a_name_and_attributes_that_a_query_can_hold() -> None:
    for name, metric in METRICS.items():
        assert name.isidentifier()
        assert all(attribute.isidentifier() or attribute == "from" for attribute in metric.attributes)
        assert metric.meaning
        assert not name.endswith("_seconds") or metric.unit == "s"
