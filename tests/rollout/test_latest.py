"""`latest` is earned: held back at first, promoted at the end, excluded again with the verdict when it fails."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from rollout.candidates import newest_version, why_not
from rollout.latest import MOST_ATTEMPTS
from rollout.model import ImageVersion, Phase
from rollout.policy import ApprovalGate, ImagePolicy
from rollout.ring_state import result_message
from rollout.ring_steps import MarkVersion
from rollout.steps import StepError
from rollout.verdicts import Finding, Verdict, with_finding
from tests.rollout.builders import version_id
from tests.rollout.ring_world import TUESDAY, RingWorld, a_ring, a_rollout, approves, rejects

DAY = timedelta(days=1)
CONFLICT = StepError("Conflict", "the version is being updated")


def a_world(latest: str = "earned", answers: Any = (), **world: Any) -> RingWorld:
    rings = a_ring("validation", "test", approval=ApprovalGate()), a_ring("people", "office")
    return RingWorld(a_rollout(*rings, latest=latest), answers=list(answers), **world)


APPROVED = [(TUESDAY + DAY, approves("validation"))]


def kinds(world: RingWorld) -> list[tuple[str, bool]]:
    return [(mark.kind, mark.excluded) for _, mark in world.marks]


def test_a_version_is_held_back_until_it_has_passed_its_last_ring() -> None:
    world = a_world(answers=APPROVED).play()

    assert kinds(world) == [("hold_back", True), ("promote", False)]
    (held_at, held), (promoted_at, promoted) = world.marks
    assert (held_at, held.finding) == (TUESDAY, None)
    assert promoted_at == world.ended["office"]
    assert promoted.finding == Finding(Verdict.GOOD, "ring people has passed", promoted_at, "image-x")


def test_latest_is_left_alone_unless_the_policy_says_otherwise() -> None:
    assert a_world("as_published", answers=APPROVED).play().marks == []
    assert a_world("as_published", answers=[(TUESDAY + DAY, rejects("validation"))]).play().marks == []


def test_a_rejected_version_is_excluded_again_and_vetoed_by_whom_and_why() -> None:
    world = a_world(answers=[(TUESDAY + DAY, rejects("validation"))]).play()

    assert kinds(world) == [("hold_back", True), ("refuse", True)]
    finding = world.marks[-1][1].finding
    assert finding is not None
    assert (finding.verdict, finding.by) == (Verdict.VETOED, "andrea@contoso.com")
    assert finding.reason == "rejected by andrea@contoso.com: printing is broken"


def test_a_version_that_halted_a_pool_has_failed() -> None:
    world = a_world(ends={"test": Phase.HALTED}).play()

    finding = world.marks[-1][1].finding
    assert finding is not None
    assert (finding.verdict, finding.by) == (Verdict.FAILED, "image-x")


@pytest.mark.parametrize("end", [Phase.FAILED, Phase.SUPERSEDED, Phase.REFUSED])
def test_what_says_nothing_about_the_image_is_no_verdict_and_no_promotion(end: Phase) -> None:
    assert kinds(a_world(ends={"test": end}).play()) == [("hold_back", True)]


def test_a_version_without_rings_earns_latest_when_all_its_pools_have_succeeded() -> None:
    world = RingWorld(a_rollout(pools=("one", "two"), latest="earned")).play()
    assert kinds(world) == [("hold_back", True), ("promote", False)]

    halted = RingWorld(a_rollout(pools=("one", "two"), latest="earned"), ends={"two": Phase.HALTED}).play()
    assert kinds(halted) == [("hold_back", True), ("refuse", True)]


def test_azure_may_refuse_for_a_while_without_holding_the_rings_up() -> None:
    def marking(mark: MarkVersion, at: datetime) -> StepError | None:
        return CONFLICT if at < TUESDAY + timedelta(hours=3) else None

    world = a_world(answers=APPROVED, marking=marking).play()

    assert world.started["test"] == TUESDAY
    assert [kind for kind, _ in kinds(world)].count("promote") == 1
    assert 3 < [kind for kind, _ in kinds(world)].count("hold_back") < 10


def test_a_promotion_that_can_never_be_written_ends_the_rollout_all_the_same_and_is_told() -> None:
    world = a_world(answers=APPROVED, marking=lambda mark, at: CONFLICT).play()

    assert [kind for kind, _ in kinds(world)].count("promote") == MOST_ATTEMPTS
    assert "could not be marked: Conflict: the version is being updated" in result_message(world.progress, "")
    assert world.now - world.ended["office"] < DAY


def test_a_mark_is_written_once() -> None:
    world = a_world(answers=APPROVED).play()
    again = world.turns
    world.play()
    assert len(world.marks) == 2
    assert world.turns == again + 1


# -------------------------------------------------------------------------------------------------------- candidates


def a_version(number: str, verdict: Verdict | None = None, *, excluded: bool = False) -> ImageVersion:
    tags = with_finding({}, Finding(verdict, "printing is broken")) if verdict else {}
    return ImageVersion(id=version_id(number), exclude_from_latest=excluded, tags=tags)


def an_image(**fields: Any) -> ImagePolicy:
    return ImagePolicy(name="office", definition_id=version_id("1.0.0").rpartition("/versions/")[0], **fields)


def test_a_version_that_is_held_back_is_a_candidate_where_latest_is_earned() -> None:
    assert why_not(a_version("2.0.0", excluded=True), [], an_image()) == "it is excluded from latest"
    assert why_not(a_version("2.0.0", excluded=True), [], an_image(latest="earned")) == ""


@pytest.mark.parametrize("verdict", [Verdict.VETOED, Verdict.FAILED])
def test_a_bad_version_is_never_a_candidate(verdict: Verdict) -> None:
    bad = a_version("2.0.0", verdict, excluded=True)
    for image in (an_image(), an_image(latest="earned"), an_image(include_excluded=True)):
        assert why_not(bad, [], image) == f"it is {verdict}: printing is broken"
        assert newest_version([bad, a_version("1.9.0")], image) == a_version("1.9.0")
