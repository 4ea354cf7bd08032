"""Counts a pool for people to read: how far the rollout is, how people fare, and how many session slots are free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.model import PoolCounts

if TYPE_CHECKING:
    from rollout.turn import Turn


def count(turn: Turn) -> PoolCounts:
    """The pool as this turn leaves it; see PoolCounts."""
    steered, slots = turn.steered, turn.slots()
    aside = {host.name for host in turn.left_alone} | turn.quarantined.keys() | turn.skipped.keys()
    aside = {name for name in aside if name in turn.hosts and name not in turn.in_hand}
    people, on_outdated = 0, 0
    for host in turn.hosts.values():
        people += host.load
        on_outdated += host.load if turn.is_outdated(host) else 0
    told = (session.notices > 0 for host in turn.in_hand.values() for session in host.sessions.values())
    return PoolCounts(
        outdated=len(turn.outdated) - len(steered),
        in_hand=len(turn.in_hand) + len(steered),
        current=sum(host.name not in aside for host in turn.current) if aside else len(turn.current),
        set_aside=len(aside),
        people_on_outdated=on_outdated,
        people_on_current=people - on_outdated,
        people_told=sum(told),
        free=slots.free,
        reserve=slots.reserve,
    )
