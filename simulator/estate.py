"""The estate: a whole simulated Azure, put together, with the read-outs that checkers need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from simulator import extensions as extension_types
from simulator.attachments import Attachment, Attachments
from simulator.autoscale import Autoscale
from simulator.directory import Directory
from simulator.extensions import Extensions
from simulator.faults import Faults
from simulator.galleries import Galleries
from simulator.host_pools import HostPools, SessionHost
from simulator.interference import Interference
from simulator.journal import Journal, Listener
from simulator.ledger import Ledger
from simulator.log_analytics import Workspaces
from simulator.machines import Machines
from simulator.operations import Operations
from simulator.people import People
from simulator.quota import Quota
from simulator.run_commands import RunCommands
from simulator.scale_sets import ScaleSets
from simulator.session_hosts import SessionHosts
from simulator.sessions import Sessions
from simulator.surroundings import Surroundings
from simulator.timings import Timings
from simulator.world import AZURE, World


class Estate:
    """A simulated Azure. The clock is outside: every public call first lets happen what is due by `now()`.

    The parts: `galleries`, `machines`, `scale_sets`, `attachments` (interfaces and disks), `extensions`,
    `run_commands`, `pools`, `hosts` (session hosts), `sessions`, `workspaces` (Log Analytics), `people`, `quota`,
    `directory`, `operations`, `autoscale`, `interference`, `faults`. Their methods are what an administrator can ask of
    Azure, and raise `simulator.errors.AzureError` as Azure would refuse.
    The same seed and the same calls give the same journal.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        seed: int = 0,
        *,
        timings: Timings | None = None,
        faults: Faults | None = None,
        keep_journal: bool = True,
    ) -> None:
        self.faults = faults or Faults()
        self.world = world = World(now, seed, timings or Timings(), self.faults, keep_journal)
        self._groups: set[str] = set()
        self.operations = Operations(world)
        self.quota = Quota(world)
        self.galleries = Galleries(world, self._groups, self.operations)
        self.attachments = Attachments(world)
        self.machines = Machines(world, self._groups, self.galleries, self.quota, self.operations, self.attachments)
        self.scale_sets = ScaleSets(world, self._groups, self.galleries, self.machines)
        self.directory = Directory(world)
        self.pools = HostPools(world, self._groups)
        self.sessions = Sessions(world, self.pools, self.machines)
        self.hosts = SessionHosts(world, self.machines, self.pools, self.sessions, self.directory)
        effects = {
            extension_types.ENTRA_JOIN: self.hosts.join_entra,
            extension_types.DOMAIN_JOIN: self.hosts.join_domain,
            extension_types.AGENT: self.hosts.install_agent,
        }
        self.extensions = Extensions(world, self.machines, self.operations, effects)
        self.run_commands = RunCommands(world, self.machines, self.operations)
        self.workspaces = Workspaces(world, self.sessions)
        self.people = People(world, self.pools, self.sessions)
        self.autoscale = Autoscale(world, self.pools, self.machines)
        self.surroundings = Surroundings()
        self.interference = Interference(self)

    @property
    def journal(self) -> Journal:
        """Everything that happened; see `Journal.of`."""
        return self.world.journal

    @property
    def ledger(self) -> Ledger:
        """What people had to put up with, so far."""
        return self.world.ledger

    @property
    def seed(self) -> int:
        """The seed of every stream of chance in it."""
        return self.world.seed

    def now(self) -> datetime:
        """Catch up with the clock and return the instant."""
        self.world.catch_up()
        return self.world.time

    def next_due(self) -> datetime | None:
        """When something happens by itself next; None when nothing is planned."""
        return self.world.next_due()

    def add_group(self, subscription: str, group: str) -> None:
        """Create a resource group."""
        self._groups.add(f"{subscription}/{group}".lower())

    def has_group(self, subscription: str, group: str) -> bool:
        """Whether the resource group exists."""
        return f"{subscription}/{group}".lower() in self._groups

    def at(self, when: datetime, act: Callable[[], object], *, by: str = AZURE) -> None:
        """Do `act` at an instant, caused by `by`."""
        self.world.at(when, act, by=by)

    def acting_as(self, label: str) -> AbstractContextManager[None]:
        """What is asked inside the block is journalled as caused by `label` instead of "administrator"."""
        return self.world.acting_as(label)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every journal entry as it is written; the returned function ends that."""
        return self.world.journal.subscribe(listener)

    def start_counting(self) -> None:
        """Set the ledger to zero, with the free slots of now as the first minimum."""
        self.world.catch_up()
        for pool in self.pools.all():
            pool.min_free_slots, pool.min_free_slots_at = pool.free_slots, self.world.time
        free = min((pool.free_slots for pool in self.pools.all()), default=0)
        self.ledger.restart(free, self.world.time)

    def free_slots(self, pool_id: str) -> int:
        """Session slots free on the pool's accepting, healthy, running hosts."""
        self.world.catch_up()
        return self.pools.get(pool_id).free_slots

    def accepting_hosts(self, pool_id: str) -> list[SessionHost]:
        """The hosts the broker would send a new session to if they had a free slot."""
        return [host for host in self.hosts.list(pool_id) if host.accepting]

    def drained_hosts(self, pool_id: str) -> list[SessionHost]:
        """The hosts in drain mode."""
        return [host for host in self.hosts.list(pool_id) if not host.allow_new_session]

    def tagged(self, prefix: str) -> dict[str, dict[str, str]]:
        """Machine id to those of its tags whose name starts with `prefix`, for machines that have any."""
        self.world.catch_up()
        found = {}
        for machine in self.machines.everything():
            tags = {name: value for name, value in machine.tags.items() if name.lower().startswith(prefix.lower())}
            if tags:
                found[machine.id] = tags
        return found

    def orphans(self) -> list[Attachment]:
        """Network interfaces and disks that no machine uses."""
        return self.attachments.orphans()

    def duplicates(self) -> list[str]:
        """Computer names that more than one machine carries, whatever their resource groups."""
        self.world.catch_up()
        names = Counter((one.spec.computer_name or one.name).lower() for one in self.machines.everything())
        return sorted(name for name, times in names.items() if times > 1)
