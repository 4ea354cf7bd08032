"""What does not fit, for the host pools of one plan: the same questions as doctor's, with the plan's own numbers."""

from __future__ import annotations

from msgspec import structs

from forecast.plan import ROLL, RolloutPlan
from rollout.assignments import ImageRollout
from rollout.fitness import Facts, extra_hosts, judge, quota_needs
from rollout.model import ImageVersion
from rollout.policy import Policy


def policy_of(rollout: ImageRollout, names: tuple[str, ...]) -> Policy:
    """What a rollout takes of the policy: its image, and the host pools of these names."""
    return Policy(images=(rollout.image,), host_pools=tuple(pool for pool in rollout.pools if pool.name in names))


def with_checks(plan: RolloutPlan, policy: Policy, version: ImageVersion | None, facts: Facts) -> RolloutPlan:
    """The plan with what does not fit and with the quota it needs. `version` is the one that would be rolled out.

    Hosts beside a pool's own are counted where it would be rolled, by the hosts to be replaced; else there are none.
    """
    if version is not None:
        images = tuple(structs.replace(image, newest=version) for image in facts.images)
        facts = structs.replace(facts, images=images)
    shapes = {pool.name: pool.shapes for pool in facts.pools}
    policies = {pool.name: pool for pool in policy.host_pools}
    extra = dict.fromkeys(shapes, 0)
    for pool in plan.pools:
        if pool.verdict == ROLL and pool.limits is not None and pool.pool in shapes:
            extra[pool.pool] = extra_hosts(policies[pool.pool], shapes[pool.pool], pool.limits.outdated)
    needs = tuple(need for need in quota_needs(policy, facts, extra) if need.needed)
    return structs.replace(plan, checked=True, findings=judge(policy, facts, extra), quota=needs)
