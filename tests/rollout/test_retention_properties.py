"""For random fleets, versions and policies: what is protected is not touched, and what was done is not done again."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from rollout.model import ImageVersion, RegionReplica, short_version, version_number
from rollout.policy import RetentionPolicy
from rollout.retention import ChangeVersion, DeleteVersion, RetentionSnapshot, VersionUsers, plan_retention
from tests.rollout.versions import DEFINITION, NOW, a_version, after

REGIONS = ("westeurope", "northeurope", "uksouth")
NUMBERS = [f"{major}.{minor}.0" for major in (1, 2, 10) for minor in range(8)]

some_numbers = st.lists(st.sampled_from(NUMBERS), unique=True, max_size=16)
days = st.one_of(st.none(), st.integers(-400, 400))


@st.composite
def versions(draw: st.DrawFn, number: str) -> ImageVersion:
    regions = draw(st.sets(st.sampled_from(REGIONS))) | {"westeurope"}
    found = a_version(
        number,
        draw(st.sampled_from(["good", "good", "good", "failed", "vetoed", "", "splendid"])),
        days=draw(st.integers(0, 500)),
        excluded=draw(st.booleans()),
        end_of_life=draw(days),
        provisioning=draw(st.sampled_from(["Succeeded"] * 6 + ["Failed", "Updating", "Creating", "Deleting"])),
        blocks_early_deletion=draw(st.booleans()),
        keeps_regions=draw(st.booleans()),
        marked=draw(st.sampled_from([None, 0, 0, 1, 20, 200, 400])),
    )
    excluded = {region: RegionReplica(excluded=draw(st.booleans())) for region in sorted(regions)}
    return structs.replace(found, regions=excluded)


@st.composite
def snapshots(draw: st.DrawFn) -> RetentionSnapshot:
    numbers = draw(some_numbers)
    found = tuple(draw(versions(number)) for number in numbers)
    of_them = st.sets(st.sampled_from(numbers), max_size=4) if numbers else st.just(set[str]())
    return RetentionSnapshot(
        DEFINITION,
        NOW,
        found,
        users={number: VersionUsers(machines=1) for number in sorted(draw(of_them))},
        running={number: f"image-{number}" for number in sorted(draw(of_them))},
        followers={region: VersionUsers(scale_sets=1) for region in sorted(draw(st.sets(st.sampled_from(REGIONS))))},
        unreadable=draw(st.sampled_from([(), (), (), (), ("the VMs cannot be listed",)])),
    )


policies = st.builds(
    RetentionPolicy,
    keep=st.integers(1, 5),
    end_of_life_after=st.integers(0, 300).map(lambda count: timedelta(days=count)),
    delete_after=st.integers(1, 200).map(lambda count: timedelta(days=count)),
    max_deletions=st.integers(1, 20),
    rollback_regions=st.lists(st.sampled_from(["West Europe", "northeurope", "uksouth"]), unique=True).map(tuple),
    pinned=st.lists(st.sampled_from(NUMBERS), unique=True, max_size=4).map(tuple),
)


def good_of(snapshot: RetentionSnapshot) -> list[ImageVersion]:
    return [version for version in snapshot.versions if version.tags.get("goldroll-verdict") == "good"]


def protected(snapshot: RetentionSnapshot, policy: RetentionPolicy) -> set[str]:
    """What must not be touched, said once more and in another way than the code under test says it."""
    number = {short_version(version.id): version_number(version.id) or (0, 0, 0) for version in snapshot.versions}
    good = sorted((short_version(version.id) for version in good_of(snapshot)), key=lambda name: number[name])
    safe = set(snapshot.users) | set(snapshot.running) | set(policy.pinned) | set(good[-policy.keep :])
    for top in [*good[-1:], *snapshot.running]:
        safe |= set([name for name in good if number[name] < number[top]][-1:])
    return safe


@given(snapshots(), policies)
@settings(max_examples=200)
def test_retention_never_touches_a_protected_version(snapshot: RetentionSnapshot, policy: RetentionPolicy) -> None:
    plan = plan_retention(snapshot, policy, NOW)

    assert not {step.version for step in plan.steps} & protected(snapshot, policy)
    assert not (snapshot.unreadable and plan.steps)


@given(snapshots(), policies)
@settings(max_examples=200)
def test_what_is_deleted_was_announced_and_overtaken(snapshot: RetentionSnapshot, policy: RetentionPolicy) -> None:
    found = {short_version(version.id): version for version in snapshot.versions}
    good = [version_number(version.id) or (0, 0, 0) for version in good_of(snapshot)]

    deletions = [step for step in plan_retention(snapshot, policy, NOW).steps if isinstance(step, DeleteVersion)]

    assert len(deletions) <= policy.max_deletions
    for step in deletions:
        version = found[step.version]
        assert version.end_of_life is not None
        assert version.end_of_life + policy.delete_after <= NOW
        assert datetime.fromisoformat(version.tags["goldroll-retired-at"]) + policy.delete_after <= NOW
        newer = sum(number > (version_number(version.id) or (0, 0, 0)) for number in good)
        assert newer >= policy.keep or version.tags["goldroll-verdict"] in ("failed", "vetoed")
        assert good


@given(snapshots(), policies)
def test_a_change_leaves_the_home_region_and_announces_no_past_day(
    snapshot: RetentionSnapshot, policy: RetentionPolicy
) -> None:
    found = {short_version(version.id): version for version in snapshot.versions}
    for step in plan_retention(snapshot, policy, NOW).steps:
        if isinstance(step, ChangeVersion):
            assert found[step.version].location not in step.drop_regions
            assert not (step.drop_regions and found[step.version].keeps_regions)
            assert step.end_of_life is None or (step.end_of_life >= NOW and found[step.version].end_of_life is None)


@given(snapshots(), policies)
def test_the_plan_carried_out_leaves_nothing_to_do(snapshot: RetentionSnapshot, policy: RetentionPolicy) -> None:
    """In as many runs as the limits of one need, and no version is named a second time."""
    touched: set[str] = set()
    for _ in range(len(snapshot.versions) + 1):
        plan = plan_retention(snapshot, policy, NOW)
        assert plan == plan_retention(snapshot, policy, NOW)
        if not plan.steps:
            break
        assert not touched & {step.version for step in plan.steps}
        touched |= {step.version for step in plan.steps}
        snapshot = after(snapshot, plan.steps)
    assert plan.steps == ()
    assert not any(entry.put_off for entry in plan.versions)


@given(snapshots(), policies)
def test_what_latest_means_changes_only_away_from_a_bad_version(
    snapshot: RetentionSnapshot, policy: RetentionPolicy
) -> None:
    """In the regions where scale sets go by it, and for the definition as a whole."""
    done = after(snapshot, plan_retention(snapshot, policy, NOW).steps)
    for region in ("", *snapshot.followers):
        before = _latest(snapshot, region)
        assert before == _latest(done, region) or before.tags.get("goldroll-verdict") in ("failed", "vetoed")


def _latest(snapshot: RetentionSnapshot, region: str) -> ImageVersion:
    """The latest of a region whose copies are complete, as Azure finds it; an empty version when there is none."""
    candidates = [
        version
        for version in snapshot.versions
        if version.provisioning == "Succeeded"
        and not version.exclude_from_latest
        and (not region or (region in version.regions and not version.regions[region].excluded))
    ]
    return max(candidates, key=lambda version: version_number(version.id) or (0, 0, 0), default=ImageVersion(""))
