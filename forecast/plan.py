"""The plan of a rollout: what would happen to which host, in which order and why, what it needs and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from forecast.runs import PoolForecast
from rollout.capacity import drain_order
from rollout.expected import Expected
from rollout.fitness import Finding, QuotaNeed
from rollout.model import (
    QUARANTINE_TAG,
    ImageVersion,
    PoolSnapshot,
    SessionHost,
    count_of,
    is_outdated,
    normalise_region,
    short_version,
)
from rollout.policy import ImagePolicy, PoolPolicy, RingPolicy
from rollout.pool import start, why_refused
from rollout.replicas import Footprint, largest_wave, shortages, supply
from rollout.turn import Turn
from rollout.windows import closes_at, is_open, next_opening


class HostPlan(Struct, frozen=True, omit_defaults=True):
    """What would become of one host and why. `order` counts from 1 among those to be replaced; 0 for the others."""

    host: str
    will: str
    reason: str
    order: int = 0
    version: str = ""
    sessions: int = 0
    zone: str = ""


class Limits(Struct, frozen=True):
    """The policy's amounts as counts for this pool; a percentage rounds up, see rollout.policy.hosts_of."""

    hosts: int
    outdated: int
    surge: int
    max_unavailable: int
    at_a_time: int
    max_wave: int
    free_slots: int
    reserve: int


class PoolPlan(Struct, frozen=True, omit_defaults=True):
    """What would happen to one host pool. `verdict`: roll, nothing_to_do, refuse, or unreadable.

    `message` says it in a sentence; `waits_for` lists what holds the start up, in sentences, `starts` is when nothing
    of that does any more (None: nobody can tell). `forecast` is None where it was not asked for or would be of nothing.
    """

    pool: str
    verdict: str
    message: str
    ring: str = ""
    reason: str = ""
    starts: datetime | None = None
    window: str = ""
    limits: Limits | None = None
    hosts: tuple[HostPlan, ...] = ()
    forecast: PoolForecast | None = None


class RingPlan(Struct, frozen=True, omit_defaults=True):
    """When a ring would start, and after what: `after` in sentences. `starts` is None when nobody can tell."""

    ring: str
    host_pools: tuple[str, ...]
    starts: datetime | None
    after: tuple[str, ...]


class RolloutPlan(Struct, frozen=True, omit_defaults=True):
    """The plan of a whole rollout, made at `made_at`; `regions` says of each region how far the version is there.

    `replicas` are shortages in sentences: fewer VMs would be made at once, or the policy raises them. `expected` is the
    forecast in short: who starts the rollout with it is told at the end how it went against the plan. `checked` tells
    whether it was looked for what does not fit, which is in `findings`; `quota` has the cores needed, ring by ring.
    """

    image: str
    version: str
    made_at: datetime
    message: str
    rings: tuple[RingPlan, ...]
    pools: tuple[PoolPlan, ...]
    regions: dict[str, str] = {}
    replicas: tuple[str, ...] = ()
    expected: dict[str, Expected] = {}
    checked: bool = False
    findings: tuple[Finding, ...] = ()
    quota: tuple[QuotaNeed, ...] = ()


ROLL, NOTHING, REFUSE, UNREADABLE = "roll", "nothing_to_do", "refuse", "unreadable"


def plan_pool(snapshot: PoolSnapshot, policy: PoolPolicy, target: str, ring: str, starts: datetime | None) -> PoolPlan:
    """What a rollout of version `target` would do with a pool as it is in the snapshot; without the forecast."""
    now = snapshot.observed_at
    turn = Turn(start("plan", snapshot.pool.id, target, now), snapshot, policy, now)
    turn.desired = len(turn.settled)
    version = short_version(target)
    hosts = _hosts(turn)
    if (refusal := why_refused(turn)) is not None:
        return PoolPlan(policy.name, REFUSE, refusal[1], ring, refusal[0], hosts=hosts)
    slots = turn.slots()
    limits = Limits(
        hosts=turn.desired,
        outdated=len(turn.outdated),
        surge=turn.surge,
        max_unavailable=turn.max_unavailable,
        at_a_time=turn.at_a_time,
        max_wave=turn.most_in_a_wave,
        free_slots=slots.free,
        reserve=slots.reserve,
    )
    if not turn.outdated:
        message = f"all {count_of(turn.desired, 'host')} are on {version} already"
        return PoolPlan(policy.name, NOTHING, message, ring, limits=limits, hosts=hosts)
    how = "in place" if policy.strategy == "in_place" else f"with up to {count_of(turn.surge, 'extra host')}"
    message = (
        f"{len(turn.outdated)} of {turn.desired} hosts are outdated and would be replaced {how}, "
        f"{turn.at_a_time} at a time; {slots.free} session slots are free and {slots.reserve} stay so"
    )
    window = _window(policy, starts or now)
    return PoolPlan(policy.name, ROLL, message, ring, starts=starts, window=window, limits=limits, hosts=hosts)


def first_ring(ring: RingPolicy, now: datetime, waits: tuple[str, ...]) -> RingPlan:
    """The first ring of a rollout that starts at `now`; `waits` are regions that the version has not reached yet."""
    after = (f"the version has reached {', '.join(waits)} (not counted)",) if waits else ()
    return _ring(ring, now + ring.start.after, after)


def next_ring(before: RingPlan, policy: RingPolicy, ring: RingPolicy, takes: timedelta | None) -> RingPlan:
    """The ring after the one `before`, of this `policy`, whose pools take so long together (None: nobody knows)."""
    gates = policy.gates
    after = [f"ring {before.ring} has passed"]
    if gates.soak:
        after.append(f"its soak of {_spoken(gates.soak)}")
    if gates.approval is not None:
        after.append("somebody's approval (not counted)")
    passes = before.starts + takes + gates.soak if before.starts is not None and takes is not None else None
    if ring.start.after:
        after.append(f"{_spoken(ring.start.after)} more")
    return _ring(ring, None if passes is None else passes + ring.start.after, tuple(after))


def _ring(ring: RingPolicy, earliest: datetime | None, after: tuple[str, ...]) -> RingPlan:
    starts = earliest
    if earliest is not None and ring.start.windows and not is_open(ring.start.windows, earliest):
        starts = next_opening(ring.start.windows, earliest)
        after = (*after, "its window opens" if starts is not None else "its window, which never opens")
    return RingPlan(ring.name, ring.host_pools, starts, after)


def summary(pools: tuple[PoolPlan, ...], version: str) -> str:
    """The plan in a sentence."""
    counted = [
        (sum(plan.verdict == verdict for plan in pools), one, many)
        for verdict, one, many in (
            (ROLL, "would be rolled", "would be rolled"),
            (NOTHING, "has nothing to do", "have nothing to do"),
            (REFUSE, "would be refused", "would be refused"),
            (UNREADABLE, "cannot be read", "cannot be read"),
        )
    ]
    told = ", ".join(
        f"{count_of(count, 'host pool')} {one if count == 1 else many}" for count, one, many in counted if count
    )
    hosts = sum(plan.limits.outdated for plan in pools if plan.verdict == ROLL and plan.limits is not None)
    return f"{told}; {count_of(hosts, 'host')} would be replaced with version {version}"


def replica_shortages(
    version: ImageVersion,
    pools: Mapping[str, tuple[PoolPolicy, PoolSnapshot]],
    rings: tuple[RingPolicy, ...],
    image: ImagePolicy,
) -> tuple[str, ...]:
    """Where the version has too few replicas for the largest wave of any ring, in sentences."""
    found: dict[str, None] = {}
    for ring in rings:
        footprints = [_footprint(*pools[name]) for name in ring.host_pools if name in pools]
        wave = largest_wave(footprints, ring.concurrency)
        supplies = supply(version, wave, image.replication.vms_per_replica)
        found |= dict.fromkeys(shortages(version, supplies, image.replication.vms_per_replica))
    return tuple(found)


def _footprint(policy: PoolPolicy, snapshot: PoolSnapshot) -> Footprint:
    regions: dict[str, int] = {}
    for host in snapshot.hosts:
        if region := normalise_region(host.shape.location):
            regions[region] = regions.get(region, 0) + 1
    return Footprint(policy, regions)


# ---------------------------------------------------------------------------------------------------------- the hosts


def _hosts(turn: Turn) -> tuple[HostPlan, ...]:
    going = list(drain_order(turn.outdated))
    names = {host.name for host in going}
    replaced = [_host(host, "be replaced", _why_now(turn, host), n) for n, host in enumerate(going, 1)]
    rest = [host for host in turn.hosts.values() if host.name not in names]
    return (*replaced, *(_host(host, *_why_left(turn, host)) for host in rest))


def _host(host: SessionHost, will: str, reason: str, order: int = 0) -> HostPlan:
    version = short_version(host.image_version_id) if host.image_version_id else ""
    return HostPlan(host.name, will, reason, order, version, host.load, host.zone)


def _why_now(turn: Turn, host: SessionHost) -> str:
    if host.is_powered_off:
        return "it is switched off, so nobody is on it; its replacement will be switched off as well"
    if host.name in turn.special:
        return "somebody else has drained it; its replacement will be in drain mode as well"
    if not host.load:
        return "it is empty"
    away = host.load - host.at_work
    people = "1 person is" if host.at_work == 1 else f"{host.at_work} people are"
    return f"{people} at work on it" + (f", {count_of(away, 'session')} disconnected" if away else "")


def _why_left(turn: Turn, host: SessionHost) -> tuple[str, str]:
    if QUARANTINE_TAG in host.tags:
        return "be left alone", f"it is kept for investigation ({host.tags[QUARANTINE_TAG]})"
    if not host.vm_id:
        return "be left alone", "it is registered but its VM is gone"
    if not is_outdated(host, turn.target):
        return "stay", "it is on the version already"
    return "be left alone", "it is in nobody's service"


def _window(policy: PoolPolicy, at: datetime) -> str:
    if not policy.windows:
        return ""
    if is_open(policy.windows, at):
        closing = closes_at(policy.windows, at)
        return f"a window is open until {closing:%a %d %b %H:%M} UTC" if closing is not None else "a window is open"
    opening = next_opening(policy.windows, at)
    return "no window will ever open" if opening is None else f"the next window opens {opening:%a %d %b %H:%M} UTC"


def _spoken(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
