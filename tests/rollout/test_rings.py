"""Ring after ring: order, start rules, pools side by side, and what a ring that fails does to the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gates import RingPhase
from rollout.model import Phase
from rollout.overall import overall_phase
from rollout.policy import ImagePolicy, ReplicationPolicy, RingPolicy, Window, hours
from rollout.ring_state import begin, phases_of, result_message, was_rejected
from rollout.rings import decide_rings
from rollout.windows import is_open
from tests.rollout.ring_world import REGION, TUESDAY, RingWorld, a_ring, a_rollout, weekly

DAY = timedelta(days=1)


def phases(world: RingWorld) -> dict[str, str]:
    return {name: ring.phase for name, ring in world.progress.rings.items()}


# ------------------------------------------------------------------------------------------------------------- order


def test_a_ring_starts_when_the_one_before_it_has_passed() -> None:
    world = RingWorld(a_rollout(a_ring("first", "one"), a_ring("second", "two", "three"))).play()

    assert world.started["one"] == TUESDAY
    assert world.started["two"] == world.started["three"] == world.ended["one"]
    assert set(phases(world).values()) == {RingPhase.PASSED}


def test_a_ring_waits_for_the_slowest_of_its_pools() -> None:
    rollout = a_rollout(a_ring("first", "quick", "slow"), a_ring("second", "next"))
    world = RingWorld(rollout, takes={"slow": 3 * DAY}).play()

    assert world.started["next"] == world.ended["slow"] == TUESDAY + 3 * DAY


def test_no_more_pools_than_the_limit_are_rolled_at_a_time() -> None:
    takes = {"a": hours(5), "b": hours(1), "c": hours(1), "d": hours(1)}
    world = RingWorld(a_rollout(a_ring("all", "a", "b", "c", "d", concurrency=2)), takes=takes).play()

    begun = {name: at - TUESDAY for name, at in world.started.items()}
    assert begun == {"a": hours(0), "b": hours(0), "c": hours(1), "d": hours(2)}


def test_without_rings_every_pool_starts_as_soon_as_its_own_region_is_ready() -> None:
    copied = {"northeurope": TUESDAY + hours(3)}
    world = RingWorld(a_rollout(pools=("near", "far")), copied=copied, region_of={"far": "northeurope"}).play()

    assert world.started["near"] == TUESDAY
    assert hours(3) <= world.started["far"] - TUESDAY < hours(3.6)


def test_without_rings_no_pool_suffers_from_another() -> None:
    copied = {"northeurope": TUESDAY + hours(3)}
    world = RingWorld(
        a_rollout(pools=("near", "far")),
        copied=copied,
        region_of={"far": "northeurope"},
        ends={"near": Phase.HALTED},
    ).play()

    assert world.status_of("far").phase is Phase.SUCCEEDED


# ------------------------------------------------------------------------------------------------------- start rules


def test_a_ring_starts_so_long_after_the_one_before_has_passed() -> None:
    world = RingWorld(a_rollout(a_ring("first", "one"), a_ring("second", "two", after=2 * DAY))).play()

    assert world.started["two"] - world.ended["one"] == 2 * DAY


def test_a_ring_starts_on_its_day_at_its_time() -> None:
    world = RingWorld(a_rollout(a_ring("people", "two", windows=[weekly("MO", "09:00")]))).play()

    assert world.started["two"] == datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
    assert any("starts on Monday 16 November at 09:00 UTC" in told for told in world.told)


def test_a_ring_whose_turn_comes_in_the_middle_of_its_window_starts_at_once() -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "two", windows=[weekly("TU", "20:30", hours=4)]))
    world = RingWorld(rollout).play()

    assert world.started["two"] == world.ended["one"] == TUESDAY + hours(1)


def test_a_ring_whose_turn_comes_after_its_window_waits_for_the_next_one() -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "two", windows=[weekly("TU", "20:00", hours=0.5)]))
    world = RingWorld(rollout).play()

    assert world.started["two"] == TUESDAY + 7 * DAY


def test_the_soak_is_over_before_the_window_counts() -> None:
    start = [weekly("WE", "09:00", hours=8)]
    world = RingWorld(a_rollout(a_ring("first", "one"), a_ring("second", "two", after=2 * DAY, windows=start))).play()

    assert world.started["two"] == datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "zone", "start", "expected"),
    [
        # Zurich: 02:30 does not exist on 29 March 2026 and is taken as 03:30; it comes twice on 25 October.
        (datetime(2026, 3, 28, 12, tzinfo=UTC), "Europe/Zurich", "02:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), "Europe/Zurich", "02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        # New York changes on other days: 8 March and 1 November.
        (datetime(2026, 3, 7, 12, tzinfo=UTC), "America/New_York", "02:30", datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        (datetime(2026, 10, 31, 12, tzinfo=UTC), "America/New_York", "01:30", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
    ],
)
def test_a_version_published_before_the_clocks_change_starts_at_the_time_on_the_wall(
    begins: datetime, zone: str, start: str, expected: datetime
) -> None:
    world = RingWorld(a_rollout(a_ring("sunday", "one", windows=[weekly("SU", start, zone=zone)])), begins=begins)

    assert world.play().started["one"] == expected


def test_a_version_published_in_the_hour_that_comes_twice_starts_in_the_window_that_is_open() -> None:
    # 00:45 UTC and 01:45 UTC are both 02:45 in Zurich; a window from 02:30 for two hours lasts until 03:30 on the wall.
    rollout = a_rollout(a_ring("night", "one", windows=[weekly("SU", "02:30", hours=2, zone="Europe/Zurich")]))
    for begins in (datetime(2026, 10, 25, 0, 45, tzinfo=UTC), datetime(2026, 10, 25, 1, 45, tzinfo=UTC)):
        assert RingWorld(rollout, begins=begins).play().started["one"] == begins


def test_a_ring_whose_windows_cannot_be_read_never_starts_and_says_so() -> None:
    broken = Window(zone="Europe/Atlantis", recurrence="FREQ=DAILY", start="09:00", duration=hours(1))
    world = RingWorld(a_rollout(a_ring("first", "one", windows=[broken]), a_ring("second", "two"))).play()

    assert world.started == {}
    assert phases(world) == {"first": RingPhase.FAILED, "second": RingPhase.BLOCKED}
    assert "none of its windows ever opens" in result_message(world.progress, "")


# ----------------------------------------------------------------------------------------------------------- regions


def test_a_ring_waits_until_all_its_regions_are_ready_and_not_for_those_of_others() -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "near", "far"))
    copied = {"northeurope": TUESDAY + hours(4)}
    world = RingWorld(rollout, copied=copied, region_of={"far": "northeurope"}).play()

    assert world.started["one"] == TUESDAY
    assert world.started["near"] == world.started["far"]
    assert hours(4) <= world.started["near"] - TUESDAY < hours(5)


def test_a_ring_goes_on_without_a_pool_whose_region_never_gets_the_version() -> None:
    rollout = a_rollout(a_ring("first", "near", "far"), a_ring("second", "two"))
    world = RingWorld(rollout, copied={"northeurope": None}, region_of={"far": "northeurope"}).play()

    assert world.status_of("far").reason == "NotReplicated"
    assert hours(6) <= world.started["near"] - TUESDAY < hours(7)
    assert world.status_of("two").phase is Phase.SUCCEEDED


def test_the_deadline_of_a_region_counts_from_when_its_ring_could_have_started() -> None:
    monday = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "far", windows=[weekly("MO", "09:00", hours=20)]))
    world = RingWorld(rollout, copied={"northeurope": monday + hours(5)}, region_of={"far": "northeurope"}).play()

    assert hours(5) <= world.started["far"] - monday < hours(6)


def test_a_copy_that_comes_after_the_window_has_closed_waits_for_the_next_one() -> None:
    monday = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
    rollout = a_rollout(a_ring("first", "far", windows=[weekly("MO", "09:00", hours=2)]))
    world = RingWorld(rollout, copied={"northeurope": monday + hours(3)}, region_of={"far": "northeurope"}).play()

    assert world.started["far"] == monday + 7 * DAY


def test_a_ring_none_of_whose_pools_got_the_version_has_failed() -> None:
    rollout = a_rollout(a_ring("first", "far"), a_ring("second", "two"))
    world = RingWorld(rollout, copied={"northeurope": None}, region_of={"far": "northeurope"}).play()

    assert world.status_of("two").reason == "RingBlocked"
    assert overall_phase(phases_of(world.progress, world.rollout).values()) is Phase.FAILED


def test_a_region_of_the_policy_is_watched_beside_the_rings() -> None:
    replication = ReplicationPolicy(regions=("Japan East",))
    rollout = a_rollout(a_ring("first", "one"), replication=replication)
    world = RingWorld(rollout, copied={"japaneast": TUESDAY + hours(4)}).play()

    assert world.started["one"] == TUESDAY
    assert not world.progress.regions_missed
    assert world.now - TUESDAY >= hours(4)


def test_nothing_is_looked_at_while_a_ring_waits_for_its_day() -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "two", after=20 * DAY))
    world = RingWorld(rollout).play()

    assert len(world.looks) == 2
    assert world.turns < 20


# ------------------------------------------------------------------------------------------------- a ring that fails


@pytest.mark.parametrize("end", [Phase.HALTED, Phase.FAILED, Phase.SUPERSEDED])
def test_a_ring_that_fails_blocks_every_later_one(end: Phase) -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "two"), a_ring("third", "three", "four"))
    world = RingWorld(rollout, ends={"one": end}).play()

    assert set(world.started) == {"one"}
    assert phases(world) == {"first": "Failed", "second": "Blocked", "third": "Blocked"}
    for pool in ("two", "three", "four"):
        status = world.status_of(pool)
        assert (status.phase, status.reason) == (Phase.BLOCKED, "RingBlocked")
        assert "ring first has failed" in status.message
    assert overall_phase(phases_of(world.progress, rollout).values()) is end
    assert not was_rejected(world.progress)
    assert f"ring first has failed: host pool one {'halted' if end is Phase.HALTED else f'ended {end}'}: one {end}" in (
        world.told
    )


def test_pools_of_the_same_ring_that_have_not_started_are_not_started_either() -> None:
    rollout = a_rollout(a_ring("all", "one", "two", "three", concurrency=1))
    world = RingWorld(rollout, ends={"two": Phase.HALTED}).play()

    assert set(world.started) == {"one", "two"}
    assert world.status_of("three").phase is Phase.BLOCKED
    assert "host pool two, in the same ring, ended Halted" in world.status_of("three").message


def test_pools_of_the_same_ring_that_run_are_left_to_their_own_end() -> None:
    rollout = a_rollout(a_ring("all", "sick", "well"), a_ring("later", "three"))
    world = RingWorld(rollout, ends={"sick": Phase.HALTED}, takes={"well": hours(9)}).play()

    assert world.status_of("well").phase is Phase.SUCCEEDED
    assert world.now - TUESDAY == hours(9)


def test_a_pool_that_cannot_be_rolled_holds_nobody_up_beside_one_that_can() -> None:
    rollout = a_rollout(a_ring("first", "personal", "pooled"), a_ring("second", "two"))
    world = RingWorld(rollout, ends={"personal": Phase.REFUSED}).play()

    assert world.status_of("two").phase is Phase.SUCCEEDED


def test_a_ring_in_which_no_pool_could_be_rolled_proves_nothing() -> None:
    world = RingWorld(a_rollout(a_ring("first", "one"), a_ring("second", "two")), ends={"one": Phase.REFUSED}).play()

    assert world.status_of("two").phase is Phase.BLOCKED


# -------------------------------------------------------------------------------------------------------- the status


def test_a_pool_of_a_later_ring_is_scheduled_and_one_of_this_ring_waits_for_its_copy() -> None:
    rollout = a_rollout(a_ring("first", "one"), a_ring("second", "two"))
    world = RingWorld(rollout, copied={REGION: None}).play(until=hours(1))

    assert phases_of(world.progress, rollout) == {"one": Phase.WAITING_REPLICATION, "two": Phase.SCHEDULED}
    assert world.progress.phase is Phase.WAITING_REPLICATION


def test_deciding_twice_changes_nothing() -> None:
    rollout = a_rollout(a_ring("first", "one", windows=[weekly("MO")]))
    first = decide_rings(begin(rollout, "image-x", TUESDAY), rollout, TUESDAY)
    again = decide_rings(first.progress, rollout, TUESDAY)

    assert again.progress == first.progress
    assert again.wake_at == first.wake_at
    assert again.story == ()


def test_a_step_that_is_under_way_is_not_begun_again() -> None:
    rollout = a_rollout(a_ring("first", "one"))
    first = decide_rings(begin(rollout, "image-x", TUESDAY), rollout, TUESDAY)
    again = decide_rings(first.progress, rollout, TUESDAY, [step.key for step in first.steps])

    assert [step.key for step in first.steps] == ["version", "regions:one"]
    assert again.steps == ()


# --------------------------------------------------------------------------------------------------- random calendars

ZONES = st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
RECURRENCES = st.sampled_from(
    [
        "FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=MO",
        "FREQ=WEEKLY;BYDAY=SA,SU",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH",
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=12,13,14,15,16,17,18",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
    ]
)
WINDOWS = st.builds(
    Window,
    zone=ZONES,
    recurrence=RECURRENCES,
    start=st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
    duration=st.integers(15, 60 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
ENDS = st.sampled_from([Phase.SUCCEEDED] * 6 + [Phase.SUCCEEDED_WITH_SKIPS, Phase.HALTED, Phase.REFUSED, Phase.FAILED])
SPANS = st.integers(1, 60 * 72).map(lambda minutes: timedelta(minutes=minutes))


@st.composite
def worlds(draw: st.DrawFn) -> RingWorld:
    rings: list[RingPolicy] = []
    takes, ends = {}, {}
    for index in range(draw(st.integers(1, 4))):
        pools = [f"pool-{index}-{number}" for number in range(draw(st.integers(1, 4)))]
        for pool in pools:
            takes[pool], ends[pool] = draw(SPANS), draw(ENDS)
        rings.append(
            a_ring(
                f"ring-{index}",
                *pools,
                concurrency=draw(st.none() | st.integers(1, 3)),
                after=draw(st.just(timedelta(0)) | SPANS),
                windows=draw(st.lists(WINDOWS, max_size=2)),
                soak=draw(st.just(timedelta(0)) | SPANS),
            )
        )
    begins = datetime(2026, 1, 1, tzinfo=UTC) + draw(st.integers(0, 365 * 24 * 60)) * timedelta(minutes=1)
    copied = {REGION: begins + draw(st.integers(0, 5 * 60)) * timedelta(minutes=1)}
    return RingWorld(a_rollout(*rings), begins=begins, takes=takes, ends=ends, copied=copied)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_order_windows_limits_and_blocking_hold_for_any_calendar(world: RingWorld) -> None:
    world.play(until=timedelta(days=500))

    assert len(world.progress.ended) == len(world.rollout.pools), "every pool comes to an end"
    before_ended: datetime | None = world.begins
    for ring in world.rollout.image.rings:
        state = world.progress.rings[ring.name]
        begun = [world.started[pool] for pool in ring.host_pools if pool in world.started]
        if before_ended is None:
            assert not begun, "nothing starts after a ring that has failed"
            continue
        if begun:
            assert state.started_at is not None
            assert is_open(ring.start.windows, state.started_at), "a ring starts in one of its windows"
            assert state.started_at >= before_ended + ring.start.after
            assert min(begun) >= state.started_at
            for at in begun:
                running = [p for p in ring.host_pools if p in world.started and world.started[p] <= at < world.ended[p]]
                assert ring.concurrency is None or len(running) <= ring.concurrency
        passed = state.phase is RingPhase.PASSED
        bad = [p for p in ring.host_pools if world.ends[p] in (Phase.HALTED, Phase.FAILED) and p in world.started]
        assert not (passed and bad), "a ring with a bad pool does not pass"
        assert all(at < world.ended[p] for p in bad for at in begun), "nothing starts in a ring after a bad end"
        before_ended = max(world.ended[p] for p in ring.host_pools) + ring.gates.soak if passed else None


def test_the_image_policy_has_no_rings_by_default() -> None:
    assert ImagePolicy(name="office", definition_id="x").rings == ()
