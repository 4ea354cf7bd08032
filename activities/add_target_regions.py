"""Copies an image version to further regions."""

from __future__ import annotations

import azure.durable_functions as df
import msgspec

from activities.answers import Payload, answering
from adapters import gallery_regions
from rollout.assignments import ReplicaOrder

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def add_target_regions(order: Payload) -> Payload:
    """Make regions targets of the version, besides those that it has. Twice is harmless.

    In: a ReplicaOrder with the replicas of each new region. Out: `{"added": ["northeurope"]}`, without those that were
    targets before, or `{"error": StepError}`.
    """
    wanted = msgspec.convert(order, ReplicaOrder)
    return answering(lambda: {"added": list(gallery_regions.add_regions(wanted.version_id, wanted.replicas))})
