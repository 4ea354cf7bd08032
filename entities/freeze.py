"""The freeze as a Durable entity: one for the whole app, which every rollout asks before it begins anything."""

from __future__ import annotations

from datetime import datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from rollout.freeze import Freeze, FreezeAnswer, freeze_in

bp = df.Blueprint()


class FreezeNews(Struct, frozen=True, omit_defaults=True):
    """What is asked or ordered: `now` of whoever asks, and for `begin` the freeze."""

    now: datetime
    freeze: Freeze | None = None


@bp.entity_trigger(context_name="context")
def freeze(context: df.DurableEntityContext) -> None:
    """Operations `begin` (also: change), `end` and `read`, each with a FreezeNews; the result is a FreezeAnswer.

    Each of them may be sent twice. What is stored and cannot be read counts as a freeze: see freeze_in.
    """
    operation = str(context.operation_name)
    news = msgspec.convert(context.get_input(dict), FreezeNews)
    if operation == "begin" and news.freeze is not None:
        context.set_state(msgspec.to_builtins(news.freeze))
    elif operation == "end":
        context.set_state({})  # null would come back as text of its own
    elif operation != "read":
        raise ValueError(f"the freeze knows no operation {operation!r}")
    standing = freeze_in(context.get_state(expected_type=object), news.now)
    context.set_result(msgspec.to_builtins(FreezeAnswer(standing)))
