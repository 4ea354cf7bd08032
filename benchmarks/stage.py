"""A case made concrete by a seed: the estate, its clock, and what is measured while a contender plays on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from benchmarks.workloads import NOBODY_LEAVES, Case
from simulator.builders import Office, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.faults import Faults
from simulator.host_pools import SessionHost
from simulator.machines import Machine

OLD, TARGET = "1.0.0", "1.1.0"

R = TypeVar("R")

LONGEST_PAUSE = timedelta(minutes=5)
"""Between two measurements while nothing else happens."""

WHILE_DEPLOYING = timedelta(seconds=30)
"""Between two steps of ARM itself while it works through a deployment."""


class CountingFaults(Faults):
    """No faults; counts every request that would go to Azure."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()

    def call(self, method: str, path: str, act: Callable[[], R]) -> R:
        """Count the request and make it."""
        self.requests[method] += 1
        return act()


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender did in one case with one seed. Times are in hours; `hours` is None if it never finished.

    `refused` counts attempts to sign in for which there was no free slot. `on_bad_image` is how many hosts ran the new
    version when the contender stopped. `new_hosts` is the story in numbers: (hours, hosts on the new version).
    """

    contender: str
    case: str
    seed: int
    hours: float | None
    forced: int
    disconnected: int
    twice: int
    refused: int
    least_free: int
    peak: int
    extra_hours: float
    on_bad_image: int
    drained: int
    operator: int
    calls: int
    new_hosts: tuple[tuple[float, int], ...] = ()


class Stage:
    """The estate of one case and seed. A contender acts on it and lets time pass through `wait` alone."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.seed = seed
        self.clock = SteppedClock(case.starts_at)
        self.faults = CountingFaults()
        self.estate = Estate(self.clock, seed, timings=case.timings, faults=self.faults, keep_journal=False)
        self.office: Office = office_pool(
            self.estate,
            hosts=case.hosts,
            max_session_limit=case.session_limit,
            load=case.load,
            workload=case.people,
            spare_hosts=case.spare_hosts,
        )
        self._gather(case.empty)
        if case.stubborn:
            self.estate.people.add(self.office.pool_id, case.stubborn, NOBODY_LEAVES, "stubborn")
        self.office.publish_replicated(TARGET, case.flaws)
        self.estate.start_counting()
        self.operator = 0
        self.given_up = False
        self.finished_at: datetime | None = None
        self._peak = case.hosts
        self._extra = 0.0
        self._new: list[tuple[float, int]] = [(0.0, 0)]
        self._busy: Callable[[], bool] | None = None

    # ------------------------------------------------------------------------------------------------- what there is

    @property
    def target(self) -> str:
        """The resource id of the new version."""
        return self.office.version_id(TARGET)

    @property
    def over(self) -> bool:
        """Everything is replaced, the contender has given up, or the horizon is reached."""
        return self.finished_at is not None or self.given_up or self.clock() - self.case.starts_at >= self.case.horizon

    def hosts(self) -> list[SessionHost]:
        """The registered hosts, by name."""
        self.estate.now()
        return sorted(self.office.pool.hosts.values(), key=lambda host: host.name)

    def outdated(self) -> list[SessionHost]:
        """The registered hosts that do not run the new version."""
        return [host for host in self.hosts() if not is_new(host)]

    def machines(self) -> list[Machine]:
        """Every VM of the pool."""
        return self.estate.machines.everything()

    # ------------------------------------------------------------------------------------------------------ its time

    def wait(self, pause: timedelta, meanwhile: Callable[[], bool] | None = None) -> None:
        """Let time pass and measure. `meanwhile` is what ARM does by itself; it tells whether it is still at work."""
        until = self.clock() + pause
        while self.clock() < until and not self.over:
            at_work = meanwhile() if meanwhile is not None else False
            step = min(WHILE_DEPLOYING if at_work else LONGEST_PAUSE, until - self.clock())
            machines = len(self.machines())
            self.clock.advance(step)
            self.estate.now()
            self._extra += max(0, machines - self.case.hosts) * step / timedelta(hours=1)
            self.measure()
        if self.clock() < until and self.over:
            return

    def measure(self) -> None:
        """Note how many VMs there are, how many are new, and whether it is done."""
        self._peak = max(self._peak, len(self.machines()))
        hosts = self.office.pool.hosts.values()
        new = sum(is_new(host) and host.accepting for host in hosts)
        if new != self._new[-1][1]:
            self._new.append(((self.clock() - self.case.starts_at) / timedelta(hours=1), new))
        if self.finished_at is None and new >= self.case.hosts and new == len(hosts):
            self.finished_at = self.clock()

    def result(self, contender: str) -> Result:
        """The measurements."""
        ledger, pool = self.estate.ledger, self.office.pool
        bad = self.case.flaws.unhealthy or self.case.flaws.never_registers
        finished = self.finished_at
        machines = self.machines()
        return Result(
            contender=contender,
            case=self.case.name,
            seed=self.seed,
            hours=None if finished is None else (finished - self.case.starts_at) / timedelta(hours=1),
            forced=ledger.forced_sign_outs,
            disconnected=ledger.disconnected_sign_outs,
            twice=ledger.signed_out_twice,
            refused=ledger.refused_sign_ins,
            least_free=pool.min_free_slots or 0,
            peak=self._peak,
            extra_hours=round(self._extra, 1),
            on_bad_image=sum(machine.exact_version == TARGET for machine in machines) if bad else 0,
            drained=sum(not host.allow_new_session for host in pool.hosts.values()),
            operator=self.operator,
            calls=self.faults.requests.total(),
            new_hosts=tuple(self._new),
        )

    def _gather(self, empty: int) -> None:
        """Move everybody off the last `empty` hosts, so that these are empty at the start."""
        if not empty:
            return
        hosts = self.hosts()[-empty:]
        for host in hosts:
            self.estate.hosts.update(self.office.pool_id, host.name, allow_new_session=False)
        for host in hosts:
            for session in list(host.sessions.values()):
                self.estate.sessions.leave(session)
                self.estate.sessions.sign_in(self.office.pool_id, session.person)
        for host in hosts:
            self.estate.hosts.update(self.office.pool_id, host.name, allow_new_session=True)


def is_new(host: SessionHost) -> bool:
    """The host runs the new version."""
    return host.machine is not None and host.machine.exact_version == TARGET
