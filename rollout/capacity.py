"""Counts session slots and decides what may be drained, what must be given back, and who is next.

The scarce thing on a pool of session hosts is not hosts but free session slots on hosts that accept sign-ins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

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

ACCEPTING_STATUSES = frozenset({"Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"})
"""AVD brokers new sessions to hosts of these statuses only."""

GIVE_BACK_BELOW = 0.6
"""Share of the reserve below which a draining host is given back.

Draining starts only when the whole reserve stays free, so that the two limits lie apart and a host does not flap
between them."""


class Slots(Struct, frozen=True):
    """Session slots of the hosts that accept sign-ins: all of them, those free, and the share to keep free in percent.

    `free` may be negative when more people will look for a slot than there are. `leaving` are people at work on hosts
    that drain.
    """

    total: int
    free: int
    reserve_percent: int
    leaving: int = 0

    @property
    def reserve(self) -> int:
        """Slots to keep free, rounded up: 15 % of 192 slots is 29."""
        return math.ceil(self.total * self.reserve_percent / 100)

    @property
    def are_short(self) -> bool:
        """So few are free that draining hosts must be given back: also when no host is left that accepts sign-ins."""
        return self.free < self.reserve * GIVE_BACK_BELOW or (self.free <= 0 < self.reserve_percent)


def accepts_sign_ins(host: SessionHost) -> bool:
    """New sessions are brokered to this host: it runs, is connectable and not in drain mode."""
    return (
        bool(host.vm_id) and host.power == "running" and host.allows_new_sessions and host.status in ACCEPTING_STATUSES
    )


def would_accept_sign_ins(host: SessionHost) -> bool:
    """The host would accept sign-ins if it were not in drain mode."""
    return accepts_sign_ins(structs.replace(host, allows_new_sessions=True))


def free_slots_of(host: SessionHost, pool: HostPool) -> int:
    """Sessions that may still be placed on this host."""
    return max(0, pool.max_session_limit - host.load) if accepts_sign_ins(host) else 0


def count_slots(pool: HostPool, in_service: Iterable[SessionHost], reserve_percent: int) -> Slots:
    """Count the session slots of the hosts that accept sign-ins among those `in_service`.

    `in_service` are the hosts that people use: not those being provisioned, verified or quarantined. Hosts that are
    unfit, or that somebody else has drained, offer nothing and so count for nothing: were they counted, a small pool
    could never keep its reserve, not even with nobody on it.
    """
    accepting = [host for host in in_service if accepts_sign_ins(host) and host.registration]
    free = sum(free_slots_of(host, pool) for host in accepting)
    return Slots(len(accepting) * pool.max_session_limit, free, reserve_percent)


def after_draining(slots: Slots, host: SessionHost, pool: HostPool) -> Slots:
    """The slots as they will be when the host is drained and everybody on it has signed in elsewhere."""
    return structs.replace(
        slots,
        total=slots.total - (pool.max_session_limit if accepts_sign_ins(host) else 0),
        free=slots.free - free_slots_of(host, pool) - host.load,
        leaving=slots.leaving + host.at_work,
    )


def may_drain(slots: Slots, host: SessionHost, pool: HostPool) -> bool:
    """The reserve stays free on the remaining hosts even when the host's people all sign in again there.

    An empty host that accepts no sign-ins, and one that is switched off, costs nothing to drain. The last host that
    accepts any goes when nobody at work needs it: a session that somebody has left behind would else keep it for ever.
    """
    if not accepts_sign_ins(host) and host.load == 0:
        return True
    after = after_draining(slots, host, pool)
    return after.free >= after.reserve or (after.total == 0 and after.leaving == 0)


def drain_order(hosts: Iterable[SessionHost]) -> list[SessionHost]:
    """Outdated hosts in the order in which replacing them costs people least: switched off, unfit, fewest sessions."""
    return sorted(hosts, key=lambda host: (not host.is_powered_off, accepts_sign_ins(host), host.load, host.name))


def give_back_order(hosts: Iterable[SessionHost]) -> list[SessionHost]:
    """Draining hosts in the order of giving them back: the fullest first, as it would be replaced last."""
    return sorted(hosts, key=lambda host: (-host.load, host.name))


def choose_wave(
    candidates: Iterable[SessionHost], slots: Slots, pool: HostPool, *, limit: int
) -> tuple[list[SessionHost], Slots, SessionHost | None]:
    """Choose at most `limit` outdated hosts to drain now.

    Returns the hosts, the slots that are left when they have emptied, and the first host that the reserve forbids to
    drain (None when it forbids none). The ones behind that may fit all the same: it may be unfit and crowded.
    """
    wave: list[SessionHost] = []
    refused = None
    for host in drain_order(candidates):
        if len(wave) >= limit:
            break
        if may_drain(slots, host, pool):
            slots = after_draining(slots, host, pool)
            wave.append(host)
        else:
            refused = refused or host
    return wave, slots, refused


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
