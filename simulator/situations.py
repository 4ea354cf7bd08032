"""Draws a whole situation from a seed: a pool, its people, a policy, and everything that will go wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import structs

from rollout.policy import (
    CanaryPolicy,
    DrainPolicy,
    EntraJoin,
    HealthPolicy,
    NoticeText,
    PoolPolicy,
    SessionHostTemplate,
    Window,
)
from simulator import ids
from simulator.builders import MONDAY_MORNING, SUBSCRIPTION
from simulator.faults import FLAKY, Chance, Site
from simulator.galleries import GOOD, Flaws
from simulator.host_pools import LoadBalancing
from simulator.troubles import COMMANDS, TROUBLES
from simulator.workload import PRESETS

POOL = "office"
GROUP = f"rg-{POOL}"
POOL_ID = ids.pool_id(SUBSCRIPTION, GROUP, f"hp-{POOL}")
NOTICE_TITLE = NoticeText().title
WITHDRAWN_TITLE = NoticeText().withdrawn_title

BAD: Mapping[Site, Chance] = {site: Chance(0.8, 0.04) for site in Site}
"""Worse than a flaky week, yet calm enough for a rollout to get somewhere."""


@dataclass(frozen=True, slots=True)
class Loop:
    """How unreliably the loop around the decisions runs: probabilities per turn.

    `oversleeps`: the next turn comes much later than asked for. `repeats`: steps are executed a second time. `forgets`:
    the decision is lost before anything was done. `reruns`: everything was done, and the turn is run again from the
    memory before it. `slips_in`: just before a host is removed, an administrator ends its drain and somebody signs in.
    """

    oversleeps: float = 0
    repeats: float = 0
    forgets: float = 0
    reruns: float = 0
    slips_in: float = 0


CALM = Loop()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that others do, by its name in TROUBLES, so long after the start."""

    name: str
    after: timedelta


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a run starts from; drawn from the seed, or written by hand for a test."""

    seed: int
    policy: PoolPolicy
    hosts: int = 6
    zones: tuple[str, ...] = ("1", "2", "3")
    max_session_limit: int = 8
    load: float = 0.5
    workload: str = "office"
    load_balancing: LoadBalancing = LoadBalancing.BREADTH_FIRST
    starts_at: datetime = MONDAY_MORNING
    powered_off: int = 0
    drained: int = 0
    unhealthy: int = 0
    current: int = 0
    newer: int = 0
    left_over: int = 0
    spare_hosts: int | None = None
    flaws: Flaws = GOOD
    faults: Mapping[Site, Chance] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    loop: Loop = CALM
    goes_back: bool = False
    quiet_after: timedelta = timedelta(hours=4)

    def __str__(self) -> str:
        """One line for a report."""
        policy = self.policy
        size = f"{self.hosts} hosts ({self.powered_off} off, {self.drained} drained by somebody, {self.unhealthy} unfit"
        size += f", {self.current} current, {self.newer} newer, {self.left_over} left over) in {len(self.zones)} zones"
        people = f"{self.workload} at {self.load:.0%} of {self.max_session_limit} slots"
        how = (
            f"{policy.strategy}, surge {policy.surge}, max_unavailable {policy.max_unavailable}, wave {policy.max_wave}"
        )
        how += f", reserve {policy.reserve} %, grace {policy.drain.grace}, then {policy.drain.on_timeout}"
        kept = f", kept for {policy.retain_outdated}" if policy.retain_outdated else ""
        how += f"{kept}, on failure {policy.on_failure}{', rolled back in the end' if self.goes_back else ''}"
        how += f", {len(policy.windows)} windows, canary {policy.canary.hosts} for {policy.canary.bake}"
        wrong = ", ".join(f"{trouble.name} after {trouble.after}" for trouble in self.troubles) or "nothing"
        image = "" if self.flaws is GOOD else f"; the image: {self.flaws}"
        faults = ", ".join(f"{site} {chance.on}/{chance.fires}" for site, chance in self.faults.items()) or "none"
        return f"{size}; {people}; {how}; others: {wrong}{image}; faults: {faults}; {self.loop}"


def a_policy(**overrides: object) -> PoolPolicy:
    """The policy of the pool in these runs: quick, and otherwise the defaults."""
    settings: dict[str, object] = {
        "name": POOL,
        "host_pool_id": POOL_ID,
        "image": "win11",
        "session_host": SessionHostTemplate(
            name_prefix="avd", subnet_id=f"/subscriptions/{SUBSCRIPTION}/subnets/hosts", join=EntraJoin()
        ),
        "drain": DrainPolicy(grace=timedelta(minutes=30), reminders=(timedelta(minutes=5),)),
    }
    return PoolPolicy(**{**settings, **overrides})  # type: ignore[arg-type]  # whatever the caller overrides


def draw_situation(seed: int) -> Situation:
    """The situation of a seed: always the same for the same seed."""
    rng = random.Random(f"{seed}/situation")
    hosts = _size(rng)
    policy = _way_back(random.Random(f"{seed}/retain"), _policy(rng, hosts))
    zones = tuple("123"[: rng.choice((0, 1, 2, 3, 3))])
    powered_off = _some(rng, hosts, 0.25)
    drained = _some(rng, hosts - powered_off, 0.25)
    quiet_after = timedelta(minutes=rng.choice((30, 120, 240, 480)))
    return Situation(
        seed=seed,
        policy=policy,
        hosts=hosts,
        zones=zones,
        max_session_limit=rng.choice((2, 4, 8, 8, 16)),
        load=rng.choice((0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.85)),
        workload=rng.choice([name for name in PRESETS if name != "stubborn"] + ["office"]),
        load_balancing=rng.choice(
            (LoadBalancing.BREADTH_FIRST, LoadBalancing.BREADTH_FIRST, LoadBalancing.DEPTH_FIRST)
        ),
        starts_at=MONDAY_MORNING + timedelta(minutes=rng.randrange(0, 7 * 24 * 60, 5)),
        powered_off=powered_off,
        drained=drained,
        unhealthy=_some(rng, hosts - powered_off - drained, 0.15),
        current=_some(rng, hosts - 1, 0.15),
        newer=_some(rng, min(hosts - 1, 2), 0.1),
        left_over=_some(rng, hosts, 0.1),
        spare_hosts=rng.choice((None, None, None, 0, 1, 2, 4)),
        flaws=_flaws(rng),
        faults=rng.choices(({}, FLAKY, BAD), (3, 5, 2))[0],
        troubles=_troubles(rng, quiet_after) + _commands(random.Random(f"{seed}/commands"), quiet_after),
        loop=_loop(rng),
        goes_back=random.Random(f"{seed}/back").random() < 0.3,
        quiet_after=quiet_after,
    )


def _size(rng: random.Random) -> int:
    return rng.choice((1, 2, 3, 4, 5, 6, 8, 10, rng.randint(1, 12), rng.randint(1, 12), rng.randint(10, 40)))


def _policy(rng: random.Random, hosts: int) -> PoolPolicy:
    grace = timedelta(minutes=rng.choice((10, 15, 30, 30, 60, 60, 120, 240)))
    windows = _windows(rng, grace) if rng.random() < 0.25 else ()
    reminders = tuple(timedelta(minutes=m) for m in (60, 15, 5) if timedelta(minutes=m) < grace and rng.random() < 0.7)
    return a_policy(
        strategy=rng.choice(("surge", "surge", "in_place")),
        surge=rng.choice(("5%", "10%", 1, 2, "25%", "50%")),
        max_unavailable=rng.choice((1, 1, 2, "10%", "25%")),
        reserve=rng.choice((0, 5, 15, 15, 25, 40)),
        max_wave=rng.choice(("25%", "25%", "50%", "100%", 1, 2)),
        scaling_exclusion_tag=rng.choice(("", "excludeFromScaling")),
        canary=CanaryPolicy(hosts=rng.choice((1, 1, 1, 2, 3)), bake=timedelta(minutes=rng.choice((0, 10, 30, 60)))),
        drain=DrainPolicy(
            grace=grace,
            reminders=reminders,
            disconnected_grace=min(grace, timedelta(minutes=rng.choice((0, 5, 15)))),
            on_timeout=rng.choice(("sign_out", "sign_out", "sign_out", "wait", "skip")),
            sign_out_in_window_only=bool(windows) and rng.random() < 0.5,
        ),
        health=HealthPolicy(
            settle=timedelta(minutes=rng.choice((0, 2, 5, 5))),
            ready_within=timedelta(minutes=rng.choice((45, 60, 90))),
            allow_needs_assistance=rng.random() < 0.2,
            max_failed_hosts=rng.choice((0, 1, 1, 2, 5)),
            max_unhealthy_percent=rng.choice((10, 20, 50)),
            max_unhealthy_current_percent=rng.choice((10, 20, 50)),
        ),
        windows=windows,
    )


def _way_back(rng: random.Random, policy: PoolPolicy) -> PoolPolicy:
    """In some runs replaced hosts are kept for a while, in some a failure rolls the pool back."""
    retained = rng.choice((timedelta(0), timedelta(0), timedelta(hours=6), timedelta(days=2)))
    return structs.replace(policy, retain_outdated=retained, on_failure=rng.choice(("halt", "halt", "roll_back")))


def _windows(rng: random.Random, grace: timedelta) -> tuple[Window, ...]:
    zone = rng.choice(("UTC", "Europe/Zurich", "America/New_York"))
    needed = grace + timedelta(hours=2)
    nightly = Window(
        zone=zone,
        recurrence=rng.choice(("FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR")),
        start=rng.choice(("18:00", "20:00", "22:30")),
        duration=max(needed, timedelta(hours=rng.choice((4, 8)))),
    )
    weekend = Window(zone=zone, recurrence="FREQ=WEEKLY;BYDAY=SA", start="06:00", duration=timedelta(hours=30))
    return rng.choice(((nightly,), (nightly,), (nightly, weekend)))


def _some(rng: random.Random, of: int, chance: float) -> int:
    """Mostly none; with `chance` some, up to all of them."""
    if of <= 0 or rng.random() >= chance:
        return 0
    return rng.randint(1, max(1, of // 2)) if rng.random() < 0.85 else of


def _flaws(rng: random.Random) -> Flaws:
    if rng.random() < 0.82:
        return GOOD
    return rng.choice(
        (
            Flaws(never_boots=True),
            Flaws(never_registers=True),
            Flaws(unhealthy=True),
            Flaws(slow=rng.choice((2.0, 4.0))),
            Flaws(
                degrades_after=timedelta(minutes=rng.choice((5, 30, 120))), degrades_fraction=rng.choice((0.2, 0.5, 1))
            ),
        )
    )


def _troubles(rng: random.Random, within: timedelta) -> tuple[Trouble, ...]:
    if rng.random() < 0.3:
        return ()
    names = rng.choices(list(TROUBLES), k=rng.choice((1, 1, 2, 3, 5)))
    moments = sorted(within * rng.random() for _ in names)
    return tuple(Trouble(name, after) for name, after in zip(names, moments, strict=True))


def _commands(rng: random.Random, within: timedelta) -> tuple[Trouble, ...]:
    """In half of the runs an operator skips and retries hosts: a skip or two, more often than not with retries."""
    if rng.random() < 0.5:
        return ()
    names = rng.choices(list(COMMANDS), (2, 2, 1), k=rng.choice((1, 2, 3, 6)))
    return tuple(Trouble(name, within * rng.random()) for name in names)


def _loop(rng: random.Random) -> Loop:
    """Each kind of unreliability is on in some runs only, and then strikes often."""

    def maybe(on: float, fires: float) -> float:
        return fires if rng.random() < on else 0.0

    return Loop(oversleeps=maybe(0.3, 0.05), repeats=maybe(0.3, 0.1), forgets=maybe(0.3, 0.1), reruns=maybe(0.2, 0.05))
