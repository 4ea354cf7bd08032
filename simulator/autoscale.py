"""Autoscale: what scaling plans with schedules do to their host pools, every quarter of an hour.

As Microsoft describes it: at least the phase's minimum percentage of the pool's hosts is running, rounded up; another
one is started when more than the threshold of the running hosts' sessions is used; an empty one is stopped when both
still hold without it, in every phase. A machine with the plan's exclusion tag is neither started nor stopped and still
counts as one of the pool's hosts and as one of those that run. Assumptions, as Azure does not say: a host in drain mode
counts like any other and is left alone; sessions are never ended by force.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from simulator.errors import AzureError
from simulator.host_pools import HostPool, HostPools, SessionHost
from simulator.machines import Machine, Machines, Power
from simulator.scaling_plans import Phase, ScalingPlan, Schedule
from simulator.world import AUTOSCALE, World, public

EVERY = timedelta(minutes=15)
_UP = (Power.STARTING, Power.RUNNING)
_OFF = (Power.STOPPED, Power.DEALLOCATED)


class Autoscale:
    """Carries out the scaling plans that were given schedules; the others do nothing."""

    def __init__(self, world: World, pools: HostPools, machines: Machines) -> None:
        self.world = world
        self._pools = pools
        self._machines = machines
        self._followed: set[str] = set()

    @public
    def follow(self, plan: ScalingPlan, schedules: Sequence[Schedule], time_zone: str = "UTC") -> None:
        """Give the plan these schedules, in a Windows time zone, and act on them from now on."""
        plan.schedules, plan.time_zone = tuple(schedules), time_zone
        if plan.id not in self._followed:
            self._followed.add(plan.id)
            self._look(plan)

    def _look(self, plan: ScalingPlan) -> None:
        self.world.at(self.world.time + EVERY, self._look, plan, by=AUTOSCALE)
        phase = plan.phase(self.world.time)
        if phase is None or not plan.enabled:
            return
        wanted = {pool_id.lower() for pool_id in plan.pools}
        for pool in self._pools.all():
            if pool.id.lower() in wanted:
                with self.world.acting_as(AUTOSCALE):
                    self._scale(pool, plan, phase)

    def _scale(self, pool: HostPool, plan: ScalingPlan, phase: Phase) -> None:
        pairs = [(host, host.machine) for host in pool.hosts.values() if host.machine is not None]
        minimum = math.ceil(len(pool.hosts) * phase.minimum / 100)
        up = sum(machine.power in _UP for _, machine in pairs)
        sessions = sum(len(host.sessions) for host, _ in pairs)

        def enough(running: int) -> bool:
            return running >= minimum and sessions * 100 <= phase.threshold * pool.slots_per_host * running

        for host, machine in pairs:
            if not enough(up) and machine.power in _OFF and self._may_touch(host, machine, plan):
                up += self._start(machine)
        for host, machine in reversed(pairs):
            if machine.running and not host.sessions and enough(up - 1) and self._may_touch(host, machine, plan):
                up -= self._stop(machine)

    def _may_touch(self, host: SessionHost, machine: Machine, plan: ScalingPlan) -> bool:
        excluded = plan.exclusion_tag.lower() in {tag.lower() for tag in machine.tags}
        return host.allow_new_session and not excluded and not machine.busy

    def _start(self, machine: Machine) -> bool:
        try:
            self._machines.start(machine.id)
        except AzureError:
            return False  # no room in Azure, or somebody deletes it: autoscale looks again in a quarter of an hour
        return True

    def _stop(self, machine: Machine) -> bool:
        try:
            self._machines.deallocate(machine.id)
        except AzureError:
            return False  # an ephemeral disk, or somebody deletes it
        return True
