"""What a forecast takes for granted about people and about Azure, and what it takes from the pool as it is now."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from msgspec import Struct

from rollout.model import PoolSnapshot, SessionHost
from rollout.policy import PeoplePolicy, PoolPolicy
from rollout.windows import read_start, read_zone

LEAST_POPULATION = 5
"""Fewer people than this tell nothing about how many come on a working day."""


class Assumptions(Struct, frozen=True):
    """What one forecast is made with. `stated` says it in sentences, for whoever reads the plan.

    `population` is how many people use the pool on a working day. `begins` and `ends` are hours of the day in `zone`;
    `ends` is more than 24 for people who work through the night, and both are None where people work around the clock:
    a session lasts `session` there. Shares are between 0 and 1.
    """

    zone: str
    population: int
    begins: float | None
    ends: float | None
    session: timedelta
    weekend: float
    heeds: float
    stays_signed_in: float
    provisioning: timedelta
    stated: tuple[str, ...]


def assumptions_of(snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> Assumptions:
    """What to assume about a pool, from the policy's `people` and from who is signed in at `now`."""
    people = policy.people
    population, how_many = _population(snapshot, policy, now)
    around_the_clock = people.work == "around_the_clock"
    working = (
        f"people work around the clock, {_hours(people.session)} at a time"
        if around_the_clock
        else f"people come at about {people.begins} and leave at about {people.ends} ({policy.zone})"
    )
    return Assumptions(
        zone=policy.zone,
        population=population,
        begins=None if around_the_clock else _hour(people.begins),
        ends=None if around_the_clock else _end(people),
        session=people.session,
        weekend=people.weekend / 100,
        heeds=people.heed_notice / 100,
        stays_signed_in=people.stay_signed_in / 100,
        provisioning=policy.expected_provisioning,
        stated=(
            how_many,
            f"{working}; {people.weekend} % of them at the weekend",
            f"{people.heed_notice} % of those who get a message sign out, {people.stay_signed_in} % leave without",
            f"a new host takes at most about {_minutes(policy.expected_provisioning)} minutes, and no step fails",
        ),
    )


class Luck(Struct, frozen=True):
    """What a single run of a forecast does not know beforehand: see `draw`."""

    ends_late: float
    begins_late: float
    heeds: float
    stays_signed_in: float
    breaks: float
    provisioning: float


def draw(assumed: Assumptions, rng: random.Random) -> Luck:
    """How one run differs from what was assumed.

    Nobody knows how people will behave to the percent, or how fast Azure is today: each run has its own day, and people
    differ within it. Without this, many runs would agree with each other and still be wrong together.
    """
    return Luck(
        ends_late=rng.gauss(0, 0.6),
        begins_late=rng.gauss(0, 0.25),
        heeds=min(1.0, assumed.heeds * rng.uniform(0.3, 1.4)),
        stays_signed_in=min(1.0, assumed.stays_signed_in * rng.uniform(0.4, 1.6)),
        breaks=rng.uniform(0.2, 0.7),
        provisioning=rng.uniform(0.3, 1.05),
    )


def _population(snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> tuple[int, str]:
    """How many people use the pool, and a sentence that says how that is known."""
    people = policy.people
    seen = sum(host.load for host in snapshot.hosts)
    slots = snapshot.pool.max_session_limit * sum(_may_serve(host) for host in snapshot.hosts)
    usual = round(slots * people.usual_load / 100)
    if seen >= LEAST_POPULATION and (people.work == "around_the_clock" or _is_well_into_the_day(policy, now)):
        return seen, f"{seen} people are signed in now, and as many use the pool on a working day"
    if seen > usual:
        return seen, f"{seen} people are signed in now, more than the usual {people.usual_load} % of the session slots"
    at_once = f"{seen} people are signed in now"
    return usual, f"{at_once}; on a working day {usual} are ({people.usual_load} % of the session slots: usual_load)"


def _may_serve(host: SessionHost) -> bool:
    return bool(host.vm_id and host.registration) and not host.is_powered_off


def _is_well_into_the_day(policy: PoolPolicy, now: datetime) -> bool:
    """So long after people come, and before they leave, that those who are there now are all of them."""
    local = now.astimezone(read_zone(policy.zone))
    hour, begins, ends = local.hour + local.minute / 60, _hour(policy.people.begins), _end(policy.people)
    of_today = local.weekday() < 5 and begins + 1 <= hour <= ends - 1
    of_yesterday = (local - timedelta(days=1)).weekday() < 5 and begins + 1 <= hour + 24 <= ends - 1
    return of_today or of_yesterday


def _end(people: PeoplePolicy) -> float:
    """The hour at which people leave, counted from the midnight before they come: 30 is six in the morning after."""
    begins, ends = _hour(people.begins), _hour(people.ends)
    return ends if ends > begins else ends + 24


def _hour(text: str) -> float:
    start = read_start(text)
    return start.hour + start.minute / 60


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:g} hours"


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
