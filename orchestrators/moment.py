"""The time as orchestrations may know it: that of the episode, the same in every replay."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.durable_functions as df


def now_of(context: df.DurableOrchestrationContext) -> datetime:
    """The current time, aware UTC, in whole seconds. Durable prints timers in whatever zone they have and calls it UTC.

    Fractions would stand behind every time that a rollout remembers, a quarter of its memory, and mean nothing.
    """
    moment: datetime = context.current_utc_datetime
    return moment.astimezone(UTC).replace(microsecond=0)
