"""How fast a rollout goes: when people must be asked to leave for it to be over in time, and how many hosts at once."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from rollout.deadline import finish_at
from rollout.turn import LEAVING_STAGES, NEW_HOST_STAGES, Turn
from rollout.windows import closes_at, next_opening

REMOVAL = timedelta(minutes=10)
"""How long removing an empty host takes at most: what must remain of a window to start it."""


def ask_from(turn: Turn) -> datetime | None:
    """The latest moment at which people must be asked to leave for the rollout to be over in time.

    None when the policy names no time: then they are asked as soon as there is room for them elsewhere. What is left
    takes the grace period, and a new host's time for every group of hosts that are replaced at a time. The moment moves
    away as hosts become empty by themselves, and nobody has to be asked at all when all have.
    """
    over = _to_be_over_at(turn)
    if over is None:
        return None
    left = len(turn.outdated) + turn.number_in(LEAVING_STAGES | NEW_HOST_STAGES)
    groups = math.ceil(left / turn.at_a_time)
    return over - turn.policy.drain.grace - groups * cycle(turn)


def cycle(turn: Turn) -> timedelta:
    """From the removal of a host until its successor is in service."""
    return turn.policy.expected_provisioning + REMOVAL


def worth_asking_ahead(turn: Turn) -> int:
    """Hosts that may be emptied, or wait empty, so that new ones are never waited for.

    While people take their grace period to leave, some groups of hosts can be replaced. To ask more people than that
    would disturb them earlier than it helps: some leave by themselves meanwhile.
    """
    return math.ceil(turn.at_a_time * (1 + turn.policy.drain.grace / cycle(turn)))


def _to_be_over_at(turn: Turn) -> datetime | None:
    """When the rollout shall be over; when the open window closes, if no other one opens before that."""
    over, windows = finish_at(turn.policy, turn.before.started_at), turn.policy.windows
    if over is None or not windows:
        return over
    closing, opening = closes_at(windows, turn.now), next_opening(windows, turn.now)
    is_last = opening is None or opening >= over
    return min(over, closing) if is_last and closing is not None and closing > turn.now else over
