"""A rollout of the simulated office that somebody tells something over HTTP."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from rollout.assignments import ImageRollout
from rollout.instance_ids import host_pool_key, pool_instance
from rollout.status import PoolStatus
from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import Instances

ROLLOUT = "image-gal-win11-2.0.0-abcdef"


def begin(office: SimulatedOffice, instances: Instances, status: Any, *, ended: bool = False) -> None:
    """A rollout of the office that shows this status; its host pool has not begun."""
    rollout = ImageRollout(office.office.version_id("2.0.0"), office.whole_policy().images[0], (office.policy(),))
    given = msgspec.json.encode(rollout).decode()
    instances.add(ROLLOUT, runtime="Completed" if ended else "Running", input=given, customStatus=status)


def a_pool_at_work(instances: Instances, status: PoolStatus, *, ended: bool = False) -> None:
    """The office's part of it has begun, and shows this status or has ended with it."""
    told = {"output" if ended else "customStatus": msgspec.to_builtins(status)}
    runtime = "Completed" if ended else "Running"
    instances.add(pool_instance(ROLLOUT, "office"), "roll_host_pool", runtime, **told)


def queued(office: SimulatedOffice, instances: Instances) -> list[dict[str, Any]]:
    """What waits for the office's rollout to be carried out once."""
    lease = json.loads(instances.entities.get(("host_pool", host_pool_key(office.pool_id)), "{}"))
    found: list[dict[str, Any]] = lease.get("queued", {}).get(pool_instance(ROLLOUT, "office"), [])
    return found
