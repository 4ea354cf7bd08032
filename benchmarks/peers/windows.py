"""Two plain ways that every updater knows: barrier batches and a sliding window, here with our notice and least
sessions.

Barrier batches (VM scale sets, the service's own update): k hosts are drained and told, those that are empty or whose
notice is over are removed and made anew, and the next k begin when all k are back. Sliding window (managed instance
groups, Cluster API): the same with k places, each of which takes the next host as soon as it is free. Both remove
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.peers.hands import Deployment, Hands
from benchmarks.stage import Stage
from simulator.host_pools import SessionHost

_TICK = timedelta(minutes=2)
_READY_WITHIN = timedelta(minutes=60)
_VM_IS_GONE_AFTER = timedelta(minutes=4)


@dataclass(slots=True)
class _Place:
    """One of the k places: a host that is emptied, then the one that is made for it."""

    host: SessionHost
    told_at: datetime
    zone: str
    removed_at: datetime | None = None
    deployment: Deployment | None = None


def play(stage: Stage, *, barrier: bool) -> None:
    """Replace k hosts at a time, fewest sessions first."""
    hands = Hands(stage, "sliding" if not barrier else "barrier")
    places: list[_Place] = []
    taken: set[str] = set()
    while not stage.over:
        waiting = [host for host in hands.look() if host in stage.outdated() and host.name not in taken]
        waiting.sort(key=lambda host: (len(host.sessions), host.name))
        if not places or not barrier:
            for host in waiting[: stage.case.at_a_time - len(places)]:
                places.append(_begin(hands, host))
                taken.add(host.name)
        for place in list(places):
            if _advance(hands, place):
                places.remove(place)
        if not stage.outdated() and not places:
            stage.measure()
            stage.given_up = stage.finished_at is None
        hands.wait(_TICK)


def _begin(hands: Hands, host: SessionHost) -> _Place:
    hands.start_draining(host)
    hands.tell(host, "Please sign out")
    return _Place(host, hands.stage.clock(), host.machine.spec.zone if host.machine else "")


def _advance(hands: Hands, place: _Place) -> bool:
    """One step of a place; whether it is free again."""
    now = hands.stage.clock()
    if place.removed_at is None:
        over = now - place.told_at >= hands.stage.case.grace
        if over:
            hands.sign_out(place.host)
        if over or not place.host.sessions:
            hands.remove(place.host)
            place.removed_at = now
        return False
    if place.deployment is None:
        if now - place.removed_at >= _VM_IS_GONE_AFTER:
            place.deployment = hands.deploy(1, [place.zone])
        return False
    if place.deployment.failed or now - place.deployment.begun > _READY_WITHIN:
        hands.stage.given_up = True  # there is nobody who would look at it
    return hands.is_ready(place.deployment.names[0])
