"""Whether a host pool's rollout comes further: how long it has been at work without that, so that somebody may be told.

A clock that stands still while the rollout waits as planned, and while nobody looks. Pure data and functions.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rollout.capacity import RESERVE_TOO_SMALL
from rollout.model import HostProgress, Phase, RolloutState, Stage
from rollout.pace import ask_from
from rollout.turn import Turn

AWAY = timedelta(minutes=20)
"""Turns that are further apart than this were held up from outside, as when the app is stopped or the pool cannot be
read: that is no work, and it is told apart by when the pool was last read. Otherwise a turn comes every seven minutes
at the latest."""

_ENDING = (Phase.HALTED, Phase.ROLLING_BACK, Phase.ABORTED, Phase.SUPERSEDED)


def idle_seconds(turn: Turn, after: RolloutState) -> int:
    """Seconds at work since a host came further, as of this turn; `after` is what it is about to remember.

    A host has come further when it is in service on the new version, or set aside for good. That a new host is tried
    once more, or that a host is steered and given back, is none: both may repeat for ever.
    """
    before = turn.before
    since_last_look = timedelta() if before.seen_at is None else turn.now - before.seen_at
    if _is_further(before, after):
        return 0
    if since_last_look > AWAY or _waits_as_planned(turn, after):
        return before.idle
    return before.idle + int(since_last_look.total_seconds())


def _is_further(before: RolloutState, after: RolloutState) -> bool:
    if after.phase in _ENDING and after.phase is not before.phase:
        return True
    if after.canary_passed and not before.canary_passed:
        return True
    return _done(after) > _done(before)


def _done(state: RolloutState) -> int:
    return state.counts.current + state.counts.set_aside


def _waits_as_planned(turn: Turn, after: RolloutState) -> bool:
    """For a window, an operator, the bake, Azure's room (which has an alert of its own), or people who have time."""
    if after.phase in (Phase.WAITING_WINDOW, Phase.PAUSED):
        return True
    if after.phase is Phase.WAITING_CAPACITY and after.reason != RESERVE_TOO_SMALL:
        return True
    if after.phase is Phase.BAKING and turn.now - (after.since or turn.now) <= turn.policy.canary.bake:
        return True
    draining = (host for host in after.in_hand.values() if host.stage is Stage.DRAINING)
    if any(_has_time(host, turn.now) for host in draining):
        return True
    start = ask_from(turn) if turn.steered else None
    return start is not None and start > turn.now


def _has_time(host: HostProgress, now: datetime) -> bool:
    return host.asked and any(session.deadline > now for session in host.sessions.values())
