"""Checkers of capacity: free session slots for people, and how many hosts there may be and must be."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG, PoolSnapshot, SessionHost, Stage
from rollout.policy import hosts_of
from rollout.steps import RemoveHost, SignOutSessions, StopDraining
from simulator.checks.watch import Checker, Turn
from simulator.direct import ROLLOUT
from simulator.host_pools import BROKERED
from simulator.journal import Entry, Kind

_NEW = (Stage.RESTORING, Stage.PROVISIONING, Stage.JOINING, Stage.VERIFYING, Stage.DISCARDING)
_DRAINED = (Stage.STEERING, Stage.DRAINING)
_GOING = (Stage.REMOVING, Stage.DISCARDING)
_SHORT_FOR = timedelta(minutes=20)
_NOTICED_WITHIN = timedelta(minutes=15)


class ReserveKept(Checker):
    """A drain begins only when the reserve stays free: a share of all slots, drained by the rollout or not.

    No more need stay free than a pool has without one of its hosts. The last host that accepts sign-ins may go when
    nobody is at work on it or on any drained one. A host that somebody deletes never accepts anybody again: it counts
    neither for what is free nor for what must be.
    """

    rule = "S1"

    def decided(self, turn: Turn) -> None:
        snapshot = turn.snapshot
        drains = {step.host for step in turn.new_drains}
        if snapshot is None or not drains:
            return
        limit = snapshot.pool.max_session_limit
        pool = [host for host in _in_service(snapshot, turn) if host.provisioning != "Deleting"]
        costly = [host for host in pool if host.name in drains and _accepts(host)]
        if not costly:
            return
        in_hand = turn.decision.state.in_hand
        held = {host.name for host in pool if _is_held(host, self.scene.rollout_id) and host.name not in in_hand}
        in_drain = (*_DRAINED, Stage.GIVING_BACK)
        held |= {name for name, host in in_hand.items() if host.stage in in_drain and not host.stays_drained}
        staying = [host for host in pool if _accepts(host) and host.name not in held and host.name not in in_hand]
        drained = [host for host in pool if host.name in held]
        if not staying:
            if at_work := sum(session.state != "Disconnected" for host in drained for session in host.sessions):
                self.fail(f"no host accepts sign-ins any more, and {at_work} people are at work on drained ones")
            return
        could = [host for host in drained if host.power == "running" and host.status in BROKERED]
        total = (len(staying) + len(could)) * limit
        reserve = min(math.ceil(total * self.scene.policy.reserve / 100), total - limit)
        free = sum(max(0, limit - host.load) for host in staying)
        if free < reserve:
            names = ", ".join(host.name for host in costly)
            self.fail(f"draining {names} leaves {free} of {total} session slots, and {reserve} must stay in reserve")


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
    """While few session slots are free, draining hosts with people on them are given back within twenty minutes.

    Not the last host when all that is on it is sessions that somebody has left behind: they would keep it for ever.
    """

    rule = "S1"

    def begin(self) -> None:
        self._since: datetime | None = None

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None:
            return
        limit = turn.snapshot.pool.max_session_limit
        pool = [host for host in _in_service(turn.snapshot, turn) if host.power == "running"]
        accepting = [host for host in pool if _accepts(host)]
        free = sum(max(0, limit - host.load) for host in accepting)
        drained = [host for host in pool if self._is_drained_by_us(host, turn) and host.status in BROKERED]
        total = (len(accepting) + len(drained)) * limit
        reserve = min(total * self.scene.policy.reserve / 100, total - limit)
        helpful = [host.name for host in drained if 0 < host.load < limit and not host.allows_new_sessions]
        given_back = any(isinstance(step, StopDraining) for step in turn.decision.steps)
        enough = free >= reserve / 2 and (free > 0 or not self.scene.policy.reserve)
        last_and_left = not accepting and not any(host.at_work for host in drained)
        if enough or last_and_left or not helpful or given_back:
            self._since = None
            return
        self._since = self._since or turn.now
        if turn.now - self._since > _SHORT_FOR:
            self.fail(
                f"{free} slots have been free since {self._since:%H:%M}, the reserve is {math.ceil(reserve)}, "
                f"and {', '.join(helpful)} still drain"
            )

    def _is_drained_by_us(self, host: SessionHost, turn: Turn) -> bool:
        progress = turn.before.in_hand.get(host.name)
        if progress is None:
            return _is_held(host, self.scene.rollout_id)
        return progress.stage in _DRAINED and not progress.stays_drained


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
            if not {QUARANTINE_TAG, RETAINED_TAG} & machine.tags.keys()
            and machine.name not in state.quarantined
            and machine.id.lower() not in self.scene.removed_by_others
        ]
        if state.instead_of and policy.retain_outdated:
            surge = size  # those that were kept are started all at once
        if len(counted) > size + surge:
            self.fail(f"there are {len(counted)} VMs, and {size} hosts with a surge of {surge} are allowed")


class NoMoreUnavailableThanAllowed(Checker):
    """Hosts are removed only while at most `max_unavailable` are missing from the pool's size, sick ones included."""

    rule = "S2"

    def decided(self, turn: Turn) -> None:
        policy = self.scene.policy
        removals = {step.host for step in turn.decision.steps if isinstance(step, RemoveHost)}
        begun = {name for name in removals if _stage_before(turn, name) not in _GOING}
        if turn.snapshot is None or not begun:
            return
        begun &= {host.name for host in _in_service(turn.snapshot, turn)}
        wanted = turn.decision.state.desired
        in_hand = turn.decision.state.in_hand
        # A rollout that ends early gives all back at once: those are there, as is one that this decision gives back.
        away = _GOING if turn.before.ends_early else (*_GOING, Stage.GIVING_BACK)
        there = [
            host
            for host in _in_service(turn.snapshot, turn)
            if host.name not in in_hand
            or (stage := in_hand[host.name].stage) not in away
            or (stage is Stage.GIVING_BACK and _stage_before(turn, host.name) is not stage)
        ]
        least = 1 if policy.strategy == "in_place" else 0
        allowed = hosts_of(policy.max_unavailable, wanted, at_least=least)
        if begun and wanted - len(there) > allowed:
            self.fail(
                f"{wanted - len(there)} of {wanted} hosts are missing when {', '.join(sorted(begun))} are removed, "
                f"{allowed} are allowed"
            )


def _in_service(snapshot: PoolSnapshot, turn: Turn) -> list[SessionHost]:
    """Hosts that people use or leave: not those being made, not the quarantined ones."""
    in_hand = turn.decision.state.in_hand
    return [
        host
        for host in snapshot.hosts
        if host.vm_id
        and host.registration
        and not {QUARANTINE_TAG, RETAINED_TAG} & host.tags.keys()
        and host.name not in turn.decision.state.quarantined
        and not (host.name in in_hand and in_hand[host.name].stage in _NEW)
    ]


def _stage_before(turn: Turn, name: str) -> Stage | None:
    progress = turn.before.in_hand.get(name)
    return None if progress is None else progress.stage


def _is_held(host: SessionHost, rollout_id: str) -> bool:
    """The rollout's tag says that it has the host in drain mode."""
    return host.tags.get(ROLLOUT_TAG) == rollout_id and not host.allows_new_sessions


def _accepts(host: SessionHost) -> bool:
    return bool(host.vm_id) and host.power == "running" and host.allows_new_sessions and host.status in BROKERED
