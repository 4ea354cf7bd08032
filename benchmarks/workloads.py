"""What the contenders are measured on: a pool, its people, an image, and the limits that hold for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from simulator.builders import MONDAY_MORNING
from simulator.images import GOOD, Flaws
from simulator.timings import Timings
from simulator.workload import OFFICE, SHIFTS, STUBBORN, Workload


@dataclass(frozen=True, slots=True)
class Case:
    """One situation, the same for every contender; a seed makes it concrete.

    `at_a_time` (k) hosts may be replaced at a time: a contender that adds hosts before it removes others has them as
    extra hosts, one that removes first has them missing, ours has half of each. `grace` is the notice that people get
    from those that give one. `stubborn` people never leave and ignore every message. `empty` hosts have nobody on them
    at the start. `spare_hosts` limits the quota to so many VMs more than there are. `expected_provisioning` and
    `ready_within` are what an administrator would have written into our policy for such a pool. `only` names the
    contenders of a case that is too large to run all of them.
    """

    name: str
    title: str
    hosts: int = 100
    session_limit: int = 16
    load: float = 0.55
    people: Workload = OFFICE
    starts_at: datetime = MONDAY_MORNING + timedelta(hours=2)
    grace: timedelta = timedelta(hours=1)
    at_a_time: int = 10
    stubborn: int = 0
    empty: int = 0
    flaws: Flaws = GOOD
    spare_hosts: int | None = None
    horizon: timedelta = timedelta(days=7)
    timings: Timings = field(default_factory=Timings)
    expected_provisioning: timedelta = timedelta(minutes=25)
    ready_within: timedelta = timedelta(minutes=45)
    only: tuple[str, ...] = ()

    @property
    def extra(self) -> int:
        """Hosts beyond the pool's size that ours and the capped Federal replacer may have."""
        return max(1, self.at_a_time // 2) if self.spare_hosts is None else min(self.spare_hosts, self.at_a_time)


_EVENING = MONDAY_MORNING + timedelta(hours=13)
_LONG = replace(OFFICE, attendance=0.97, leaves=19.5, obeys=0.25, forgets=0.4, lunch_disconnects=0.2)
_SLOW = Timings(create_machine=(270, 720), join=(180, 450), install_agent=(540, 1260), register=(90, 270))

CASES: Sequence[Case] = (
    Case("office_day", "Office day: 100 hosts, start at 9:00, one hour's notice"),
    Case("office_day_8h", "Office day: 100 hosts, start at 9:00, eight hours' notice", grace=timedelta(hours=8)),
    Case("office_night", "Office night: 100 hosts, start at 20:00", starts_at=_EVENING),
    Case("shifts", "Shift work around the clock: 100 hosts", people=SHIFTS),
    Case("half_empty", "Half of 100 hosts empty at the start, office day", load=0.275, empty=50),
    Case("small", "Small pool: 3 hosts, office day", hosts=3, at_a_time=1),
    Case(
        "long_sessions", "Few long sessions: 40 hosts of 4 slots", hosts=40, session_limit=4, people=_LONG, at_a_time=4
    ),
    Case("stuck", "One stuck host: 40 hosts, somebody never leaves", hosts=40, stubborn=1, at_a_time=4),
    Case(
        "bad_image", "A bad image: 40 hosts, new ones are unhealthy", hosts=40, at_a_time=4, flaws=Flaws(unhealthy=True)
    ),
    Case(
        "slow",
        "Slow provisioning: 40 hosts, three times as slow",
        hosts=40,
        at_a_time=4,
        timings=_SLOW,
        expected_provisioning=timedelta(minutes=45),
        ready_within=timedelta(minutes=90),
    ),
    Case("tight_quota", "Tight quota: 40 hosts, room for one VM more", hosts=40, at_a_time=4, spare_hosts=1),
    Case(
        "large",
        "Large pool: 1,000 hosts, office day",
        hosts=1000,
        at_a_time=100,
        horizon=timedelta(days=4),
        only=("overnight", "fast", "native", "replacer", "federal, capped"),
    ),
)
"""Every case, in the order of the tables."""

NOBODY_LEAVES = STUBBORN
