"""What is foretold of a pool: it follows from the pool, the policy and the assumptions, and from nothing else."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from forecast.assumptions import assumptions_of, draw
from forecast.people import People
from forecast.runs import MOST_HOSTS, RUNS, PoolForecast, forecast
from forecast.world import World
from rollout.model import PoolSnapshot, UserSession
from rollout.policy import PeoplePolicy, hours, minutes
from tests.rollout.builders import MORNING, NEXT, a_host, a_policy, a_pool, a_window, hosts_named, version_id


def foretold(pool: PoolSnapshot, starts: datetime = MORNING, runs: int = 6, **policy: Any) -> PoolForecast:
    return forecast(pool, a_policy(**policy), version_id(NEXT), starts, runs)


def hours_of(told: PoolForecast) -> tuple[float, float]:
    assert told.duration is not None
    return told.duration.p50 / 3600, told.duration.p95 / 3600


def test_the_same_pool_at_the_same_time_gives_the_same_forecast() -> None:
    pool = a_pool(hosts_named(3, sessions=2))
    assert foretold(pool) == foretold(pool)


def test_a_pool_that_nobody_uses_is_over_as_soon_as_its_hosts_can_be_made() -> None:
    nobody = PeoplePolicy(usual_load=0)
    told = foretold(a_pool(hosts_named(4)), people=nobody)

    assert told.ends == {"Succeeded": 6}
    p50, p95 = hours_of(told)
    assert 1 < p50 <= p95 < 4
    assert (told.forced_sign_outs.p95, told.refused_sign_ins.p95, told.twice.p95) == (0, 0, 0)
    assert told.peak_hosts == 5  # one more than the pool: the surge
    assert set(told.replaced_after) == {"avd-001", "avd-002", "avd-003", "avd-004"}


def test_people_who_are_not_asked_before_the_evening_are_not_signed_out() -> None:
    pool = a_pool(hosts_named(6, sessions=4))
    at_once = foretold(pool, drain={"grace": hours(1)})
    in_the_evening = foretold(pool, finish_within=hours(36), drain={"grace": hours(8)})

    assert at_once.forced_sign_outs.p50 > 0
    assert in_the_evening.forced_sign_outs.p50 == 0
    assert hours_of(in_the_evening)[0] > hours_of(at_once)[0]
    assert at_once.waves
    assert at_once.waves[0].hosts >= 1


def test_who_heeds_a_notice_is_not_signed_out() -> None:
    pool = a_pool(hosts_named(6, sessions=5))
    nobody = foretold(pool, people=PeoplePolicy(heed_notice=0))
    everybody = foretold(pool, people=PeoplePolicy(heed_notice=100))
    assert everybody.forced_sign_outs.p50 < nobody.forced_sign_outs.p50


def test_windows_are_waited_for() -> None:
    night = (a_window("20:00", hours(10)),)
    told = foretold(a_pool(hosts_named(3)), windows=night, people=PeoplePolicy(usual_load=0))
    assert told.duration is not None
    assert told.duration.p50 >= 12 * 3600  # from 8:00 to 20:00


def test_a_window_that_is_too_short_for_any_host_is_said_never_to_end_in_time() -> None:
    never = (a_window("20:00", timedelta(minutes=5)),)
    told = foretold(a_pool(hosts_named(2)), windows=never)
    assert told.ends == {"NotInTime": 3}  # three in a row are enough
    assert told.duration is None


def test_a_rollout_that_starts_later_meets_the_people_of_that_time() -> None:
    pool = a_pool(hosts_named(6, sessions=5))
    now = foretold(pool, drain={"grace": hours(1)})
    at_night = foretold(pool, starts=MORNING + hours(14), drain={"grace": hours(1)})
    assert at_night.forced_sign_outs.p50 < now.forced_sign_outs.p50


def test_a_large_pool_is_foretold_on_a_part_of_its_hosts_and_counted_up() -> None:
    told = foretold(a_pool(hosts_named(MOST_HOSTS * 5, sessions=4)), runs=2, surge="5%", max_wave="25%")

    assert told.of_hosts == MOST_HOSTS
    assert told.peak_hosts == MOST_HOSTS * 5 + 10
    assert told.replaced_after == {}
    assert f"foretold on {MOST_HOSTS} of the hosts, as the others are like them" in told.assumptions


def test_amounts_in_hosts_are_taken_down_with_a_large_pool() -> None:
    few = foretold(a_pool(hosts_named(120)), runs=2, surge=6, max_creating=6, people=PeoplePolicy(usual_load=0))
    many = foretold(a_pool(hosts_named(120)), runs=2, surge=60, max_creating=60, people=PeoplePolicy(usual_load=0))
    assert hours_of(many)[0] < hours_of(few)[0] / 2


def test_twenty_runs_make_the_largest_value_the_95th_percentile() -> None:
    assert RUNS == 20
    told = foretold(a_pool(hosts_named(1)), runs=RUNS, people=PeoplePolicy(usual_load=0))
    assert told.runs == 20
    p50, p95 = hours_of(told)
    assert p50 < p95


@pytest.mark.parametrize("unhealthy", [{"last_heartbeat": None}, {"status": "Unavailable"}])
def test_a_pool_with_an_unhealthy_host_is_foretold_all_the_same(unhealthy: dict[str, Any]) -> None:
    told = foretold(a_pool([a_host("avd-001", **unhealthy), *hosts_named(3, first=2, sessions=2)]), runs=2)
    assert told.ends == {"Succeeded": 2}


def test_sessions_that_are_counted_but_not_listed_can_leave_as_well() -> None:
    hidden = structs.replace(a_host("avd-001"), session_count=3)
    told = foretold(a_pool([hidden, *hosts_named(2, first=2)]), runs=2)
    assert told.ends == {"Succeeded": 2}


# -------------------------------------------------------------------------------------------------------- assumptions


def test_on_a_working_day_those_who_are_there_are_counted() -> None:
    noon = a_pool(hosts_named(4, sessions=3), at=MORNING + hours(3))
    assumed = assumptions_of(noon, a_policy(), noon.observed_at)
    assert assumed.population == 12
    assert assumed.stated[0] == "12 people are signed in now, and as many use the pool on a working day"


def test_at_night_the_policy_says_how_many_people_come() -> None:
    night = a_pool(hosts_named(4, sessions=0), at=MORNING + hours(14))
    assumed = assumptions_of(night, a_policy(people=PeoplePolicy(usual_load=50)), night.observed_at)
    assert assumed.population == 20  # half of 4 hosts of 10 slots
    assert "usual_load" in assumed.stated[0]


def test_people_around_the_clock_are_counted_at_any_time_and_follow_each_other() -> None:
    night = a_pool(hosts_named(4, sessions=3), at=MORNING + hours(14))
    policy = a_policy(people=PeoplePolicy(work="around_the_clock"), finish_within=hours(36), drain={"grace": hours(8)})
    assumed = assumptions_of(night, policy, night.observed_at)
    assert (assumed.population, assumed.begins) == (12, None)

    told = forecast(night, policy, version_id(NEXT), night.observed_at, 3)
    assert told.ends == {"Succeeded": 3}


@pytest.mark.parametrize(("began", "still_there"), [(MORNING - hours(7), 0), (MORNING, 4)])
def test_somebody_who_has_been_there_for_long_leaves_soon(began: datetime, still_there: int) -> None:
    sessions = tuple(UserSession(f"avd-001/{n}", f"p{n}", began=began) for n in range(4))
    pool = a_pool([structs.replace(a_host("avd-001"), sessions=sessions, session_count=4)])
    shift = PeoplePolicy(work="around_the_clock", stay_signed_in=0)
    assumed = assumptions_of(pool, a_policy(people=shift), MORNING)
    rng = random.Random(1)
    world = World(pool, minutes(20), rng, MORNING + hours(48))
    People(world, assumed, draw(assumed, rng), rng)

    world.pass_time(MORNING + hours(4))

    assert sum(bool(world.host_of(f"p{n}")) for n in range(4)) == still_there


def test_people_who_work_through_the_night_leave_in_the_morning() -> None:
    """At 23:00 everybody has just come; at one in the morning they are still there, at noon they are not."""
    late = MORNING + hours(14)  # 23:00 in Zurich
    pool = a_pool(hosts_named(2, sessions=4), at=late)
    night = a_policy(people=PeoplePolicy(begins="22:00", ends="06:00", stay_signed_in=0))
    assumed = assumptions_of(pool, night, late)
    rng = random.Random(1)
    world = World(pool, minutes(20), rng, late + hours(48))
    People(world, assumed, draw(assumed, rng), rng)

    def there() -> int:
        return sum(host.load for host in world.hosts.values())

    world.pass_time(late + hours(2))
    at_one = there()
    world.pass_time(late + hours(13))
    assert (at_one >= 7, there()) == (True, 0)


def test_who_works_at_night_and_is_there_after_midnight_leaves_the_same_morning() -> None:
    small_hours = MORNING + hours(17)  # two in the morning, on a Saturday
    pool = a_pool(hosts_named(2, sessions=4), at=small_hours)
    night = a_policy(people=PeoplePolicy(begins="22:00", ends="06:00", stay_signed_in=0, weekend=0))
    assumed = assumptions_of(pool, night, small_hours)
    rng = random.Random(1)
    world = World(pool, minutes(20), rng, small_hours + hours(48))
    People(world, assumed, draw(assumed, rng), rng)

    world.pass_time(small_hours + hours(1))
    assert sum(host.load for host in world.hosts.values()) >= 7
    world.pass_time(small_hours + hours(8))
    assert sum(host.load for host in world.hosts.values()) == 0
