"""Deletes an image version, if nobody needs it at this very moment."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload
from activities.retention_steps import carry_out_if_due
from adapters.gallery_changes import delete_version
from rollout.retention import DeleteVersion

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def delete_image_version(order: Payload) -> Payload:
    """In: a RetirementOrder with a DeleteVersion. Out: a StepAnswer. Twice is harmless."""
    return carry_out_if_due(order, DeleteVersion, lambda step: delete_version(step.version_id))
