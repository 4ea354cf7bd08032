"""Runs a rollout on the model of a pool, many times, and says how long it takes and whom it disturbs."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct, structs

from forecast.assumptions import Assumptions, assumptions_of, draw
from forecast.people import People
from forecast.world import World
from rollout.capacity import drain_order
from rollout.model import Phase, PoolSnapshot, RolloutState, SessionHost, Stage
from rollout.policy import Amount, PoolPolicy
from rollout.pool import decide, look_again_at, record, start
from rollout.steps import Decision, StepOutcome
from rollout.windows import next_opening

RUNS = 20
"""Runs of one forecast. The largest of 20 values is exceeded by one more such value once in 21 times, so it is what
stands here for the 95th percentile."""

MOST_HOSTS = 40
"""A larger pool is foretold on so many of its hosts: shares stay shares, and the time that it takes hardly changes."""

HORIZON = timedelta(days=21)
"""A rollout that is not over by then is said not to end."""

_MOST_TURNS = 6000

_IN_VAIN = 3
"""So many runs that do not end, and no other, are enough."""

_ROLLOUT = "forecast"


class Range(Struct, frozen=True):
    """What to expect (`p50`: as often more as less) and what hardly ever is exceeded (`p95`)."""

    p50: float
    p95: float


class Wave(Struct, frozen=True):
    """People who are asked to leave together: when, counted from the start, on how many hosts."""

    after: timedelta
    hosts: int
    people: int


class PoolForecast(Struct, frozen=True):
    """What a pool's rollout will probably be like; times in seconds from its start.

    `ends` counts the runs by how they ended ("NotInTime": not within 21 days). The ranges of `duration` are of those
    that ended in success, None when none did. `forced_sign_outs` are people at work who are signed out, `twice` those
    of them to whom it happens more than once, `refused_sign_ins` the people who find no room. `peak_hosts` is the most
    VMs at a time, `canary_passes` when the first host is proven. `waves` are those of the run that is in the middle.
    `replaced_after` tells of each host of that run, by name, after how many seconds it is gone; none when the pool was
    foretold on a part of its hosts, `of_hosts` of them.
    """

    runs: int
    of_hosts: int
    ends: dict[str, int]
    duration: Range | None
    forced_sign_outs: Range
    twice: Range
    refused_sign_ins: Range
    peak_hosts: int
    canary_passes: float | None
    waves: tuple[Wave, ...]
    replaced_after: dict[str, float]
    assumptions: tuple[str, ...]


class Run(Struct, frozen=True):
    """How one run went. `took` is None when it did not end in success."""

    ended: str
    took: timedelta | None
    forced: int
    twice: int
    refused: int
    peak_hosts: int
    canary_after: timedelta | None
    waves: tuple[Wave, ...]
    gone_after: dict[str, timedelta]


def forecast(
    snapshot: PoolSnapshot, policy: PoolPolicy, target: str, starts_at: datetime, runs: int = RUNS
) -> PoolForecast:
    """Foretell a rollout of image version `target` (a resource id) that starts at `starts_at`, now or later.

    Now is when the snapshot was taken. The same arguments give the same answer, after seconds of CPU.
    """
    assumed = assumptions_of(snapshot, policy, snapshot.observed_at)
    small, scaled, scale = _part_of(snapshot, policy)
    if scale > 1:
        assumed = structs.replace(assumed, population=round(assumed.population / scale))
    done: list[Run] = []
    for seed in range(runs):
        done.append(one_run(small, scaled, assumed, target, starts_at, seed))
        if len(done) == _IN_VAIN and all(run.took is None for run in done):
            break  # the others would not end either, and these are the ones that take longest
    return _summed_up(done, assumed, scale, len(small.hosts))


def one_run(
    snapshot: PoolSnapshot, policy: PoolPolicy, assumed: Assumptions, target: str, starts_at: datetime, seed: int
) -> Run:
    """One run of the rollout, to its end or to the horizon."""
    rng = random.Random(seed)
    luck = draw(assumed, rng)
    until = starts_at + HORIZON
    world = World(snapshot, assumed.provisioning * luck.provisioning, rng, until)
    people = People(world, assumed, luck, rng)
    world.pass_time(starts_at)
    state = start(_ROLLOUT, snapshot.pool.id, target, starts_at)
    people.forced.clear()
    world.refused = 0
    peak, canary_after, ended = len(world.hosts), None, ""
    waves: list[Wave] = []
    before = set(world.hosts)
    gone: dict[str, timedelta] = {}
    for _ in range(_MOST_TURNS):
        decision = decide(state, world.observe(), policy, world.now)
        wave = _wave_of(state, decision, world.hosts, world.now - starts_at)
        waves += [wave] if wave is not None else []
        results = world.carry_out(decision.steps, _ROLLOUT)
        state = record(decision.state, results, world.now)
        peak = max(peak, len(world.hosts))
        gone |= dict.fromkeys(before - world.hosts.keys() - gone.keys(), world.now - starts_at)
        if canary_after is None and state.canary_passed:
            canary_after = world.now - starts_at
        if decision.done or decision.wake_at is None:
            ended = str(decision.phase)
            break
        wake_at = _next_look(decision, results, state, policy, world.now)
        if wake_at > until:
            break
        world.pass_time(wake_at)
    good = ended in (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS)
    return Run(
        ended=ended or "NotInTime",
        took=world.now - starts_at if good else None,
        forced=len(people.forced),
        twice=len(people.forced) - len(set(people.forced)),
        refused=world.refused,
        peak_hosts=peak,
        canary_after=canary_after,
        waves=tuple(waves),
        gone_after=gone,
    )


def _next_look(
    decision: Decision, results: list[StepOutcome], state: RolloutState, policy: PoolPolicy, now: datetime
) -> datetime:
    """When to decide again: as the rollout does, but for the days on which it only waits for a window to open."""
    wake_at = decision.wake_at or now
    if decision.phase is Phase.WAITING_WINDOW and not state.in_hand and not decision.steps:
        return max(wake_at, next_opening(policy.windows, now) or now + HORIZON)
    return min(wake_at, look_again_at(state, results, now) or wake_at)


def _wave_of(before: RolloutState, decision: Decision, hosts: dict[str, SessionHost], since: timedelta) -> Wave | None:
    """The wave that begins with a decision: hosts whose people are asked to leave, or that are removed empty."""
    if decision.state.wave == before.wave:
        return None
    going = [name for name in _leaving(decision.state) if name not in _leaving(before) and name in hosts]
    return Wave(since, len(going), sum(hosts[name].at_work for name in going))


def _leaving(state: RolloutState) -> set[str]:
    going = (Stage.DRAINING, Stage.REMOVING)
    return {
        name for name, host in state.in_hand.items() if host.stage in going and (host.asked or host.stage is going[1])
    }


def _part_of(snapshot: PoolSnapshot, policy: PoolPolicy) -> tuple[PoolSnapshot, PoolPolicy, float]:
    """At most MOST_HOSTS of the pool's hosts, a policy for so many, and how many hosts each of them stands for.

    They are taken evenly from the hosts in the order in which they would go, so that full and empty ones, switched off
    and unhealthy ones keep their shares. Amounts in percent need no change.
    """
    if len(snapshot.hosts) <= MOST_HOSTS:
        return snapshot, policy, 1
    scale = len(snapshot.hosts) / MOST_HOSTS
    ordered = list(drain_order(snapshot.hosts))
    chosen = sorted((ordered[int((n + 0.5) * scale)] for n in range(MOST_HOSTS)), key=lambda host: host.name)
    scaled = structs.replace(
        policy,
        surge=_scaled(policy.surge, scale),
        max_unavailable=_scaled(policy.max_unavailable, scale),
        max_wave=_scaled(policy.max_wave, scale),
        max_creating=_scaled(policy.max_creating, scale),
    )
    return structs.replace(snapshot, hosts=tuple(chosen)), scaled, scale


def _scaled(amount: Amount, scale: float) -> Amount:
    return math.ceil(amount / scale) if isinstance(amount, int) else amount


def _summed_up(done: list[Run], assumed: Assumptions, scale: float, hosts: int) -> PoolForecast:
    ends: dict[str, int] = {}
    for run in done:
        ends[run.ended] = ends.get(run.ended, 0) + 1
    took = sorted(run.took.total_seconds() for run in done if run.took is not None)
    middle = sorted((run for run in done if run.took is not None), key=lambda run: run.took or timedelta(0))
    typical = middle[len(middle) // 2] if middle else None
    canary = sorted(run.canary_after.total_seconds() for run in done if run.canary_after is not None)
    stated = assumed.stated
    if scale > 1:
        stated = (*stated, f"foretold on {hosts} of the hosts, as the others are like them")
    return PoolForecast(
        runs=len(done),
        of_hosts=hosts,
        ends=dict(sorted(ends.items())),
        duration=_range(took) if took else None,
        forced_sign_outs=_range([run.forced * scale for run in done]),
        twice=_range([run.twice * scale for run in done]),
        refused_sign_ins=_range([run.refused * scale for run in done]),
        peak_hosts=math.ceil(max(run.peak_hosts for run in done) * scale),
        canary_passes=canary[len(canary) // 2] if canary else None,
        waves=typical.waves if typical else (),
        replaced_after={n: at.total_seconds() for n, at in typical.gone_after.items()}
        if typical and scale == 1
        else {},
        assumptions=stated,
    )


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    return Range(
        p50=ordered[len(ordered) // 2], p95=ordered[min(len(ordered), math.ceil(0.95 * (len(ordered) + 1))) - 1]
    )
