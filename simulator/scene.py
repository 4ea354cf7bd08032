"""The scene of a random run: an estate built from a situation, and what others have done in it since."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rollout import pool as core
from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG, RolloutState
from rollout.steps import Step
from simulator import ids
from simulator.builders import Office, office_pool
from simulator.clock import SteppedClock
from simulator.direct import ROLLOUT, DirectAzure
from simulator.estate import Estate
from simulator.faults import Faults
from simulator.host_pools import SessionHost
from simulator.journal import Entry, Kind, Listener
from simulator.machines import Machine
from simulator.session_hosts import FATAL_CHECKS
from simulator.situations import GROUP, POOL, POOL_ID, Situation
from simulator.workload import PRESETS, Pattern, Workload

OLD, TARGET, NEWER = "1.0.0", "1.1.0", "1.2.0"
ROLLOUT_ID = "image-office-1.1.0:office"
FORMER_ROLLOUT = "image-office-1.0.9:office"
OTHER_ROLLOUT = "image-kiosk-1.1.0:kiosk"
RUSH = Workload(pattern=Pattern.CONSTANT, session_minutes=(120, 360), pause_minutes=(5, 20))
NEIGHBOUR = "avd-500"
"""A VM of another pool's rollout in the same resource group, under a name like ours, that has not registered yet."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a rollout must find again at its end: how many hosts, in which zones, switched off, drained by somebody."""

    size: int
    off: int
    drained: int
    zones: Counter[str]


class Scene:
    """The estate of a run, the rollout's memory, and what others have changed meanwhile.

    `size` is how many hosts the pool shall have in the end: it follows what others add and remove, except for hosts
    that the rollout has in hand, which it replaces anyway. `doubtful` counts removals that may count either way, because the
    rollout was about to take the host in hand or to let it go. `others` counts what others did, by kind.
    """

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.policy = situation.policy
        self.rng = random.Random(f"{situation.seed}/scene")
        self.clock = SteppedClock(situation.starts_at)
        faults = Faults(situation.seed, situation.faults)
        self.estate = Estate(self.clock, situation.seed, faults=faults, keep_journal=False)
        self.office = _build(self.estate, situation)
        self.pool = self.office.pool
        self.target = self.office.version_id(TARGET)
        self.azure = DirectAzure(self.estate, POOL_ID, ROLLOUT_ID, self.target, self.policy)
        self.state: RolloutState = core.start(ROLLOUT_ID, POOL_ID, self.target, self.clock())
        self.superseded_by = ""
        self.executing: Step | None = None
        self.letting_go: set[str] = set()
        self.members = {host.machine_id.lower() for host in self.pool.hosts.values()}
        self.created: set[str] = set()
        self.size = len(self.members)
        self._rushes = 0
        self.doubtful = 0
        self.others: Counter[Kind] = Counter()
        self.removed_by_others: set[str] = set()
        self.at_start = self.traits()
        self._listeners: defaultdict[Kind, list[Listener]] = defaultdict(list)
        self.estate.subscribe(self._pass_on)
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
        group = self.estate.machines.in_group(self.office.subscription, GROUP)
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
            and QUARANTINE_TAG not in host.machine.tags
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

    def add_host(self, name: str) -> None:
        """Somebody adds a running host on the old version by hand."""
        spec = self.office.spec_for(name, OLD, zone=self.situation.zones[0] if self.situation.zones else "")
        machine = self.estate.machines.place(self.office.machine_id(name), spec)
        self.members.add(machine.id.lower())
        self.estate.hosts.place(machine, self.pool)
        self.size += 1

    def rush(self, people: int) -> None:
        """So many more people come and stay for hours."""
        self._rushes += 1
        self.estate.people.add(self.pool.id, people, RUSH, f"rush-{self._rushes}")

    def send_people_home(self) -> None:
        """Everybody signs out and takes long leave; a few may still drop in for the rest of the day."""
        for person in self.estate.people.all():
            person.wants = False
            person.workload = replace(
                person.workload, attendance=0, weekend_attendance=0, forgets=0, pause_minutes=(1_000_000, 2_000_000)
            )
            if person.session is not None:
                self.estate.sessions.leave(person.session)

    def calm_down(self) -> None:
        """The quiet phase: no more faults, and Azure has room again."""
        self.estate.faults.stop()
        self.estate.quota.set_limit(self.office.subscription, self.office.region, 1_000_000)
        for zone in ("", "1", "2", "3"):
            self.estate.quota.set_stock(self.office.region, self.office.spec.size, zone, None)

    def forget_turn(self, memory: RolloutState) -> None:
        """The rollout's memory goes back to `memory`: what was removed under its hands meanwhile may count or not."""
        self.doubtful += len(self.state.in_hand.keys() - memory.in_hand.keys())
        self.state = memory

    def _pass_on(self, entry: Entry) -> None:
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
        quarantined = machine is not None and QUARANTINE_TAG in machine.tags
        if quarantined or name in self.state.quarantined:
            return
        canary = name in self.state.canary and not self.state.canary_passed
        if name in self.letting_go or (canary and name not in self.state.in_hand):
            self.doubtful += 1  # a canary in service is replaced, unless the gate opens before its loss is seen
            self.size -= 1
        elif name not in self.state.in_hand:
            self.size -= 1

    def _note_change(self, entry: Entry) -> None:
        if entry.by != ROLLOUT:
            self.others[entry.kind] += 1


def _build(estate: Estate, situation: Situation) -> Office:
    office = office_pool(
        estate,
        situation.hosts,
        name=POOL,
        group=GROUP,
        zones=situation.zones,
        max_session_limit=situation.max_session_limit,
        load=situation.load,
        workload=PRESETS[situation.workload],
        load_balancing=situation.load_balancing,
        powered_off=situation.powered_off,
        drained_by_somebody=situation.drained,
        spare_hosts=situation.spare_hosts,
    )
    office.publish_replicated(TARGET, situation.flaws)
    office.publish_replicated(NEWER)
    hosts = list(office.pool.hosts.values())
    for host in hosts[: situation.current]:
        _put_on(office, host, TARGET)
    for host in hosts[situation.current : situation.current + situation.newer]:
        _put_on(office, host, NEWER)
    with estate.acting_as(FORMER_ROLLOUT):
        for host in hosts[: situation.left_over]:
            if host.machine is not None:
                estate.machines.patch_tags(host.machine.id, {**host.machine.tags, ROLLOUT_TAG: FORMER_ROLLOUT})
            estate.hosts.update(office.pool_id, host.name, allow_new_session=False)
    for host in [host for host in hosts if host.allow_new_session and host.machine and host.machine.running][
        : situation.unhealthy
    ]:
        estate.hosts.set_health(office.pool_id, host.name, FATAL_CHECKS[-1], "the listener is not ready")
    _neighbours(estate, office)
    return office


def _put_on(office: Office, host: SessionHost, version: str) -> None:
    """Let a host of the build have been made from another version of the image."""
    machine = host.machine
    if machine is not None:
        machine.spec = replace(machine.spec, image_id=office.version_id(version))
        machine.image_id, machine.exact_version = machine.spec.image_id, version


def _neighbours(estate: Estate, office: Office) -> None:
    """Another pool in the same group: one of its hosts drained by its own rollout, and a VM that this is making."""
    kiosk = office_pool(estate, 2, 0, name="kiosk", group=GROUP, host_prefix="kiosk", zones=("1",))
    drained = estate.machines.get(kiosk.machine_id("kiosk-001"))
    with estate.acting_as(OTHER_ROLLOUT):
        estate.machines.patch_tags(drained.id, {**drained.tags, ROLLOUT_TAG: OTHER_ROLLOUT})
        estate.hosts.update(kiosk.pool_id, "kiosk-001", allow_new_session=False)
    spec = kiosk.spec_for(NEIGHBOUR, OLD)
    estate.machines.place(kiosk.machine_id(NEIGHBOUR), replace(spec, tags={ROLLOUT_TAG: OTHER_ROLLOUT}))
