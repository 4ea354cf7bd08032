"""Changes how many replicas an image version has in its regions."""

from __future__ import annotations

import azure.durable_functions as df
import msgspec

from activities.answers import Payload, answering
from adapters import gallery_regions
from rollout.assignments import ReplicaOrder

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def set_replicas(order: Payload) -> Payload:
    """Set the number of replicas in some regions and leave every other region as it is. Twice is harmless.

    In: a ReplicaOrder. Out: `{"before": {"westeurope": 2}}`, what the changed regions had, or `{"error": StepError}`.
    """
    wanted = msgspec.convert(order, ReplicaOrder)
    return answering(
        lambda: {"before": gallery_regions.set_replicas(wanted.version_id, wanted.replicas, wanted.only_if)}
    )
