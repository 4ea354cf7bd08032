"""What the steps of retention have in common: each is planned anew right before it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from activities.answers import Payload, answering, as_json
from activities.plan_retirement import planned
from adapters.gallery import read_version
from rollout.retention import RetentionStep, is_carried_out, same_step
from rollout.retirement import RetirementOrder, StepAnswer

StepType = TypeVar("StepType", bound=RetentionStep)


def carry_out_if_due(payload: Payload, kind: type[StepType], act: Callable[[StepType], None]) -> Payload:
    """Carry an order's step out with `act` if a plan of this very moment still has it, and say what became of it.

    The rules are not told a second time here: whoever has begun to use the version, pinned it or judged it since the
    first plan changes the second one. A step that is done already, by an attempt whose answer was lost, is done.
    Out: a StepAnswer. `act` raises StepFailed.
    """

    def run() -> Payload:
        order = msgspec.convert(payload, RetirementOrder)
        step = order.step
        if not isinstance(step, kind):
            raise TypeError(f"an order for {type(step).__name__} came to the activity for {kind.__name__}")
        if is_carried_out(step, read_version(step.version_id)):
            return as_json(StepAnswer())
        entry = planned(order).of(step.version)
        if entry is None:
            return as_json(StepAnswer(skipped="there is no such version any more"))
        if not same_step(step, entry.step):
            return as_json(StepAnswer(skipped=entry.reason))
        act(step)
        return as_json(StepAnswer())

    return answering(run)
