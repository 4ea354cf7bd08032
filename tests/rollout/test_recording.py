"""What the record says of a wave's end and of a run that retires image versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from rollout.model import HostProgress, RolloutState, Stage
from rollout.recording import LONGEST_SENTENCE, of_retirement, of_waves
from rollout.retirement import StepResult

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_state(wave: int = 0, *, asked: str = "", other: str = "", **remembered: Any) -> RolloutState:
    """A rollout with these hosts in hand: those whose people are asked to leave, and others."""
    in_hand = {name: HostProgress(Stage.DRAINING, NOON, asked=True) for name in asked.split()}
    in_hand |= {name: HostProgress(Stage.REMOVING, NOON) for name in other.split()}
    return RolloutState("r", "pool", "target", NOON, wave=wave, in_hand=in_hand, **remembered)


def test_a_wave_is_over_when_the_last_of_its_hosts_is_gone() -> None:
    waves, events = of_waves(a_state(), a_state(1, asked="a b"), NOON)
    assert (waves, events) == ({"a": 1, "b": 1}, ())

    half_done = a_state(1, other="b", waves=waves)
    waves, events = of_waves(half_done, half_done, NOON)
    assert (waves, events) == ({"a": 1, "b": 1}, ())

    waves, (ended,) = of_waves(a_state(1, other="b", waves=waves), a_state(1, waves=waves), NOON)
    assert waves == {}
    assert (ended.kind, ended.message) == ("WaveEnded", "wave 1 is done: 2 hosts are out of service")


def test_waves_that_overlap_end_each_for_itself() -> None:
    waves, _ = of_waves(a_state(1, asked="a", waves={"a": 1}), a_state(2, asked="a b", waves={"a": 1}), NOON)
    assert waves == {"a": 1, "b": 2}

    left, (ended,) = of_waves(a_state(2, asked="a b", waves=waves), a_state(2, asked="a", waves=waves), NOON)
    assert (left, ended.message) == ({"a": 1}, "wave 2 is done: 1 host is out of service")


def test_a_wave_of_empty_hosts_asks_nobody_and_has_no_end_to_tell() -> None:
    assert of_waves(a_state(), a_state(1, other="a"), NOON) == ({}, ())


def test_a_host_that_is_emptied_for_the_canary_is_no_wave() -> None:
    assert of_waves(a_state(), a_state(0, asked="a"), NOON) == ({}, ())


@pytest.mark.parametrize(
    "how", [{"given_back": {"a": NOON}}, {"skipped": {"a": "NeverEmpty"}}], ids=lambda how: next(iter(how))
)
def test_a_host_that_serves_people_again_is_told_apart(how: dict[str, Any]) -> None:
    before = a_state(3, asked="a b", waves={"a": 3, "b": 3})
    _, (ended,) = of_waves(before, a_state(3, waves=before.waves, **how), NOON)
    assert ended.message == "wave 3 is done: 1 host is out of service, 1 serves people again"


def test_a_host_that_is_given_back_and_asked_again_is_of_the_later_wave() -> None:
    before = a_state(3, other="b", waves={"a": 3, "b": 3})
    waves, events = of_waves(before, structs.replace(a_state(4, asked="a", other="b"), waves=before.waves), NOON)
    assert (waves, events) == ({"a": 4, "b": 3}, ())


DONE = StepResult("1.0.0", "deleted", "done")
FAILED = StepResult("1.1.0", "excluded from latest", "failed", "AuthorizationFailed: the client may not")
SKIPPED = StepResult("1.2.0", "deleted", "skipped", "it is in use again")


def test_what_was_retired_is_told_once_with_who_asked_for_it() -> None:
    (told,) = of_retirement([DONE, SKIPPED], "2 versions: 1 deleted, 1 no longer due", "ada", NOON)
    assert (told.kind, told.by) == ("VersionsRetired", "ada")
    assert told.message == "2 versions: 1 deleted, 1 no longer due; 1.0.0 deleted"


def test_what_could_not_be_retired_is_told_first() -> None:
    (told,) = of_retirement([DONE, FAILED], "2 versions: 1 deleted, 1 failed", "schedule", NOON)
    assert told.kind == "RetirementFailed"
    assert told.message.endswith("; 1.1.0: AuthorizationFailed: the client may not; 1.0.0 deleted")


def test_a_run_that_could_not_be_planned_is_a_failure_and_one_that_did_nothing_is_no_news() -> None:
    (told,) = of_retirement([], "it could not be planned: Http503: busy", "schedule", NOON)
    assert (told.kind, told.message) == ("RetirementFailed", "it could not be planned: Http503: busy")
    assert of_retirement([SKIPPED], "1 version: 1 no longer due", "schedule", NOON) == ()


def test_a_run_of_hundreds_of_versions_is_told_in_one_sentence_that_fits() -> None:
    (told,) = of_retirement([DONE] * 300, "300 versions: 300 deleted", "schedule", NOON)
    assert len(told.message) == LONGEST_SENTENCE
