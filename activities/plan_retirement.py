"""Plans what becomes of an image's versions, from what Azure shows at this moment."""

from __future__ import annotations

import azure.durable_functions as df
import msgspec

from activities.answers import Payload, answering, as_json
from adapters.retention_reader import observe_versions
from adapters.telemetry import measure
from rollout.measuring import of_retirement
from rollout.retention import RetentionPlan, plan_retention
from rollout.retirement import RetirementOrder, worth_telling

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def plan_retirement(order: Payload) -> Payload:
    """In: a RetirementOrder. Out: `{"plan": RetentionPlan}`, see worth_telling, or `{"error": ...}`."""

    def plan() -> Payload:
        given = msgspec.convert(order, RetirementOrder)
        whole = planned(given)
        measure(lambda: of_retirement(given.image.name, whole))
        return {"plan": as_json(worth_telling(whole))}

    return answering(plan)


def planned(order: RetirementOrder) -> RetentionPlan:
    """The whole plan, from what Azure shows now. Raises StepFailed when the gallery or its versions cannot be read."""
    snapshot = observe_versions(
        order.image.definition_id, order.subscriptions, order.running, order.unreadable, order.now
    )
    return plan_retention(snapshot, order.image.retention, order.now)
