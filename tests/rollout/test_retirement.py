"""What a run of retirement is started with and what it reports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from rollout.policy import ImagePolicy, Policy, RetentionPolicy
from rollout.retention import ChangeVersion, DeleteVersion, RetentionStep, VersionPlan
from rollout.retirement import (
    MOST_TOLD,
    StepResult,
    actions_of,
    retirement_of,
    subscriptions_of,
    summary,
    summary_of_results,
    worth_telling,
)
from rollout.verdicts import Verdict
from tests.rollout.builders import a_policy
from tests.rollout.versions import DEFINITION, NOW, a_version, good_versions, planned

KEPT = good_versions("5.0.0", "4.0.0", "3.0.0")
FURTHER = "99999999-2222-4333-8444-555555555555"


def a_policy_file(*subscriptions: str) -> Policy:
    image = ImagePolicy(
        name="office", definition_id=DEFINITION, retention=RetentionPolicy(subscriptions=(FURTHER.upper(),))
    )
    pools = []
    for number, subscription in enumerate(subscriptions):
        pool = a_policy(name=f"pool-{number}")
        template = structs.replace(
            pool.session_host,
            subnet_id=f"/subscriptions/{subscription}/resourceGroups/net/providers/N/virtualNetworks/v/subnets/s",
            resource_group_id=f"/subscriptions/{subscription}-hosts/resourceGroups/hosts",
        )
        pools.append(structs.replace(pool, session_host=template))
    return Policy(images=(image,), host_pools=tuple(pools))


def test_users_are_looked_for_where_any_id_of_any_pool_lies_and_where_the_policy_says() -> None:
    assert subscriptions_of(a_policy_file("NET", "s1")) == (FURTHER, "net", "net-hosts", "s1", "s1-hosts")


def test_a_run_is_for_one_image_with_what_the_policy_says_now() -> None:
    policy = a_policy_file("s1")
    run = retirement_of(policy, policy.images[0], apply=True, by="ada", why="make room")

    assert (run.image, run.apply, run.by, run.why) == (policy.images[0], True, "ada", "make room")
    assert FURTHER in run.subscriptions


@pytest.mark.parametrize(
    ("step", "actions"),
    [
        (None, ("keep",)),
        (DeleteVersion("1.0.0", "id", "why"), ("delete",)),
        (ChangeVersion("1.0.0", "id", "why", exclude=True), ("exclude_from_latest",)),
        (
            ChangeVersion("1.0.0", "id", "why", retired_at=NOW, end_of_life=NOW, drop_regions=("uksouth",)),
            ("mark_as_retired", "set_end_of_life", "cut_replicas"),
        ),
    ],
)
def test_what_happens_to_a_version_has_words_for_machines(step: RetentionStep | None, actions: tuple[str, ...]) -> None:
    assert actions_of(VersionPlan("1.0.0", Verdict.GOOD, "why", step=step)) == actions


def test_what_travels_is_what_happens_and_why_overtaken_versions_stay() -> None:
    used, old = a_version("2.0.0"), a_version("1.0.0")
    told = worth_telling(planned(a_version("6.0.0", ""), *KEPT, used, old, used={"2.0.0": 1}))

    assert [entry.version for entry in told.versions] == ["2.0.0", "1.0.0"]
    assert [step.version for step in told.steps] == ["1.0.0"]


def test_a_full_gallery_does_not_make_what_travels_large() -> None:
    waiting = [a_version(f"1.0.{n}", excluded=True, end_of_life=9) for n in range(300)]
    due = [a_version(f"0.0.{n}") for n in range(300)]
    told = worth_telling(planned(*KEPT, *waiting, *due))

    assert len(told.versions) == MOST_TOLD + len(told.steps)


def test_a_plan_is_told_in_one_sentence() -> None:
    gone = [a_version(f"1.0.{n}", excluded=True, end_of_life=-60) for n in range(3)]
    policy = RetentionPolicy(max_deletions=1)

    assert summary(planned(*KEPT)) == "there is nothing to retire"
    assert summary(planned(*KEPT, a_version("2.0.0"))) == "1 version: 1 to change"
    assert summary(planned(*KEPT, a_version("2.0.0"), *gone, policy=policy)) == (
        "4 versions: 1 to change, 1 to delete, 2 left for a later run"
    )
    assert summary(planned(a_version("1.0.0", ""))) == (
        "nothing is retired, because no version has been proven good yet"
    )


def test_a_run_is_told_in_one_sentence() -> None:
    results = [
        StepResult("1.0.0", "deleted", "done"),
        StepResult("2.0.0", "retired", "done"),
        StepResult("3.0.0", "deleted", "skipped"),
        StepResult("4.0.0", "deleted", "failed"),
    ]

    assert summary_of_results(results) == "4 versions: 1 changed, 1 deleted, 1 no longer due, 1 failed"
    assert summary_of_results([]) == "there is nothing to retire"


def test_a_version_that_is_retired_and_used_again_is_left_alone_with_its_mark() -> None:
    again = a_version("1.0.0", excluded=True, end_of_life=-60)

    assert planned(*KEPT, again, used={"1.0.0": 1}).steps == ()
    assert again.end_of_life == NOW - timedelta(days=60)
