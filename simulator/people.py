"""People: they arrive, have lunch, read messages or not, leave or forget to, and come back when thrown out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

from simulator.host_pools import HostPool, HostPools, Session, SessionState
from simulator.journal import Kind
from simulator.sessions import Sessions
from simulator.workload import OFFICE, Pattern, Workload
from simulator.world import PERSON, World, public

_SHIFT_STARTS = (6.0, 14.0, 22.0)
_SHIFT_HOURS = 8.0


class Step(IntEnum):
    """What a person sets out to do at a moment of their day."""

    BEGIN = 0
    PAUSE = 1
    RESUME = 2
    FINISH = 3


@dataclass(slots=True, eq=False)
class Person:
    """A person. `wants` tells whether they would be working right now, whatever Azure lets them do."""

    name: str
    pool: HostPool
    workload: Workload
    index: int
    wants: bool = False
    trying: bool = False
    forgets: bool = False

    @property
    def session(self) -> Session | None:
        """Their session in the pool, if they have one."""
        return self.pool.sessions.get(self.name)


@dataclass(slots=True, eq=False)
class _Crowd:
    pool: HostPool
    workload: Workload
    zone: ZoneInfo
    people: list[Person] = field(default_factory=list)


class People:
    """All people. Their plans are drawn day by day from a stream of their own.

    Because plans and reactions draw from different streams, two rollouts on the same seed meet the same people.
    """

    def __init__(self, world: World, pools: HostPools, sessions: Sessions) -> None:
        self.world = world
        self._pools = pools
        self._sessions = sessions
        self._plans = world.stream("plans")
        self._reactions = world.stream("reactions")
        self._people: dict[str, Person] = {}
        sessions.interrupted.append(self._thrown_out)
        sessions.messaged.append(self._messaged)

    @public
    def add(self, pool_id: str, count: int, workload: Workload = OFFICE, prefix: str = "person") -> list[Person]:
        """Add `count` people who use this pool from now on; those whose day has begun sign in at once.

        Names are `prefix-0001@contoso.com` and so on, and must be new.
        """
        pool = self._pools.get(pool_id)
        crowd = _Crowd(pool, workload, ZoneInfo(workload.zone))
        for index in range(count):
            person = Person(f"{prefix}-{index + 1:04}@contoso.com", pool, workload, index)
            if person.name in self._people:
                raise ValueError(f"{person.name} exists")
            self._people[person.name] = person
            crowd.people.append(person)
        if workload.pattern is Pattern.CONSTANT:
            self._keep_busy(crowd)
        else:
            self._join_the_day(crowd)
        return crowd.people

    @public
    def get(self, name: str) -> Person | None:
        """The person with this name, or None."""
        return self._people.get(name)

    @public
    def all(self) -> list[Person]:
        """Everybody, in the order in which they were added."""
        return list(self._people.values())

    def _keep_busy(self, crowd: _Crowd) -> None:
        busy, idle = sum(crowd.workload.session_minutes), sum(crowd.workload.pause_minutes)
        for person in crowd.people:
            if self._plans.random() < busy / (busy + idle):
                self._take(person, Step.BEGIN)
            else:
                self._later(person, crowd.workload.pause_minutes, Step.BEGIN)

    def _join_the_day(self, crowd: _Crowd) -> None:
        now = self.world.time
        today = now.astimezone(crowd.zone).date()
        for day in (today - timedelta(days=1), today):
            midnight = datetime.combine(day, time(), crowd.zone)
            for person in crowd.people:
                reached: Step | None = None
                for when, step in _plan(person, midnight, self._plans):
                    if when <= now:
                        reached = step
                    else:
                        self.world.at(when, self._take, person, step, by=PERSON)
                self._catch_up_with(person, reached)
        self._plan_tomorrow(crowd, datetime.combine(today, time(), crowd.zone))

    def _catch_up_with(self, person: Person, reached: Step | None) -> None:
        if reached in (Step.BEGIN, Step.RESUME):
            self._take(person, Step.BEGIN)
        elif reached is Step.PAUSE:
            self._take(person, Step.BEGIN)
            self._take(person, Step.PAUSE)

    def _plan_tomorrow(self, crowd: _Crowd, midnight: datetime) -> None:
        tomorrow = datetime.combine(midnight.date() + timedelta(days=1), time(), crowd.zone)
        self.world.at(tomorrow.astimezone(UTC), self._plan_day, crowd, tomorrow, by=PERSON)

    def _plan_day(self, crowd: _Crowd, midnight: datetime) -> None:
        if crowd.pool.deleted:
            return
        for person in crowd.people:
            for when, step in _plan(person, midnight, self._plans):
                self.world.at(when, self._take, person, step, by=PERSON)
        self._plan_tomorrow(crowd, midnight)

    def _take(self, person: Person, step: Step) -> None:
        session = person.session
        if step in (Step.BEGIN, Step.RESUME):
            person.wants = True
            self._connect(person)
        elif step is Step.PAUSE:
            person.wants = False
            if session is not None:
                self._sessions.walk_away(session)
        else:
            person.wants = False
            if session is not None and not person.forgets:
                self._sessions.leave(session)
            elif session is not None:
                self._sessions.walk_away(session)
        if person.workload.pattern is Pattern.CONSTANT:
            self._alternate(person, step)

    def _alternate(self, person: Person, step: Step) -> None:
        if step is Step.BEGIN:
            self._later(person, person.workload.session_minutes, Step.FINISH)
        elif step is Step.FINISH:
            self._later(person, person.workload.pause_minutes, Step.BEGIN)

    def _later(self, person: Person, minutes: tuple[float, float], step: Step) -> None:
        self.world.after(_seconds(self._plans, minutes), self._take, person, step, by=PERSON)

    def _connect(self, person: Person) -> None:
        if person.pool.deleted or person.trying:
            return
        if self._sessions.sign_in(person.pool.id, person.name) is None:
            self._try_again(person, person.workload.retries_after)

    def _try_again(self, person: Person, minutes: tuple[float, float]) -> None:
        if not person.trying:
            person.trying = True
            self.world.after(_seconds(self._reactions, minutes), self._retry, person, by=PERSON)

    def _retry(self, person: Person) -> None:
        person.trying = False
        session = person.session
        if person.wants and (session is None or session.state is SessionState.DISCONNECTED):
            self._connect(person)

    def _thrown_out(self, session: Session) -> None:
        person = self._people.get(session.person)
        if person is not None and person.wants:
            self._try_again(person, person.workload.returns_after_force)

    def _messaged(self, session: Session, title: str, body: str) -> None:
        person = self._people.get(session.person)
        if person is None or session.state is not SessionState.ACTIVE:
            return
        if self._reactions.random() < person.workload.reads:
            seconds = _seconds(self._reactions, person.workload.reads_within)
            self.world.after(seconds, self._read, person, session, by=PERSON)

    def _read(self, person: Person, session: Session) -> None:
        if person.session is not session or session.state is not SessionState.ACTIVE:
            return
        self.world.record(Kind.MESSAGE_READ, person.name, session.host.label, person=person.name)
        workload, chance = person.workload, self._reactions.random()
        if chance < workload.obeys:
            self.world.after(_seconds(self._reactions, workload.obeys_after), self._obey, person, session, by=PERSON)
        elif chance < workload.obeys + workload.walks_away:
            self.world.after(_seconds(self._reactions, workload.obeys_after), self._drop, person, session, by=PERSON)

    def _obey(self, person: Person, session: Session) -> None:
        if person.session is not session:
            return
        self._sessions.leave(session)
        if person.wants and self._reactions.random() < person.workload.comes_back:
            self._try_again(person, person.workload.back_after)

    def _drop(self, person: Person, session: Session) -> None:
        if person.session is session:
            self._sessions.walk_away(session)


def _plan(person: Person, midnight: datetime, rng: random.Random) -> Iterator[tuple[datetime, Step]]:
    """The steps of one person's day, in order. Always draws the same number of times, so that plans do not shift."""
    workload = person.workload
    arrives, leaves = _hours(person)
    present = rng.random()
    begin = rng.gauss(arrives, workload.arrives_spread)
    finish = max(begin + 0.5, rng.gauss(leaves, workload.leaves_spread))
    lunch_at = rng.gauss(_lunch(workload, arrives), workload.lunch_spread)
    lunch_for = _seconds(rng, workload.lunch_minutes) / 3600
    lunches = rng.random() < workload.lunch_disconnects
    forgets = rng.random() < workload.forgets
    weekend = midnight.weekday() >= 5
    if present >= (workload.weekend_attendance if weekend else workload.attendance):
        return
    person.forgets = forgets
    yield _at(midnight, begin), Step.BEGIN
    if lunches and begin < lunch_at and lunch_at + lunch_for < finish:
        yield _at(midnight, lunch_at), Step.PAUSE
        yield _at(midnight, lunch_at + lunch_for), Step.RESUME
    yield _at(midnight, finish), Step.FINISH


def _at(midnight: datetime, hours: float) -> datetime:
    """The instant when the local clock shows so many hours after `midnight`, also when the clocks change."""
    return (midnight + timedelta(hours=hours)).astimezone(UTC)


def _hours(person: Person) -> tuple[float, float]:
    if person.workload.pattern is Pattern.SHIFTS:
        start = _SHIFT_STARTS[person.index % len(_SHIFT_STARTS)]
        return start, start + _SHIFT_HOURS
    return person.workload.arrives, person.workload.leaves


def _lunch(workload: Workload, arrives: float) -> float:
    return arrives + _SHIFT_HOURS / 2 if workload.pattern is Pattern.SHIFTS else workload.lunch


def _seconds(rng: random.Random, minutes: tuple[float, float]) -> float:
    low, high = minutes
    return 60 * (low + (high - low) * rng.random())
