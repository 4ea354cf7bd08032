"""Checkers of capacity: free session slots for people, and how many hosts there may be and must be."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from rollout.model import QUARANTINE_TAG, PoolSnapshot, SessionHost, Stage
from rollout.policy import hosts_of
from rollout.steps import SignOutSessions, StopDraining
from simulator.checks.watch import Checker, Turn
from simulator.direct import ROLLOUT
from simulator.host_pools import BROKERED
from simulator.journal import Entry, Kind

_NEW = (Stage.PROVISIONING, Stage.JOINING, Stage.VERIFYING, Stage.DISCARDING)
_LEAVING = (Stage.DRAINING, Stage.REMOVING)
_SHORT_FOR = timedelta(minutes=20)
_NOTICED_WITHIN = timedelta(minutes=15)


class ReserveKept(Checker):
    """A drain begins only when the reserve stays free although everybody on draining hosts signs in elsewhere.

    The last host that accepts sign-ins may go in place when nobody is at work on it.
    """

    rule = "S1"

    def decided(self, turn: Turn) -> None:
        snapshot = turn.snapshot
        drains = {step.host for step in turn.new_drains}
        if snapshot is None or not drains:
            return
        leaving = {name for name, host in turn.decision.state.in_hand.items() if host.stage in _LEAVING}
        costly = [h for h in snapshot.hosts if h.name in drains and (_accepts(h) or h.load)]
        if not costly:
            return
        limit = snapshot.pool.max_session_limit
        staying = [h for h in _in_service(snapshot, turn) if _accepts(h) and h.name not in leaving]
        reserve = math.ceil(len(staying) * limit * self.scene.policy.reserve / 100)
        free = sum(max(0, limit - host.load) for host in staying)
        hosts = [host for host in snapshot.hosts if host.name in leaving]
        people = sum(host.load for host in hosts)
        at_work = sum(session.state != "Disconnected" for host in hosts for session in host.sessions)
        if not staying and not at_work:
            return
        if free - people < reserve:
            names = ", ".join(host.name for host in costly)
            self.fail(
                f"draining {names} leaves {free} free slots for {people} people on draining hosts, "
                f"and {reserve} must stay in reserve"
            )


class RoomForThoseSignedOut(Checker):
    """Nobody at work is signed out unless a slot is free for them on a host that accepts sign-ins."""

    rule = "S1"

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None:
            return
        forced = sum(step.forced for step in turn.decision.steps if isinstance(step, SignOutSessions))
        limit = turn.snapshot.pool.max_session_limit
        free = sum(max(0, limit - host.load) for host in turn.snapshot.hosts if _accepts(host))
        if forced > free:
            self.fail(f"{forced} people are signed out at once, and {free} slots are free for them")


class GivesBackWhenShort(Checker):
    """While few session slots are free, draining hosts with people on them are given back within twenty minutes."""

    rule = "S1"

    def begin(self) -> None:
        self._since: datetime | None = None

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None:
            return
        limit = turn.snapshot.pool.max_session_limit
        pool = [host for host in _in_service(turn.snapshot, turn) if host.power == "running"]
        accepting = [host for host in pool if _accepts(host)]
        reserve = len(accepting) * limit * self.scene.policy.reserve / 100
        free = sum(max(0, limit - host.load) for host in accepting)
        helpful = [
            host.name
            for host in pool
            if (progress := turn.before.in_hand.get(host.name)) is not None
            and progress.stage is Stage.DRAINING
            and not progress.stays_drained
            and not host.allows_new_sessions
            and host.status in BROKERED
            and 0 < host.load < limit
        ]
        given_back = any(isinstance(step, StopDraining) for step in turn.decision.steps)
        enough = free >= reserve / 2 and (free > 0 or not self.scene.policy.reserve)
        if enough or not helpful or given_back:
            self._since = None
            return
        self._since = self._since or turn.now
        if turn.now - self._since > _SHORT_FOR:
            self.fail(
                f"{free} slots have been free since {self._since:%H:%M}, the reserve is {math.ceil(reserve)}, "
                f"and {', '.join(helpful)} still drain"
            )


class NoMoreHostsThanAllowed(Checker):
    """There are never more VMs than the pool's size and its surge, quarantined ones aside."""

    rule = "S3"
    kinds = (Kind.MACHINE_REQUESTED,)

    def begin(self) -> None:
        self._sizes: list[tuple[datetime, int]] = [(self.scene.clock(), self.scene.size)]

    def decided(self, turn: Turn) -> None:
        self._sizes = [one for one in self._sizes if turn.now - one[0] < _NOTICED_WITHIN]
        self._sizes.append((turn.now, self.scene.size + self.scene.doubtful))

    def saw(self, entry: Entry) -> None:
        if entry.by != ROLLOUT:
            return
        state, policy = self.scene.state, self.scene.policy
        size = max(self.scene.size, *(size for _, size in self._sizes))
        surge = 0
        if policy.strategy == "surge":
            surge = max(hosts_of(policy.surge, size), policy.canary.hosts)
        counted = [
            machine.name
            for machine in self.scene.machines()
            if QUARANTINE_TAG not in machine.tags
            and machine.name not in state.quarantined
            and machine.id.lower() not in self.scene.removed_by_others
        ]
        if len(counted) > size + surge:
            self.fail(f"there are {len(counted)} VMs, and {size} hosts with a surge of {surge} are allowed")


class NoMoreUnavailableThanAllowed(Checker):
    """In place, hosts are taken out of service only while at most `max_unavailable` are missing, sick ones included."""

    rule = "S2"

    def decided(self, turn: Turn) -> None:
        policy = self.scene.policy
        if turn.snapshot is None or policy.strategy != "in_place" or not turn.new_drains:
            return
        wanted = turn.decision.state.desired
        in_hand = turn.decision.state.in_hand
        serving = [host for host in _in_service(turn.snapshot, turn) if host.name not in in_hand]
        allowed = hosts_of(policy.max_unavailable, wanted)
        if wanted - len(serving) > allowed:
            self.fail(f"{wanted - len(serving)} of {wanted} hosts are out of service, {allowed} are allowed")


def _in_service(snapshot: PoolSnapshot, turn: Turn) -> list[SessionHost]:
    """Hosts that people use or leave: not those being made, not the quarantined ones."""
    in_hand = turn.decision.state.in_hand
    return [
        host
        for host in snapshot.hosts
        if host.vm_id
        and host.registration
        and QUARANTINE_TAG not in host.tags
        and host.name not in turn.decision.state.quarantined
        and not (host.name in in_hand and in_hand[host.name].stage in _NEW)
    ]


def _accepts(host: SessionHost) -> bool:
    return bool(host.vm_id) and host.power == "running" and host.allows_new_sessions and host.status in BROKERED
