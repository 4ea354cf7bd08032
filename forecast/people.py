"""The people in a forecast: they come, take a break, leave or forget to, and come back when they are signed out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta

from forecast.assumptions import Assumptions, Luck
from forecast.world import World
from rollout.model import UserSession
from rollout.windows import read_zone

_SPREAD = 0.6
"""How much people differ in when they come and leave, as a standard deviation in hours."""

_BREAK = timedelta(minutes=40)
_ATTENDANCE = 0.95


class People:
    """Everybody who uses the pool. Those who are signed in now are among them."""

    def __init__(self, world: World, assumed: Assumptions, luck: Luck, rng: random.Random) -> None:
        """Plan the day that has begun; each following day is planned when it begins."""
        self._world = world
        self._assumed = assumed
        self._luck = luck
        self._rng = rng
        self._zone = read_zone(assumed.zone)
        self._at_work: set[str] = set()
        self._waiting: set[str] = set()
        self.forced: list[str] = []
        world.notified = self._heed
        world.signed_out = self._come_back
        here = [session for host in world.hosts.values() for session in host.sessions]
        others = [f"person-{n}" for n in range(max(0, assumed.population - len(here)))]
        self._everybody = [session.user for session in here] + others
        if assumed.begins is None or assumed.ends is None:
            self._work_around_the_clock(here, others)
        else:
            self._have_a_day(here, assumed.begins, assumed.ends)

    # ------------------------------------------------------------------------------------------------------ office days

    def _have_a_day(self, here: list[UserSession], begins: float, ends: float) -> None:
        """Who is here now leaves when the day ends; who is not may still come."""
        midnight = datetime.combine(self._world.now.astimezone(self._zone).date(), time(), self._zone)
        if self._world.now < _at(midnight, ends - 24):  # the night that began yesterday is not over
            midnight = datetime.combine(midnight.date() - timedelta(days=1), time(), self._zone)
        signed_in = {session.user for session in here}
        for session in here:
            if not session.is_disconnected:
                self._at_work.add(session.user)
            self._leave_at(session.user, self._end_of(midnight, begins, ends))
        # Somebody who left their session behind yesterday comes like everybody else.
        away = [session.user for session in here if session.is_disconnected]
        absent = [user for user in self._everybody if user not in signed_in]
        self._plan(midnight, [*absent, *away], begins, ends)
        self._plan_tomorrow(midnight, begins, ends)

    def _plan_tomorrow(self, midnight: datetime, begins: float, ends: float) -> None:
        tomorrow = datetime.combine(midnight.date() + timedelta(days=1), time(), self._zone)

        def plan() -> None:
            self._plan(tomorrow, self._everybody, begins, ends)
            self._plan_tomorrow(tomorrow, begins, ends)

        self._world.at(tomorrow.astimezone(UTC), plan)

    def _plan(self, midnight: datetime, users: list[str], begins: float, ends: float) -> None:
        share = _ATTENDANCE if midnight.weekday() < 5 else self._assumed.weekend
        for user in users:
            if self._rng.random() >= share:
                continue
            comes = _at(midnight, begins + self._luck.begins_late + self._rng.gauss(0, _SPREAD))
            leaves = max(comes + timedelta(minutes=30), self._end_of(midnight, begins, ends))
            if comes > self._world.now:
                self._come_at(user, comes)
                self._leave_at(user, leaves)
                self._take_a_break(user, midnight, (begins + ends) / 2)

    def _end_of(self, midnight: datetime, begins: float, ends: float) -> datetime:
        """When somebody who is at work leaves: today, or if they are here at night, by when people leave tomorrow."""
        today = _at(midnight, ends + self._luck.ends_late + self._rng.gauss(0, _SPREAD))
        if today > self._world.now:
            return today
        late = self._world.now + timedelta(hours=self._rng.expovariate(1.0))
        return min(late, _at(midnight, 24 + begins)) if late > self._world.now else today

    def _take_a_break(self, user: str, midnight: datetime, middle: float) -> None:
        if self._rng.random() < self._luck.breaks:
            at = _at(midnight, middle + self._rng.gauss(0, 0.3))
            if at > self._world.now:
                self._world.at(at, lambda: self._break(user))

    def _break(self, user: str) -> None:
        if user in self._at_work:
            self._at_work.discard(user)
            self._world.walk_away(user)
            self._world.after(_BREAK * self._rng.uniform(0.6, 1.3), lambda: self._come(user))

    def _come_at(self, user: str, moment: datetime) -> None:
        self._world.at(moment, lambda: self._come(user))

    def _leave_at(self, user: str, moment: datetime) -> None:
        self._world.at(moment, lambda: self._leave(user))

    # ------------------------------------------------------------------------------------------------ around the clock

    def _work_around_the_clock(self, here: list[UserSession], others: list[str]) -> None:
        """Who leaves is followed by somebody else, so that about as many are there at any time."""
        for session in here:
            began = session.began or self._world.now
            self._at_work.add(session.user)
            left = self._stay() - (self._world.now - began)
            self._leave_at_the_end_of_a_shift(session.user, max(left, timedelta(minutes=self._rng.uniform(1, 30))))
        for user in others:
            self._begin_later(user, self._rng.uniform(0, 1) * self._assumed.session)

    def _begin_later(self, user: str, delay: timedelta) -> None:
        self._world.after(delay, lambda: self._begin(user))

    def _begin(self, user: str) -> None:
        self._come(user)
        self._leave_at_the_end_of_a_shift(user, self._stay())

    def _leave_at_the_end_of_a_shift(self, user: str, stays: timedelta) -> None:
        def leave() -> None:
            self._leave(user)
            successor = f"{user}+"
            self._begin_later(successor, timedelta(minutes=self._rng.uniform(0, 30)))

        self._world.after(stays, leave)

    def _stay(self) -> timedelta:
        return self._assumed.session * self._rng.uniform(0.7, 1.3)

    # ---------------------------------------------------------------------------------------------------- what they do

    def _come(self, user: str) -> None:
        self._at_work.add(user)
        self._sign_in(user)

    def _sign_in(self, user: str) -> None:
        if user in self._waiting or user not in self._at_work:
            return
        if not self._world.sign_in(user):
            self._again(user, 2, 6)

    def _again(self, user: str, soonest: float, latest: float) -> None:
        if user in self._waiting:
            return
        self._waiting.add(user)

        def again() -> None:
            self._waiting.discard(user)
            self._sign_in(user)

        self._world.after(timedelta(minutes=self._rng.uniform(soonest, latest)), again)

    def _leave(self, user: str) -> None:
        self._at_work.discard(user)
        if self._rng.random() < self._luck.stays_signed_in:
            self._world.walk_away(user)
        else:
            self._world.sign_out(user)

    def _heed(self, session: UserSession) -> None:
        """Somebody is asked to sign out, perhaps once more: each message may be the one that they heed."""
        if self._rng.random() < self._luck.heeds:
            self._world.after(timedelta(minutes=self._rng.uniform(2, 24)), lambda: self._make_room(session.user))

    def _make_room(self, user: str) -> None:
        if self._world.host_of(user):
            self._world.sign_out(user)
            self._again(user, 1, 8)

    def _come_back(self, session: UserSession) -> None:
        """Somebody was signed out; who sat in front of the session comes back if the day is not over for them."""
        if not session.is_disconnected:
            self.forced.append(session.user)
            self._again(session.user, 2, 7)


def _at(midnight: datetime, hours: float) -> datetime:
    """The instant when the clock shows so many hours after midnight."""
    return (midnight + timedelta(hours=hours)).astimezone(UTC)
