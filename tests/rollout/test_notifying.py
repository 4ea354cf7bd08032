"""Which events are news, as what and how loudly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollout.model import HostProgress, RolloutState, SessionHost, Stage
from rollout.notifying import NAMES, SEVERITIES, ends_of, is_loud_enough, notification_of, of_replacements
from rollout.recording import Event

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent.parent


def event(kind: str, *, phase: str = "", reason: str = "", stage: str = "") -> Event:
    return Event(NOON, kind, "so it is", reason, phase=phase, stage=stage)


@pytest.mark.parametrize(
    ("told", "of_pool", "name", "severity"),
    [
        (event("RolloutStarted"), False, "RolloutStarted", "info"),
        (event("RolloutEnded", phase="Succeeded"), False, "RolloutCompleted", "info"),
        (event("RolloutEnded", phase="SucceededWithSkips"), True, "PoolCompleted", "warning"),
        (event("RolloutEnded", phase="Aborted"), False, "RolloutAborted", "warning"),
        (event("RolloutEnded", phase="RolledBack"), True, "PoolRolledBack", "warning"),
        (event("RolloutEnded", phase="Superseded"), True, "PoolSuperseded", "info"),
        (event("RolloutEnded", phase="Halted"), True, "PoolFailed", "error"),
        (event("RolloutEnded", phase="a newer word"), False, "RolloutFailed", "error"),
        (event("RingPhaseChanged", phase="Rolling"), False, "RingStarted", "info"),
        (event("RingPhaseChanged", phase="Failed"), False, "RingFailed", "error"),
        (event("ApprovalAsked"), False, "ApprovalRequested", "warning"),
        (event("Approved"), False, "Approved", "info"),
        (event("Rejected"), False, "Rejected", "error"),
        (event("CommandTaken", reason="Paused"), False, "RolloutPaused", "warning"),
        (event("CommandTaken", reason="Resumed"), True, "PoolResumed", "info"),
        (event("RolloutStarted", reason="RollBack"), True, "PoolRollBackStarted", "warning"),
        (event("CanaryPassed"), True, "CanaryPassed", "info"),
        (event("CanaryFailed"), True, "CanaryFailed", "error"),
        (event("Halted", phase="Halted"), True, "PoolHalted", "error"),
        (event("PhaseChanged", phase="WaitingCapacity", reason="QuotaExceeded"), True, "CapacityBlocked", "warning"),
        (event("PeopleAsked"), True, "PeopleAskedToLeave", "warning"),
        (event("WaveEnded"), True, "WaveCompleted", "info"),
        (event("RollBackStarted"), False, "RolloutRollBackStarted", "warning"),
        (event("VersionsRetired"), False, "VersionsRetired", "info"),
        (event("RetirementFailed"), False, "RetirementFailed", "warning"),
        (event("HostStageChanged", stage="Quarantined"), True, "HostQuarantined", "warning"),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else None,
)
def test_a_transition_is_news(told: Event, of_pool: bool, name: str, severity: str) -> None:
    notification = notification_of(told, of_pool=of_pool)

    assert notification is not None
    assert (notification.name, notification.severity) == (name, severity)
    assert name in NAMES


@pytest.mark.parametrize(
    ("told", "of_pool"),
    [
        (event("Noted"), True),
        (event("HostStageChanged", stage="Draining"), True),
        (event("PeopleNotified"), True),
        (event("PhaseChanged", phase="Rolling"), True),
        (event("PhaseChanged", phase="WaitingCapacity", reason="ReserveTooSmall"), True),
        (event("PoolStarted"), False),
        (event("PoolEnded", phase="Succeeded"), False),
        (event("RingPhaseChanged", phase="Proving"), False),
        (event("CommandTaken", reason="Aborted"), True),
        (event("CommandRefused", reason="Paused"), False),
        (event("something newer"), True),
    ],
    ids=lambda value: f"{value.kind} {value.stage or value.phase}" if isinstance(value, Event) else None,
)
def test_what_is_told_otherwise_or_all_the_time_is_no_news(told: Event, of_pool: bool) -> None:
    assert notification_of(told, of_pool=of_pool) is None


def test_every_name_is_documented() -> None:
    documented = (ROOT / "docs" / "notifications.md").read_text("utf-8")

    assert [name for name in NAMES if f"`{name}`" not in documented] == []


def test_a_severity_is_as_loud_as_itself_and_louder_than_those_before_it() -> None:
    loud = {least: [one for one in SEVERITIES if is_loud_enough(one, least)] for least in SEVERITIES}

    assert loud == {"info": ["info", "warning", "error"], "warning": ["warning", "error"], "error": ["error"]}


# ------------------------------------------------------------------------------------------------ alerts of the hosts


def state(**stages: Stage) -> RolloutState:
    in_hand = {name: HostProgress(stage, NOON) for name, stage in stages.items()}
    return RolloutState("r", "pool", "target", NOON, in_hand=in_hand)


def host(name: str, vm_id: str = "") -> SessionHost:
    return SessionHost(name, vm_id=vm_id or f"/vms/{name}")


def told(events: tuple[Event, ...]) -> list[tuple[str, str]]:
    return [(one.kind.removeprefix("HostReplacement"), one.resource) for one in events]


def test_a_host_is_being_replaced_when_nobody_is_left_on_it() -> None:
    left, events = of_replacements(
        {}, state(a=Stage.DRAINING, b=Stage.STEERING), {"a": host("a"), "b": host("b")}, NOON
    )
    assert (left, events) == ({}, ())

    left, events = of_replacements(left, state(a=Stage.REMOVING), {"a": host("a")}, NOON)
    assert told(events) == [("Started", "/vms/a")]

    left, events = of_replacements(left, state(), {}, NOON)
    assert (left, told(events)) == ({}, [("Ended", "/vms/a")])


def test_a_new_host_is_told_of_when_azure_shows_its_vm_and_once() -> None:
    left, events = of_replacements({}, state(a=Stage.PROVISIONING), {}, NOON)
    assert (left, events) == ({}, ())

    for stage, expected in [(Stage.PROVISIONING, [("Started", "/vms/a")]), (Stage.JOINING, []), (Stage.VERIFYING, [])]:
        left, events = of_replacements(left, state(a=stage), {"a": host("a")}, NOON)
        assert told(events) == expected

    left, events = of_replacements(left, state(), {"a": host("a")}, NOON)
    assert told(events) == [("Ended", "/vms/a")]


def test_a_host_that_vanishes_while_it_is_removed_keeps_the_id_that_was_told() -> None:
    left, events = of_replacements({"a": "/vms/a"}, state(a=Stage.REMOVING), {}, NOON)
    assert (left, events) == ({"a": "/vms/a"}, ())


def test_a_host_that_somebody_signs_in_to_at_the_last_moment_is_no_longer_replaced() -> None:
    left, events = of_replacements({"a": "/vms/a"}, state(a=Stage.DRAINING), {"a": host("a")}, NOON)
    assert (left, told(events)) == ({}, [("Ended", "/vms/a")])


def test_a_rollout_that_must_let_go_at_once_ends_what_it_has_begun() -> None:
    replaced = {"a": "/vms/a", "b": "/vms/b"}

    assert told(tuple(ends_of(replaced, replaced, NOON))) == [("Ended", "/vms/a"), ("Ended", "/vms/b")]
