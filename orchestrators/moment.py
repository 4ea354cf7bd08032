"""The time as orchestrations may know it: that of the episode, the same in every replay."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.durable_functions as df


def now_of(context: df.DurableOrchestrationContext) -> datetime:
    """The current time, aware UTC. Durable prints timers in whatever zone they have and calls it UTC."""
    moment: datetime = context.current_utc_datetime
    return moment.astimezone(UTC)
