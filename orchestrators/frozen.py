"""Asks the freeze's entity whether there is a freeze, from within an orchestration."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from rollout.freeze import FreezeAnswer, freeze_in
from rollout.instance_ids import FREEZE_ENTITY, FREEZE_KEY


def ask_for_freeze(context: df.DurableOrchestrationContext) -> Any:
    """The task of one entity call; `answer_of` reads its result."""
    entity = df.EntityId(FREEZE_ENTITY, FREEZE_KEY)
    return context.call_entity(entity, "read", {"now": now_of(context).isoformat()}, dict)


def answer_of(context: df.DurableOrchestrationContext, result: Any) -> FreezeAnswer:
    """The freeze that stands; what cannot be read counts as one."""
    try:
        return msgspec.convert(result, FreezeAnswer)
    except msgspec.ValidationError:
        return FreezeAnswer(freeze_in("unreadable", now_of(context)))
