"""Marks an image version, excludes it from latest, ends its life, removes replicas: what a step of retention says."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload
from activities.retention_steps import carry_out_if_due
from adapters.gallery_changes import change_version
from rollout.retention import ChangeVersion

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def update_image_version(order: Payload) -> Payload:
    """In: a RetirementOrder with a ChangeVersion. Out: a StepAnswer. Twice is harmless."""
    return carry_out_if_due(order, ChangeVersion, _change)


def _change(step: ChangeVersion) -> None:
    change_version(
        step.version_id,
        retired_at=step.retired_at,
        exclude=True if step.exclude else None,
        end_of_life=step.end_of_life,
        drop_regions=step.drop_regions,
    )
