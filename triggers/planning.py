"""Reads what a plan is made of: the version, and every host pool as a rollout would see it. Reads only, and blocks."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from adapters.errors import StepFailed
from adapters.fitness_reader import read_facts
from adapters.image_sources import read_version
from adapters.pool_reader import observe
from adapters.resource_ids import NotAResourceId
from forecast.checks import policy_of, with_checks
from forecast.plan import RolloutPlan
from forecast.rollout_plan import plan_rollout
from rollout.assignments import ImageRollout
from rollout.capacity import in_plain_words
from rollout.fitness import Facts
from rollout.model import PoolSnapshot, is_marketplace
from rollout.policy import Policy, PoolPolicy

_AT_A_TIME = 4
"""Host pools that are read at the same time: a plan must not use up the calls that rollouts need."""


def plan_of(rollout: ImageRollout, only: Collection[str], now: datetime, *, foretell: bool, check: bool) -> RolloutPlan:
    """The plan of a rollout that would start at `now`, for all its host pools or `only` the named ones.

    A pool that cannot be read is part of the plan, which says why. Raises StepFailed when the version cannot be read.
    With `check` doctor's questions are asked about these pools, and what cannot be read for them is a finding.
    """
    wanted = [pool for pool in rollout.pools if not only or pool.name in only]
    version = None if is_marketplace(rollout.version_id) else read_version(rollout.version_id)
    names = tuple(pool.name for pool in wanted)
    policy = policy_of(rollout, names)
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = list(threads.map(lambda pool: _seen(pool, rollout.version_id, now), wanted))
        facts = threads.submit(_facts, policy, now) if check else None  # Azure answers while the forecast is reckoned
        plan = plan_rollout(rollout, version, dict(zip(names, found, strict=True)), now, foretell=foretell)
        return plan if facts is None else with_checks(plan, policy, version, facts.result())


def _facts(policy: Policy, now: datetime) -> Facts:
    try:
        return read_facts(policy, now)
    except (StepFailed, NotAResourceId) as failed:
        return Facts(read_at=now, unreadable=(("Azure", str(failed)),))


def _seen(pool: PoolPolicy, target: str, now: datetime) -> PoolSnapshot | str:
    try:
        return observe(pool.host_pool_id, target, pool, "plan", (), now)
    except StepFailed as failed:
        return f"the host pool cannot be read: {in_plain_words(str(failed))}"
