"""The scene of a random run: an estate built from a situation, and what others have done in it since."""

from __future__ import annotations

import random
from dataclasses import replace

from rollout.commands import Command, CommandKind
from rollout.model import ROLLOUT_TAG, RolloutState
from rollout.rolling_back import policy_of_roll_back
from simulator.builders import Office, office_pool
from simulator.clock import SteppedClock
from simulator.direct import DirectAzure
from simulator.estate import Estate
from simulator.faults import Faults
from simulator.host_pools import SessionHost
from simulator.pool_scene import PoolScene
from simulator.session_hosts import FATAL_CHECKS
from simulator.situations import GROUP, POOL, POOL_ID, Situation
from simulator.workload import PRESETS, Pattern, Workload

OLD, TARGET, NEWER = "1.0.0", "1.1.0", "1.2.0"
ROLLOUT_ID = "image-office-1.1.0:office"
ROLL_BACK_ID = "back-office-1.1.0:office"
FORMER_ROLLOUT = "image-office-1.0.9:office"
OTHER_ROLLOUT = "image-kiosk-1.1.0:kiosk"
RUSH = Workload(pattern=Pattern.CONSTANT, session_minutes=(120, 360), pause_minutes=(5, 20))
NEIGHBOUR = "avd-500"
"""A VM of another pool's rollout in the same resource group, under a name like ours, that has not registered yet."""


class Scene(PoolScene):
    """The estate of a run, and what others can do in it."""

    clock: SteppedClock

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.rng = random.Random(f"{situation.seed}/scene")
        clock = SteppedClock(situation.starts_at)
        faults = Faults(situation.seed, situation.faults)
        estate = Estate(clock, situation.seed, faults=faults, keep_journal=False)
        office = _build(estate, situation)
        super().__init__(office, situation.policy, ROLLOUT_ID, office.version_id(TARGET))
        self.clock = clock
        self.azure = DirectAzure(estate, POOL_ID, ROLLOUT_ID, self.target, self.policy)
        self.superseded_by = ""
        self.command: Command | None = None
        self.told: list[Command] = []
        self._rushes = 0
        estate.subscribe(self.saw)

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

    def let_somebody_in(self, name: str) -> None:
        """An administrator ends the drain of a host, and one person more comes, as likely as not to this host."""
        if name in self.pool.hosts:
            self.estate.hosts.update(self.pool.id, name, allow_new_session=True)
            self.rush(1)

    def send_people_home(self) -> None:
        """Everybody signs out and takes long leave; a few may still drop in for the rest of the day."""
        for person in self.estate.people.all():
            person.wants, person.forgets = False, False
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

    def tell(self, kind: CommandKind, host: str = "") -> None:
        """An operator tells the rollout to skip or to retry, as the pool's lease would number and keep it."""
        self.told.append(Command(kind, "an operator", "by chance", host=host.lower(), number=len(self.told) + 1))

    def roll_back(self, state: RolloutState) -> None:
        """The rollout has ended, and goes back from here on; of what it has set aside a new one does not know."""
        self.forgotten |= self.state.quarantined.keys() - state.quarantined.keys()
        if state.rollout_id != self.rollout_id:
            self.at_start = self.traits()
            self.superseded_by, self.command, self.told = "", None, []
            # It takes the pool as it is, also where skipped hosts have made it larger, unless it knows better.
            self.size = self.size if state.size else self.at_start.size
        self.state, self.target, self.rollout_id = state, state.target, state.rollout_id
        self.policy = policy_of_roll_back(self.policy)
        self.azure = DirectAzure(self.estate, POOL_ID, self.rollout_id, self.target, self.policy)

    def forget_turn(self, memory: RolloutState) -> None:
        """The rollout's memory goes back to `memory`: what was removed under its hands meanwhile may count or not."""
        begun = self.state.in_hand.keys() - memory.in_hand.keys()
        self.doubtful += len(begun)
        self.memory_lost = True
        self.forgotten |= begun | (self.state.quarantined.keys() - memory.quarantined.keys())
        self.state = memory


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
