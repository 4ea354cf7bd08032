"""The smoke test gate: what a ring makes of scripts that pass, fail, never end, or find no host to run on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rollout.model import Phase
from rollout.policy import ApprovalGate, SmokeTestGate, hours, minutes
from rollout.ring_state import smoke_tests_of
from rollout.ring_steps import SmokeTest
from rollout.smoke_test import LONGEST_OUTPUT, SmokeRun, kept
from rollout.verdicts import Verdict
from tests.rollout.ring_world import TUESDAY, RingWorld, a_ring, a_rollout, approves

GATE = SmokeTestGate(script="exit 0")
Runs = Callable[[SmokeTest, datetime], SmokeRun]


def taking(span: timedelta, end: Any = "passed", message: str = "exit code 0") -> Runs:
    """A script that runs for so long on the pool's first host, and ends like this."""
    begun: dict[str, datetime] = {}

    def run(step: SmokeTest, at: datetime) -> SmokeRun:
        pool = step.policy.name
        if begun.setdefault(pool, at) + span > at:
            return SmokeRun(at, "running", f"{pool}-001", f"/vm/{pool}-001")
        return SmokeRun(at, end, f"{pool}-001", f"/vm/{pool}-001", message)

    return run


def play(smoke: Runs, *pools: str, **ring: Any) -> RingWorld:
    rings = a_ring("validation", *(pools or ("test",)), smoke_test=GATE, **ring), a_ring("people", "office")
    answers = [(TUESDAY + hours(30), approves("validation"))] if "approval" in ring else []
    return RingWorld(a_rollout(*rings, latest="earned"), smoke=smoke, answers=answers).play()


def test_a_ring_whose_smoke_test_passes_goes_on() -> None:
    world = play(taking(minutes(5)))

    assert minutes(5) <= world.started["office"] - world.ended["test"] <= minutes(7)
    assert smoke_tests_of(world.progress) == {"test": "test-001: exit code 0"}


def test_every_pool_runs_it_and_the_slowest_counts() -> None:
    world = play(taking(minutes(9)), "one", "two")

    assert {step.policy.name for _, step in world.smoke_steps} == {"one", "two"}
    assert set(smoke_tests_of(world.progress)) == {"one", "two"}


def test_a_pool_that_did_not_get_the_version_has_nothing_to_test() -> None:
    rings = a_ring("validation", "test", "personal", smoke_test=GATE), a_ring("people", "office")
    world = RingWorld(a_rollout(*rings), ends={"personal": Phase.REFUSED}, smoke=taking(minutes(1))).play()

    assert {step.policy.name for _, step in world.smoke_steps} == {"test"}


def test_one_that_fails_fails_the_ring_at_once_and_its_output_is_kept() -> None:
    world = play(taking(minutes(3), "failed", "exit code 1: Contoso is missing"), soak=timedelta(days=5))

    assert world.now - world.ended["test"] < minutes(6)
    assert world.progress.rings["validation"].reason == "SmokeTestFailed"
    assert "the smoke test failed on test-001: exit code 1: Contoso is missing" in world.status_of("office").message
    finding = world.marks[-1][1].finding
    assert finding is not None
    assert finding.verdict is Verdict.FAILED


def test_people_are_asked_while_it_runs_and_it_is_not_run_again_for_their_answer() -> None:
    world = play(taking(minutes(5)), approval=ApprovalGate())

    assert world.started["office"] == TUESDAY + hours(30)
    assert len(world.smoke_steps) == 4
    assert world.turns < 25


def test_a_pool_without_a_host_that_could_run_it_has_some_time_to_get_one() -> None:
    def later(step: SmokeTest, at: datetime) -> SmokeRun:
        if at < TUESDAY + hours(2):
            return SmokeRun(at, message="no host on the new version is healthy and running")
        return SmokeRun(at, "passed", "test-001", "/vm", "exit code 0")

    world = play(later)
    assert hours(2) <= world.started["office"] - TUESDAY < hours(2.1)
    assert any("no host on the new version is healthy and running" in told for told in world.told)


def test_a_script_that_nobody_could_run_fails_the_ring_and_says_nothing_about_the_image() -> None:
    world = play(lambda step, at: SmokeRun(at, message="no host on the new version is healthy and running"))

    assert world.progress.rings["validation"].reason == "SmokeTestUnknown"
    assert hours(2) <= world.now - world.ended["test"] < hours(2.1)
    assert [mark.kind for _, mark in world.marks] == ["hold_back"]


def test_a_script_that_never_ends_is_given_up() -> None:
    world = play(lambda step, at: SmokeRun(at, "running", "test-001", "/vm"))
    assert world.progress.rings["validation"].reason == "SmokeTestUnknown"


def test_a_run_is_asked_about_by_what_is_known_of_it_and_under_one_name() -> None:
    world = play(taking(minutes(5)))
    first, second = world.smoke_steps[0][1], world.smoke_steps[1][1]

    assert first.run is None
    assert second.run is not None
    assert second.run.vm_id == "/vm/test-001"
    assert len({step.name for _, step in world.smoke_steps}) == 1


def test_two_rollouts_never_take_each_others_results() -> None:
    names = set()
    for rollout_id in ("image-x", "image-x-2"):
        world = RingWorld(a_rollout(a_ring("validation", "test", smoke_test=GATE)))
        world.progress = type(world.progress)(rollout_id, world.begins, world.progress.rings)
        names |= {step.name for _, step in world.play().smoke_steps}
    assert len(names) == 2


def test_of_a_long_output_the_end_is_kept_on_one_line() -> None:
    assert kept("  first\r\n\n second \n") == "first / second"
    long = kept("x" * 5000 + "\nthe end")
    assert len(long) == LONGEST_OUTPUT
    assert long.startswith("...")
    assert long.endswith("the end")
