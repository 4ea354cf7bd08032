"""Puts the plan of a whole rollout together: ring after ring, each when the one before has probably passed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import structs

from forecast.plan import (
    REFUSE,
    ROLL,
    UNREADABLE,
    PoolPlan,
    RingPlan,
    RolloutPlan,
    first_ring,
    next_ring,
    plan_pool,
    replica_shortages,
    summary,
)
from forecast.runs import PoolForecast, Range, forecast
from rollout.assignments import ImageRollout
from rollout.expected import Expected
from rollout.model import ImageVersion, PoolSnapshot, normalise_region, short_version
from rollout.policy import PoolPolicy, RingPolicy
from rollout.replication import assess, decide_regions
from rollout.ring_state import rings_of

MOST_FORETOLD = 20
"""Host pools of one plan that are foretold: each takes seconds of CPU, and a request has to be answered in time."""


def plan_rollout(
    rollout: ImageRollout,
    version: ImageVersion | None,
    pools: Mapping[str, PoolSnapshot | str],
    now: datetime,
    *,
    foretell: bool = True,
) -> RolloutPlan:
    """The plan of a rollout that would start at `now`.

    `pools` maps each pool's name to how it is, or to a sentence that says why it cannot be read. Pools that are not in
    it are left out of the plan, and so of what their ring waits for. `version` is the image version as it was read.
    Without `foretell` nothing is forecast, so that the plan is made in no time, and later rings have no time to start.
    """
    seen = {name: pool for name, pool in pools.items() if isinstance(pool, PoolSnapshot)}
    policies = {pool.name: pool for pool in rollout.pools}
    regions = _regions(rollout, version, seen, now)
    plans: list[PoolPlan] = []
    rings: list[RingPlan] = []
    before: tuple[RingPolicy, RingPlan, timedelta | None] | None = None
    for ring in rings_of(rollout):
        if before is None:
            plan = first_ring(ring, now, tuple(name for name, state in regions.items() if state != "ready"))
        else:
            plan = next_ring(before[1], before[0], ring, before[2])
        its = [
            _plan_of(name, policies[name], pools, rollout.version_id, plan) for name in ring.host_pools if name in pools
        ]
        if foretell:
            room = MOST_FORETOLD - sum(pool.forecast is not None for pool in plans)
            its = _foretold(its, policies, seen, rollout.version_id, room)
        takes = _takes(its, ring.concurrency)
        before = (ring, plan, takes)
        rings.append(plan)
        plans += its
    version_number = short_version(rollout.version_id)
    short_of = {name: (policies[name], seen[name]) for name in seen}
    return RolloutPlan(
        image=rollout.image.name,
        version=version_number,
        made_at=now,
        message=summary(tuple(plans), version_number),
        rings=tuple(rings),
        pools=tuple(plans),
        regions=regions,
        expected={pool.pool: _expected(pool.forecast) for pool in plans if pool.forecast and pool.forecast.duration},
        replicas=replica_shortages(version, short_of, rings_of(rollout), rollout.image) if version else (),
    )


def _plan_of(
    name: str, policy: PoolPolicy, pools: Mapping[str, PoolSnapshot | str], target: str, ring: RingPlan
) -> PoolPlan:
    pool = pools[name]
    if isinstance(pool, str):
        return PoolPlan(name, UNREADABLE, pool, ring.ring)
    return plan_pool(pool, policy, target, ring.ring, ring.starts)


def _foretold(
    plans: list[PoolPlan], policies: Mapping[str, PoolPolicy], seen: Mapping[str, PoolSnapshot], target: str, room: int
) -> list[PoolPlan]:
    foretold = []
    for plan in plans:
        if plan.verdict == ROLL and plan.starts is not None and room > 0:
            room -= 1
            starts = max(plan.starts, seen[plan.pool].observed_at)
            plan = structs.replace(plan, forecast=forecast(seen[plan.pool], policies[plan.pool], target, starts))  # noqa: PLW2901
        foretold.append(plan)
    return foretold


def _expected(told: PoolForecast) -> Expected:
    duration, forced = told.duration or Range(0, 0), told.forced_sign_outs
    return Expected(duration.p50, duration.p95, forced.p50, forced.p95)


def _takes(plans: list[PoolPlan], concurrency: int | None) -> timedelta | None:
    """How long the pools of a ring take together, `concurrency` of them at a time; None when nobody can tell."""
    spans = []
    for plan in plans:
        if plan.verdict in (REFUSE, UNREADABLE):
            return None
        if plan.verdict == ROLL:
            if plan.forecast is None or plan.forecast.duration is None:
                return None
            spans.append(plan.forecast.duration.p50)
    lanes = [0.0] * max(1, min(concurrency or len(spans), len(spans)))
    for span in spans:  # in the order in which they are started, each as soon as one before it is over
        lanes[lanes.index(min(lanes))] += span
    return timedelta(seconds=max(lanes))


def _regions(
    rollout: ImageRollout, version: ImageVersion | None, seen: Mapping[str, PoolSnapshot], now: datetime
) -> dict[str, str]:
    """How far the version is in each region that the rollout needs: "ready", or what it waits for."""
    wanted = {normalise_region(host.shape.location) for pool in seen.values() for host in pool.hosts} - {""}
    wanted |= {normalise_region(region) for region in rollout.image.replication.regions}
    policy = rollout.image.replication
    report = assess(version, sorted(wanted), now, policy.deadline, now)
    decided = decide_regions(report, rollout.version_id, policy).report
    return {one.region: one.state if one.state == "ready" else one.message for one in decided.regions}
