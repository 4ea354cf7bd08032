"""The replicas of a version during its rollout: raised before pools start, put back when the rollout has ended."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from rollout.assignments import ImageRollout, ReplicaOrder
from rollout.model import ImageVersion, count_of, short_version
from rollout.policy import PoolPolicy
from rollout.replicas import Footprint, RegionSupply, after, largest_wave, limited, raised, shortages, supply

PUT_BACK_ATTEMPTS = 5
PUT_BACK_PAUSE = timedelta(minutes=2)
"""Azure refuses a change of a version while it is at work on another one."""

_story = logging.getLogger("goldroll.story")


class ImageSupply:
    """What one execution of a rollout has done about replicas. Lives as long as the orchestration's history does."""

    def __init__(self, context: df.DurableOrchestrationContext, rollout: ImageRollout) -> None:
        """Nothing has been raised yet."""
        self._context = context
        self._rollout = rollout
        self._policy = rollout.image.replication
        self._supplies: tuple[RegionSupply, ...] = ()
        self._before: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._told: set[str] = set()

    def prepare(self, version: ImageVersion, together: Iterable[Footprint]) -> Generator[Any, Any, None]:
        """See to it that the replicas carry the largest wave of these pools, which may run at the same time.

        Raises them where the policy allows it. Where it does not, or Azure refuses, `policy_of` makes fewer VMs at
        once. May be called again when more is known: replicas are only ever raised further.
        """
        per_replica = self._policy.vms_per_replica
        supplies = supply(version, largest_wave(together), per_replica)
        if self._policy.raise_replicas and (wanted := raised(version, supplies)):
            supplies = after(supplies, (yield from self._raise(supplies, wanted)))
        for shortage in shortages(version, supplies, per_replica):
            self._tell(f"{shortage}; so fewer are made at once")
        self._supplies = supplies

    def policy_of(self, footprint: Footprint) -> PoolPolicy:
        """The pool's policy, with fewer VMs at once where the replicas of its regions carry no more."""
        return limited(footprint, self._supplies, self._policy.vms_per_replica)

    def put_back(self) -> Generator[Any, Any, None]:
        """Give back what was raised, where nobody else has changed it since. Never raises for what Azure says."""
        if not self._before:
            return
        order = ReplicaOrder(self._rollout.version_id, self._before, only_if=self._now)
        error: dict[str, Any] = {}
        for attempt in range(PUT_BACK_ATTEMPTS):
            if attempt:
                yield self._context.create_timer(now_of(self._context) + PUT_BACK_PAUSE)
            answer = yield self._context.call_activity("set_replicas", msgspec.to_builtins(order), dict)
            error = answer.get("error") or {}
            if not error:
                for region, count in self._before.items():
                    again = f"{region} has {count_of(count, 'replica')} again"
                    changed = f"somebody has changed the replicas in {region}: they stay as they are"
                    self._tell(again if region in answer["before"] else changed)
                self._before = {}
                return
            if not error.get("retriable", True):
                break
        regions = ", ".join(self._before)
        self._tell(f"the replicas in {regions} stay raised, Azure does not put them back: {error.get('message', '')}")

    def _raise(self, supplies: tuple[RegionSupply, ...], wanted: dict[str, int]) -> Generator[Any, Any, dict[str, int]]:
        """Ask for the replicas; the numbers of those regions that have them now."""
        have = {one.region: one.replicas for one in supplies}
        order = ReplicaOrder(self._rollout.version_id, wanted, only_if={region: have[region] for region in wanted})
        answer = yield self._context.call_activity("set_replicas", msgspec.to_builtins(order), dict)
        if "error" in answer:
            self._tell(f"the replicas cannot be raised: {answer['error'].get('message', '')}")
            return {}
        vms = {one.region: one.vms for one in supplies}
        for region, count in answer["before"].items():
            self._before.setdefault(region, count)
            self._now[region] = wanted[region]
            self._tell(
                f"{region} gets {count_of(wanted[region], 'replica')} instead of {count}, because {vms[region]} VMs "
                "may be made at once"
            )
        return {region: wanted[region] for region in answer["before"]}

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told and not self._context.is_replaying:
            version = short_version(self._rollout.version_id)
            _story.info("%s %s: %s", self._rollout.image.name, version, sentence)
        self._told.add(sentence)
