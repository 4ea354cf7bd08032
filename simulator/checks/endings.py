"""Checkers of how a rollout ends: that it does, and that the pool is as it was, on the new version."""

from __future__ import annotations

from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG, Phase, definition_of, short_version, version_number
from rollout.policy import hosts_of
from rollout.steps import Decision
from simulator.checks.watch import Checker, Turn
from simulator.journal import Kind
from simulator.machines import Machine
from simulator.observing import OWN_TAG_VALUE
from simulator.pool_scene import PoolScene

_DONE = (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS)


class ReachesAnEnd(Checker):
    """Once faults have stopped the rollout ends within its bound; people hold it up only where the policy waits."""

    rule = "L1"

    def stuck(self) -> None:
        state = self.scene.state
        hands = ", ".join(f"{name} {host.stage}" for name, host in state.in_hand.items())
        self.fail(f"still {state.phase} ({state.reason}): {state.message}; in hand: {hands or 'nothing'}")


class EveryHostIsCurrent(Checker):
    """A rollout that has succeeded leaves no host on an older version, except those that it names."""

    rule = "L1"

    def ended(self, decision: Decision) -> None:
        if decision.phase not in _DONE:
            return
        target = version_number(self.scene.target)
        skipped = decision.state.skipped
        if decision.phase is Phase.SUCCEEDED and (skipped or decision.state.quarantined):
            self.fail("it has succeeded, and hosts were skipped or quarantined")
        for host in self.scene.in_service():
            image = host.machine.image_id if host.machine else ""
            number = version_number(image)
            current = (
                definition_of(image) == definition_of(self.scene.target) and number and target and number >= target
            )
            if not current and host.name.lower() not in skipped:
                self.fail(f"{host.name} is still on {short_version(image)}")


class NobodyLeftOnTheRefusedVersion(Checker):
    """A roll back that has succeeded leaves no host in service on the version that it takes back."""

    rule = "L1"

    def ended(self, decision: Decision) -> None:
        if decision.phase is not Phase.ROLLED_BACK:
            return
        refused = decision.state.instead_of.lower()
        for host in self.scene.in_service():
            is_on_it = host.machine is not None and host.machine.image_id.lower() == refused
            if is_on_it and host.name.lower() not in decision.state.skipped:
                self.fail(f"{host.name} is still on {short_version(refused)}, which was rolled back")


class SizeAsBefore(Checker):
    """The pool has as many hosts as before, adjusted by what others added and removed.

    A halted rollout may leave more or fewer, and one that people have not left a host of may leave more, if it says so:
    no more than its surge, or in a roll back, which takes all kept hosts back at once, than it has.
    """

    rule = "S4"

    def ended(self, decision: Decision) -> None:
        if self.scene.pool.deleted or decision.phase is Phase.REFUSED:
            return
        size = self.scene.traits().size
        most = max(1, self.scene.size + self.scene.doubtful)  # a pool that others have emptied may keep its last host
        least = self.scene.size - self.scene.doubtful
        if _says(decision, "more than") and size <= most + self._surge():
            return
        if size > most:
            self.fail(f"the pool has {size} hosts at the end ({decision.phase}), it should have {self.scene.size}")
        elif size < least and not (decision.phase is Phase.HALTED and _says(decision, "short of")):
            self.fail(f"the pool has only {size} hosts at the end ({decision.phase}), it should have {self.scene.size}")

    def _surge(self) -> int:
        policy = self.scene.policy
        if self.scene.state.instead_of and policy.retain_outdated:
            return self.scene.size
        return max(hosts_of(policy.surge, self.scene.size), policy.canary.hosts) if policy.strategy == "surge" else 0


class ZonesAsBefore(Checker):
    """A rollout that has succeeded leaves every zone with as many hosts as before, give or take what others changed.

    A quarantined host that an operator lets it take back is where it is, whatever has been made in its stead meanwhile.
    """

    rule = "S12"

    def begin(self) -> None:
        self._taken_back = 0

    def decided(self, turn: Turn) -> None:
        self._taken_back += len(turn.before.quarantined.keys() & turn.decision.state.in_hand.keys())

    def ended(self, decision: Decision) -> None:
        if decision.phase not in _DONE:
            return
        before, now = self.scene.at_start.zones, self.scene.traits().zones
        changed = abs(self.scene.size - self.scene.at_start.size) + self.scene.others[Kind.MACHINE_DELETING]
        changed += len(decision.state.skipped) + len(self.scene.members) - self.scene.at_start.size + self._taken_back
        for zone in before.keys() | now.keys():
            if abs(before[zone] - now[zone]) > changed:
                self.fail(f"zone {zone or '-'} had {before[zone]} hosts and has {now[zone]}")


class PowerStatesAsBefore(Checker):
    """As many hosts are switched off at the end as before, give or take what others changed."""

    rule = "S15"

    def ended(self, decision: Decision) -> None:
        before, now = self.scene.at_start.off, self.scene.traits().off
        if not self.scene.pool.deleted and now not in _give_or_take(self.scene, decision, before):
            self.fail(f"{before} hosts were switched off and {now} are now ({decision.phase})")


class DrainModesAsBefore(Checker):
    """As many hosts are in drain mode by somebody else's will as before, give or take what others changed."""

    rule = "S15"

    def ended(self, decision: Decision) -> None:
        before, now = self.scene.at_start.drained, self.scene.traits().drained
        if not self.scene.pool.deleted and now not in _give_or_take(self.scene, decision, before):
            self.fail(f"{before} hosts were drained by somebody and {now} are now ({decision.phase})")


class NothingLeftMarked(Checker):
    """No host is left tagged, excluded from autoscale or drained by the rollout; quarantined ones it must name."""

    rule = "S15"

    def ended(self, decision: Decision) -> None:
        if self.scene.pool.deleted:
            return
        exclusion = self.scene.policy.scaling_exclusion_tag
        quarantined = decision.state.quarantined.keys() | self.scene.forgotten
        for machine in self.scene.machines():
            name = machine.name.lower()
            if machine.provisioning_state == "Deleting":
                continue  # by somebody else: its tags go with it
            if machine.tags.get(ROLLOUT_TAG) == self.scene.rollout_id and name not in self.scene.forgotten:
                self.fail(f"{name} still carries the rollout's tag ({decision.phase})")
            elif QUARANTINE_TAG in machine.tags and name not in quarantined:
                self.fail(f"{name} is quarantined, and the rollout does not say so ({decision.phase})")
            elif machine.tags.get(exclusion) == OWN_TAG_VALUE and not (
                name in quarantined or self._is_retained(machine)
            ):
                self.fail(f"{name} is still excluded from autoscale by the rollout ({decision.phase})")

    def _is_retained(self, machine: Machine) -> bool:
        """It is kept for a quick way back, and stays excluded from autoscale, which would start it. Others may have."""
        started = machine.running and not self.scene.others[Kind.MACHINE_STARTING]
        return RETAINED_TAG in machine.tags and not started


class NothingLeftBehind(Checker):
    """No interface, disk, unregistered VM or empty registration of the rollout's making is left."""

    rule = "S12"

    def ended(self, decision: Decision) -> None:
        if self.scene.pool.deleted:
            return
        for orphan in self.scene.estate.orphans():
            self.fail(f"{orphan.name} is left without its machine ({decision.phase})")
        known = decision.state.quarantined.keys() | self.scene.forgotten
        registered = {host.machine_id.lower() for host in self.scene.pool.hosts.values()}
        for machine in self.scene.machines():
            made_by_us = machine.id.lower() in self.scene.created - self.scene.removed_by_others
            if made_by_us and machine.id.lower() not in registered and machine.name not in known:
                self.fail(f"the VM {machine.name} is left, and it is no session host ({decision.phase})")
        deleted_by_others = self.scene.others[Kind.MACHINE_DELETING]
        ghosts = [host.name for host in self.scene.pool.hosts.values() if host.machine is None]
        if len(ghosts) > deleted_by_others:
            self.fail(f"{', '.join(ghosts)} are registered without a VM ({decision.phase})")


def _says(decision: Decision, what: str) -> bool:
    """The last message tells of a difference in size."""
    return f"{what} its size" in decision.state.message


def _give_or_take(scene: PoolScene, decision: Decision, before: int) -> range:
    """How many hosts may have a trait at the end that `before` had at the start.

    Others may have changed it, and a halted rollout may have replaced a host before or after its forerunner went.
    """
    changed = sum(scene.others.values()) + len(decision.state.skipped) + len(scene.forgotten)
    if decision.phase in (Phase.HALTED, Phase.SUPERSEDED, Phase.ABORTED):
        changed += sum(scene.made(host.name) for host in scene.in_service())
    size = scene.traits().size
    short = max(0, scene.size + scene.doubtful - size)
    more = max(0, size - scene.size) if decision.phase is Phase.HALTED else 0
    return range(before - changed - short, before + changed + more + 1)
