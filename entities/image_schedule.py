"""What is remembered of an image's schedule, as a Durable entity: up to which occurrence all is settled."""

from __future__ import annotations

from datetime import datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from rollout.policy import SchedulePolicy
from rollout.schedules import begun, memory_of, settled

bp = df.Blueprint()


class ScheduleNews(Struct, frozen=True, omit_defaults=True):
    """What a timer has to say: the schedule as it is in the policy now, and for `settle` the occurrence and outcome."""

    schedule: SchedulePolicy
    now: datetime
    occurrence: datetime | None = None
    outcome: str = ""


@bp.entity_trigger(context_name="context")
def image_schedule(context: df.DurableEntityContext) -> None:
    """Signals `begin` and `settle`, each with a ScheduleNews; the state is a ScheduleMemory.

    Signals that come twice, late or in another order change nothing: the last occurrence moves forward only. A state
    that cannot be read is begun anew, which starts nothing.
    """
    news = msgspec.convert(context.get_input(dict), ScheduleNews)
    memory = begun(memory_of(context.get_state(expected_type=dict)), news.schedule, news.now)
    if str(context.operation_name) == "settle" and news.occurrence is not None:
        memory = settled(memory, news.occurrence, news.outcome)
    context.set_state(msgspec.to_builtins(memory))
