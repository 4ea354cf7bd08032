"""Counts session slots and decides what may be drained, what must be given back, and who is next.

The scarce thing on a pool of session hosts is not hosts but free session slots on hosts that accept sign-ins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from operator import attrgetter

from msgspec import Struct, structs

from rollout.model import Blocked, HostPool, SessionHost

CAPACITY_CODES = frozenset(
    {
        "OperationNotAllowed",
        "QuotaExceeded",
        "SkuNotAvailable",
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
    }
)
"""Azure's codes for "no room for this VM now". They say nothing about the image, so they fail no host."""

PUT_OFF_CODES = CAPACITY_CODES | {"AuthorizationFailed", "LinkedAuthorizationFailed"}
"""Codes with which a VM is refused before anything is made: for want of room, or of a permission that somebody has to
give. The pool waits and tries again with one host; nothing is emptied meanwhile for hosts that cannot be made."""

RESERVE_TOO_SMALL = "ReserveTooSmall"
"""Reason of the phase WaitingCapacity when it is people, not Azure, who leave no room."""

ACCEPTING_STATUSES = frozenset({"Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"})
"""AVD brokers new sessions to hosts of these statuses only."""

GIVE_BACK_BELOW = 0.6
"""Share of the reserve below which drained hosts are given back.

Draining starts only when the whole reserve stays free, so that the two limits lie apart and a host does not flap
between them."""

GIVE_BACK_UP_TO = 0.8
"""Share of the reserve up to which they are given back: between the limit and what a new drain needs."""

FORECAST_SAFETY = 1.2
"""So many times the sign-ins that are expected while a new host is made are kept free."""

_RATE_WINDOWS = (timedelta(minutes=10), timedelta(hours=1))
"""Spans over which sign-ins are counted: the short one sees a shift begin, the long one sees what goes on all day."""

_ENOUGH_TO_COUNT = 3
"""Fewer sign-ins in the short span are chance: twice in ten minutes is not twelve an hour."""


class Slots(Struct, frozen=True):
    """Session slots of a pool: those `free` on the `accepting` hosts that accept sign-ins, and those to keep free.

    `free` may be negative when more people will look for a slot than there are. `at_work` are people who sit in front
    of a session on a drained host: they may need a slot at any moment. `keeps` tells that the policy asks for a reserve
    at all, `least_accepting` how many hosts must accept sign-ins whatever is free.
    """

    free: int
    reserve: int
    accepting: int
    at_work: int = 0
    keeps: bool = True
    least_accepting: int = 0

    @property
    def are_short(self) -> bool:
        """So few are free that drained hosts must be given back: also when no host is left that accepts sign-ins."""
        return self.free < self.reserve * GIVE_BACK_BELOW or self._are_too_few

    @property
    def are_short_of_enough(self) -> bool:
        """Giving back, once begun, goes on until so many are free."""
        return self.free < self.reserve * GIVE_BACK_UP_TO or self._are_too_few

    @property
    def _are_too_few(self) -> bool:
        return (self.free <= 0 and self.keeps) or self.accepting < self.least_accepting


def accepts_sign_ins(host: SessionHost) -> bool:
    """New sessions are brokered to this host: it runs, is connectable and not in drain mode."""
    return host.allows_new_sessions and would_accept_sign_ins(host)


def would_accept_sign_ins(host: SessionHost) -> bool:
    """The host would accept sign-ins if it were not in drain mode."""
    return host.power == "running" and host.status in ACCEPTING_STATUSES and bool(host.vm_id)


def free_slots_of(host: SessionHost, pool: HostPool) -> int:
    """Sessions that may still be placed on this host."""
    return max(0, pool.max_session_limit - host.load) if accepts_sign_ins(host) else 0


class SlotCount:
    """Session slots counted host by host: a host that changes hands is taken out and put in again, and no other."""

    def __init__(self, pool: HostPool) -> None:
        """Nothing is counted yet."""
        self._limit = pool.max_session_limit
        self._accepting = self._free = self._held = self._at_work = 0

    def add(
        self, in_service: Iterable[SessionHost] = (), drained: Iterable[SessionHost] = (), *, times: int = 1
    ) -> None:
        """Count these hosts, as in `count_slots`; with -1 as `times` no more."""
        for host in in_service:
            if host.allows_new_sessions and host.registration and would_accept_sign_ins(host):
                self._accepting += times
                self._free += times * max(0, self._limit - host.load)
        for host in drained:
            self._held += times * would_accept_sign_ins(host)
            self._at_work += times * host.at_work

    def slots(self, reserve_percent: int, forecast: float) -> Slots:
        """The slots of what is counted, with the reserve that `count_slots` describes."""
        total = (self._accepting + self._held) * self._limit
        wanted = max(math.ceil(total * reserve_percent / 100), math.ceil(forecast * FORECAST_SAFETY))
        return Slots(
            free=self._free,
            reserve=max(0, min(wanted, total - self._limit)),
            accepting=self._accepting,
            at_work=self._at_work,
            keeps=reserve_percent > 0,
        )


def count_slots(
    pool: HostPool,
    in_service: Iterable[SessionHost],
    drained: Iterable[SessionHost],
    reserve_percent: int,
    forecast: float = 0,
) -> Slots:
    """Count the session slots of the hosts that accept sign-ins among those `in_service`.

    `in_service` are the hosts that people use: not those being provisioned, verified or quarantined. `drained` are
    those that the rollout keeps people off, and that would accept sign-ins otherwise. The reserve is a share of the
    slots of both, so that it does not shrink as hosts are drained, or so many times the `forecast` sign-ins, if that is
    more. Hosts that are unfit, or that somebody else has drained, offer nothing and count for nothing; and no more is
    kept than a pool has without one of its hosts: a small pool could else never be rolled, not even with nobody on it.
    """
    count = SlotCount(pool)
    count.add(in_service, drained)
    return count.slots(reserve_percent, forecast)


def sign_in_rate(hosts: Iterable[SessionHost], now: datetime) -> float:
    """Sign-ins per hour of late: those of the last hour or six times those of the last ten minutes, whichever is more.

    Counted from when the sessions that exist began, so that nothing needs to be remembered between two looks; people
    who came and went in between are missed. What a host counts beyond what is listed has begun since it was listed.
    """
    short_from, long_from = (now - span for span in _RATE_WINDOWS)
    unlisted, of_late = 0, []
    for host in hosts:
        if host.load:
            unlisted += host.load - len(host.sessions)
            of_late += [s.began for s in host.sessions if s.began is not None and s.began >= long_from]
    short, long = unlisted + sum(moment >= short_from for moment in of_late), unlisted + len(of_late)
    return max(float(long), 6.0 * short if short >= _ENOUGH_TO_COUNT else 0.0)


def after_draining(slots: Slots, host: SessionHost, pool: HostPool) -> Slots:
    """The slots as they will be when nobody new is brokered to the host any more; its people stay on it."""
    return structs.replace(
        slots,
        free=slots.free - free_slots_of(host, pool),
        accepting=slots.accepting - accepts_sign_ins(host),
        at_work=slots.at_work + host.at_work,
    )


def may_drain(slots: Slots, host: SessionHost, pool: HostPool) -> bool:
    """The reserve stays free on the remaining hosts.

    A host that accepts no sign-ins costs nothing to drain. The last host that accepts any goes when nobody at work
    needs it: a session that somebody has left behind would else keep it for ever.
    """
    if not accepts_sign_ins(host):
        return True
    after = after_draining(slots, host, pool)
    if after.accepting < after.least_accepting:
        return False
    return after.at_work == 0 if after.accepting == 0 else after.free >= after.reserve


def may_move(slots: Slots, people: int) -> bool:
    """So many people may be asked to sign in elsewhere: when they have, no host needs to be given back."""
    return slots.free - people >= slots.reserve * GIVE_BACK_BELOW


def _room_to_move(slots: Slots, people: int) -> Slots:
    """The slots with a reserve that also leaves room for so many people who are to be asked next.

    Were hosts drained down to the reserve itself, those on the first of them could not be asked to leave, and if
    nobody left by themselves the rollout would stand still for ever.
    """
    return structs.replace(slots, reserve=max(slots.reserve, math.ceil(slots.reserve * GIVE_BACK_BELOW) + people))


def drain_order(hosts: Iterable[SessionHost]) -> Iterator[SessionHost]:
    """Outdated hosts in the order in which replacing them costs people least.

    Switched off, unfit, fewest people at work, fewest sessions; among equals one zone after the other, so that no zone
    is emptied before the others. Worked out as far as it is asked for: mostly the first few of thousands are.
    """
    by_cost: dict[tuple[bool, bool, int, int], list[SessionHost]] = {}
    for host in hosts:
        cost = (not host.is_powered_off, would_accept_sign_ins(host), host.at_work, host.load)
        by_cost.setdefault(cost, []).append(host)
    for cost in sorted(by_cost):
        zones: dict[str, list[SessionHost]] = {}
        for host in sorted(by_cost[cost], key=attrgetter("name")):
            zones.setdefault(host.zone, []).append(host)
        for one_of_each in zip_longest(*(zones[zone] for zone in sorted(zones))):
            yield from (host for host in one_of_each if host is not None)


def give_back_order(hosts: Iterable[SessionHost]) -> list[SessionHost]:
    """Drained hosts in the order of giving them back: the fullest first, as it would be replaced last."""
    return sorted(hosts, key=lambda host: (-host.load, host.name))


def choose_to_drain(
    candidates: Iterable[SessionHost], slots: Slots, pool: HostPool, *, limit: int, next_to_move: int = 0
) -> tuple[list[SessionHost], Slots, SessionHost | None]:
    """Choose at most `limit` outdated hosts to drain now.

    `next_to_move` is how many people are at work on the drained host that is to be emptied next, 0 when none is: then
    it is the first one chosen here. Room is left for them, see `_room_to_move`.

    Returns the hosts, the slots that are left, and the first host that the reserve forbids to drain (None when it
    forbids none). The ones behind that may fit all the same: it may be the emptiest of all and so the dearest.
    """
    chosen: list[SessionHost] = []
    refused = None
    for host in drain_order(candidates):
        if len(chosen) >= limit:
            break
        if may_drain(_room_to_move(slots, next_to_move), host, pool):
            slots = after_draining(slots, host, pool)
            chosen.append(host)
            next_to_move = min(filter(None, (next_to_move, host.at_work)), default=0)
        else:
            refused = refused or host
    return chosen, slots, refused


def in_plain_words(message: str) -> str:
    """A refusal of Azure's without its advice and links; quota figures as one short sentence."""
    if (quota := _QUOTA.search(message)) is not None:
        return (
            f"the quota of {quota['name']} in {quota['region']} is {quota['limit']}, "
            f"{quota['used']} are in use and {quota['needed']} more are needed"
        )
    return _ADVICE.split(message, maxsplit=1)[0]


_QUOTA = re.compile(
    r"exceeding approved (?P<name>.+?) quota\..*Location: (?P<region>\w+), Current Limit: (?P<limit>\d+), "
    r"Current Usage: (?P<used>\d+), Additional\s+Required: (?P<needed>\d+)",
    re.DOTALL,
)
_ADVICE = re.compile(r"\s+(?:Read more|Please|See https?:|Additional details|For more information)\b")


def block(blocked: Blocked | None, code: str, message: str, now: datetime) -> Blocked:
    """The block on new hosts after one more refusal for want of room: the pauses grow from 5 to 30 minutes.

    Refusals that arrive together (one wave of creations) count as one attempt.
    """
    if blocked is not None and now < blocked.retry_at:
        return blocked
    attempts = 1 if blocked is None else blocked.attempts + 1
    pause = min(timedelta(minutes=5) * attempts, timedelta(minutes=30))
    since = now if blocked is None else blocked.since
    return Blocked(code=code, message=in_plain_words(message), since=since, retry_at=now + pause, attempts=attempts)
