"""Checkers of what a rollout may touch at all, and which hosts it may make and remove."""

from __future__ import annotations

from rollout.model import ROLLOUT_TAG, Stage, is_outdated
from rollout.steps import ProvisionHost, RemoveHost, RestoreHost, StartDraining
from simulator import ids
from simulator.checks.watch import Checker, Turn
from simulator.direct import ROLLOUT
from simulator.journal import Entry, Kind

_OF_MACHINES = (
    Kind.MACHINE_REQUESTED,
    Kind.MACHINE_TAGGED,
    Kind.MACHINE_DELETING,
    Kind.MACHINE_STOPPING,
    Kind.MACHINE_STARTING,
)
_OF_HOSTS = (Kind.HOST_DRAINED, Kind.HOST_UNDRAINED, Kind.HOST_REMOVED)


class TargetPinned(Checker):
    """Every VM that the rollout makes is made from exactly the target version's id."""

    rule = "S11"
    kinds = (Kind.MACHINE_REQUESTED,)

    def saw(self, entry: Entry) -> None:
        if entry.by == ROLLOUT:
            image = self.scene.estate.machines.get(entry.subject).spec.image_id
            if image.lower() != self.scene.target.lower():
                self.fail(f"{entry.subject} is made from {image} instead of {self.scene.target}")


class NeverBackwards(Checker):
    """No host in service on the target version or a newer one is drained or removed, unless the pool has too many."""

    rule = "S11"

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None:
            return
        hosts = {host.name: host for host in turn.snapshot.hosts}
        if len(self.scene.in_service()) > self.scene.size - self.scene.doubtful:
            return
        for step in turn.decision.steps:
            if not isinstance(step, RemoveHost | StartDraining):
                continue
            host, progress = hosts.get(step.host), turn.before.in_hand.get(step.host)
            being_made = progress is not None and progress.stage not in (Stage.DRAINING, Stage.REMOVING)
            if (
                host is not None
                and host.vm_id  # of one that is gone nobody can tell any more what it ran
                and host.registration
                and not being_made
                and not is_outdated(host, self.scene.target, self.scene.state.instead_of)
            ):
                self.fail(f"{type(step).__name__} for {host.name}, which is on {host.image_version_id}")


class NamesNeverReused(Checker):
    """No VM gets a name under which a device has joined the directory: joining would be refused."""

    rule = "S12"
    kinds = (Kind.MACHINE_REQUESTED,)

    def saw(self, entry: Entry) -> None:
        name = ids.parse(entry.subject).name.lower()
        if name in self.scene.estate.directory.devices():
            self.fail(f"the name {name} is given out a second time")


class OnlyDecidedHosts(Checker):
    """Every VM that appears was decided on, under its name, and once."""

    rule = "S12"
    kinds = (Kind.MACHINE_REQUESTED,)

    def begin(self) -> None:
        self._decided: set[str] = set()

    def decided(self, turn: Turn) -> None:
        for step in turn.decision.steps:
            if isinstance(step, ProvisionHost):
                self._decided.add(step.host)

    def saw(self, entry: Entry) -> None:
        name = ids.parse(entry.subject).name.lower()
        if entry.by == ROLLOUT and name not in self._decided:
            self.fail(f"the VM {name} was made, and no decision says so")


class StaysInScope(Checker):
    """The rollout touches machines and records of its own pool only, and none of another rollout's."""

    rule = "S9"
    kinds = _OF_MACHINES + _OF_HOSTS

    def saw(self, entry: Entry) -> None:
        if entry.by != ROLLOUT:
            return
        if entry.kind in _OF_HOSTS:
            if not entry.subject.startswith(f"{self.scene.pool.name}/"):
                self.fail(f"{entry.kind} {entry.subject}, which is a host of another pool")
        elif not self.scene.is_ours(entry.subject):
            self.fail(f"{entry.kind} {entry.subject}, which is not a machine of this pool")


class DrainsOfOthersKept(Checker):
    """A host that somebody else had drained before the rollout took it in hand is never put back into service by it.

    A late list that shows the rollout's own drain, which it has taken back by now, makes it nobody else's.
    """

    rule = "S9"
    kinds = (Kind.HOST_UNDRAINED,)

    def begin(self) -> None:
        self._of_others: set[str] = set()

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None:
            return
        # What it has kept, switched off, is nobody else's: a roll back takes it back like a new host.
        self._of_others -= {step.host for step in turn.decision.steps if isinstance(step, RestoreHost)}
        drains = {step.host for step in turn.new_drains}
        accepting = {host.name.lower() for host in self.scene.pool.hosts.values() if host.allow_new_session}
        for host in turn.snapshot.hosts:
            if host.name in drains and host.name not in accepting:
                if not host.allows_new_sessions and host.tags.get(ROLLOUT_TAG) is None:
                    self._of_others.add(host.name)
                else:
                    self._of_others.discard(host.name)

    def saw(self, entry: Entry) -> None:
        name = entry.subject.rsplit("/", 1)[1].lower()
        if entry.by != ROLLOUT:
            self._of_others.discard(name)
        elif name in self._of_others - self.scene.forgotten:
            self.fail(f"{name} had been drained by somebody else and is put back into service")
