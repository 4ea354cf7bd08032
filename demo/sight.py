"""What an onlooker sees at a moment: each pool's hosts, its session slots, and the app's own sentence about it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from demo.scenario import Stage
from localhost import Host
from rollout.instance_ids import ROLL_HOST_POOL
from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG, short_version
from rollout.policy import Policy
from simulator.builders import Office
from simulator.host_pools import SessionHost


@dataclass(frozen=True, slots=True)
class PoolSight:
    """A host pool at a moment.

    Of its hosts, `current` serve people on the newest version, `leaving` are outdated and being drained, `coming` are
    new ones not in service yet. `free` and `reserve` count session slots; `people` are signed in. `version` is the
    newest version that has been published, "" before that.
    """

    name: str
    phase: str
    message: str
    version: str
    hosts: int
    current: int
    leaving: int
    coming: int
    quarantined: int
    free: int
    reserve: int
    slots: int
    people: int

    @property
    def outdated(self) -> int:
        """Hosts on an older version that nobody has asked anybody to leave."""
        return self.hosts - self.current - self.leaving - self.quarantined


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything at a moment of simulated time."""

    at: datetime
    pools: tuple[PoolSight, ...]


def look_at(stage: Stage, policy: Policy, host: Host, now: datetime) -> Sight:
    """Look at every pool; phases and messages are what the app shows of itself in its custom status."""
    statuses = {}
    for instance in host.instances("image-"):
        if instance.name == ROLL_HOST_POOL and (status := _status(instance.custom_status)):
            statuses[status["pool"]] = status
    reserves = {pool.name: pool.reserve for pool in policy.host_pools}
    version = short_version(stage.published[-1]) if stage.published else ""
    return Sight(
        now,
        tuple(
            _pool_sight(name, office, version, reserves.get(name, 0), statuses.get(name, {}))
            for name, office in stage.offices.items()
        ),
    )


def _pool_sight(name: str, office: Office, version: str, reserve: int, status: dict[str, Any]) -> PoolSight:
    counts = dict.fromkeys(("current", "leaving", "coming", "quarantined"), 0)
    registered = [host for host in office.pool.hosts.values() if host.machine is not None]
    for host in registered:
        if (state := _state(host, version)) in counts:
            counts[state] += 1
    names = {host.machine_id.lower() for host in registered}
    group = office.estate.machines.in_group(office.subscription, office.group)
    unregistered = [machine for machine in group if machine.id.lower() not in names and ROLLOUT_TAG in machine.tags]
    in_service = len(registered) - counts["coming"] - counts["quarantined"]
    slots = in_service * office.pool.max_session_limit
    return PoolSight(
        name=name,
        phase=str(status.get("phase", "")),
        message=str(status.get("message", "")),
        version=version,
        hosts=in_service + counts["quarantined"],
        current=counts["current"],
        leaving=counts["leaving"],
        coming=counts["coming"] + len(unregistered),
        quarantined=counts["quarantined"],
        free=office.pool.free_slots,
        reserve=math.ceil(slots * reserve / 100),
        slots=slots,
        people=len(office.pool.sessions),
    )


def _state(host: SessionHost, version: str) -> str:
    tags = host.machine.tags if host.machine else {}
    is_newest = host.machine is not None and host.machine.exact_version == version
    if QUARANTINE_TAG in tags:
        return "quarantined"
    if ROLLOUT_TAG in tags:
        return "coming" if is_newest else "leaving"
    return "current" if is_newest else "outdated"


def _status(text: str) -> dict[str, Any]:
    status = json.loads(text)
    return status if isinstance(status, dict) and "pool" in status else {}
