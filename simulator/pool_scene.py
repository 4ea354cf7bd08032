"""A pool on which a rollout runs, as a watcher sees it: what it was like, and what others have changed since."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from rollout import pool as core
from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG, RolloutState
from rollout.policy import PoolPolicy
from rollout.steps import Step
from simulator import ids
from simulator.builders import Office
from simulator.direct import ROLLOUT
from simulator.host_pools import SessionHost
from simulator.journal import Entry, Kind, Listener
from simulator.machines import Machine


@dataclass(frozen=True, slots=True)
class Traits:
    """What a rollout must find again at its end: how many hosts, in which zones, switched off, drained by somebody."""

    size: int
    off: int
    drained: int
    zones: Counter[str]


class PoolScene:
    """One pool, the memory of the rollout that runs on it, and what others have changed meanwhile.

    `size` is how many hosts the pool shall have in the end: it follows what others add and remove, except for hosts
    that the rollout has in hand, which it replaces anyway. `doubtful` counts removals that may count either way,
    because the rollout was about to take the host in hand or to let it go. `memory_lost` tells that the memory of a
    turn was lost, as Durable never loses it, and `forgotten` are the hosts that were touched in it, or that an earlier
    rollout has set aside. `others` counts what others did, by kind.
    Whoever runs the rollout keeps `state`, `target`, `rollout_id` and the step that is `executing` up to date, and
    passes on what the journal says through `saw`.
    """

    def __init__(self, office: Office, policy: PoolPolicy, rollout_id: str, target: str) -> None:
        self.estate = office.estate
        self.office = office
        self.pool = office.pool
        self.policy = policy
        self.rollout_id = rollout_id
        self.target = target
        self.clock: Callable[[], datetime] = lambda: self.estate.world.time
        self.state: RolloutState = core.start(rollout_id, office.pool_id, target, self.clock())
        self.executing: Step | None = None
        self.letting_go: set[str] = set()
        self.members = {host.machine_id.lower() for host in self.pool.hosts.values()}
        self.created: set[str] = set()
        self.size = len(self.members)
        self.doubtful = 0
        self.memory_lost = False
        self.forgotten: set[str] = set()
        self.others: Counter[Kind] = Counter()
        self.removed_by_others: set[str] = set()
        self.at_start = self.traits()
        self._listeners: defaultdict[Kind, list[Listener]] = defaultdict(list)
        self.listen((Kind.MACHINE_REQUESTED,), self._note_creation)
        self.listen((Kind.MACHINE_DELETING,), self._note_removal)
        self.listen(
            (Kind.HOST_DRAINED, Kind.HOST_UNDRAINED, Kind.MACHINE_STOPPING, Kind.MACHINE_STARTING), self._note_change
        )

    def listen(self, kinds: Iterable[Kind], listener: Listener) -> None:
        """Call `listener` with every journal entry of these kinds."""
        for kind in kinds:
            self._listeners[kind].append(listener)

    def machines(self) -> list[Machine]:
        """The pool's machines that exist, registered or not, in the order of their creation."""
        group = self.estate.machines.in_group(self.office.subscription, self.office.group)
        return [machine for machine in group if self.is_ours(machine.id)]

    def is_ours(self, machine_id: str) -> bool:
        """The machine belongs to this pool: it was there, somebody added it, or the rollout made it."""
        return machine_id.lower() in self.members or machine_id.lower() in self.created

    def made(self, name: str) -> bool:
        """The rollout has made the host of this name."""
        return self.office.machine_id(name).lower() in self.created

    def in_service(self) -> list[SessionHost]:
        """The pool's hosts that have a machine and are not quarantined."""
        return [
            host
            for host in self.pool.hosts.values()
            if host.machine is not None
            and host.machine.provisioning_state != "Deleting"
            and not {QUARANTINE_TAG, RETAINED_TAG} & host.machine.tags.keys()
        ]

    def traits(self) -> Traits:
        """How the pool is now."""
        hosts = self.in_service()
        machines = [host.machine for host in hosts if host.machine is not None]
        return Traits(
            size=len(hosts),
            off=sum(not machine.running for machine in machines),
            drained=sum(
                not host.allow_new_session and host.machine is not None and ROLLOUT_TAG not in host.machine.tags
                for host in hosts
            ),
            zones=Counter(machine.spec.zone for machine in machines),
        )

    def saw(self, entry: Entry) -> None:
        """Take a journal entry in, and tell those who listen for its kind."""
        listeners = self._listeners.get(entry.kind)
        if listeners:
            for listener in listeners:
                listener(entry)

    def _note_creation(self, entry: Entry) -> None:
        if entry.by == ROLLOUT:
            self.created.add(entry.subject.lower())

    def _note_removal(self, entry: Entry) -> None:
        if entry.by == ROLLOUT or not self.is_ours(entry.subject):
            return
        self.others[entry.kind] += 1
        self.removed_by_others.add(entry.subject.lower())
        name = ids.parse(entry.subject).name.lower()
        machine = self.estate.machines.find(entry.subject)
        set_aside = machine is not None and bool({QUARANTINE_TAG, RETAINED_TAG} & machine.tags.keys())
        if set_aside or name in self.state.quarantined:
            return
        canary = name in self.state.canary and not self.state.canary_passed
        between = name in self.letting_go or (canary and name not in self.state.in_hand)
        if between or (self.size <= 1 and name not in self.state.in_hand):
            # A canary in service is replaced, unless the gate opens before its loss is seen;
            # and a rollout never takes a pool's size for less than one host.
            self.doubtful += 1
        if between or name not in self.state.in_hand:
            self.size -= 1

    def _note_change(self, entry: Entry) -> None:
        if entry.by != ROLLOUT:
            self.others[entry.kind] += 1
