"""How a run has ended: the rollouts, the pools, what people had to put up with, and whether it is as it must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from demo.story import Line
from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG, short_version
from simulator.builders import Office
from simulator.images import ImageVersion
from simulator.journal import Entry


@dataclass(frozen=True, slots=True)
class PoolEnd:
    """A host pool at the end. Hosts are session hosts with a VM that are not kept aside for investigation.

    `current` counts those on the version published last; `phase`, `message` and `waves` are those of the pool's rollout
    of that version ("" and 0 when there was none). `quarantined` and `tagged` name VMs, registered or not.
    """

    name: str
    phase: str
    message: str
    waves: int
    hosts_before: int
    hosts: int
    current: int
    quarantined: tuple[str, ...]
    drained: tuple[str, ...]
    tagged: tuple[str, ...]
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class RolloutEnd:
    """One rollout of an image version: its instance id, Durable's status and the app's own phase and sentence."""

    instance: str
    version: str
    status: str
    phase: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that is known when a run is over.

    `last_version` is the version published last as the gallery holds it, None when it was deleted, `replicas` are its
    replicas by region. `problems` say what is not as the scenario demands, `violations` which invariants broke: a good
    run has neither.
    """

    scenario: str
    seed: int
    rollouts: tuple[RolloutEnd, ...]
    pools: tuple[PoolEnd, ...]
    ledger: Mapping[str, Any]
    people: int
    arm_calls: int
    simulated: timedelta
    real_seconds: float
    story: tuple[Line, ...]
    journal: tuple[Entry, ...]
    problems: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    last_version: ImageVersion | None = None
    host: Mapping[str, float] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """The phase of the rollout of the version published last."""
        return self.rollouts[-1].phase if self.rollouts else "NotStarted"

    @property
    def message(self) -> str:
        """The sentence that goes with the phase."""
        if len(self.pools) == 1 and self.rollouts:
            return self.pools[0].message
        return self.rollouts[-1].message if self.rollouts else "no rollout was started"

    @property
    def hosts(self) -> int:
        """Session hosts of all pools."""
        return sum(pool.hosts for pool in self.pools)

    @property
    def current(self) -> int:
        """Session hosts that run the version published last."""
        return sum(pool.current for pool in self.pools)

    @property
    def waves(self) -> int:
        """Waves of all pools, of the rollout of the version published last."""
        return sum(pool.waves for pool in self.pools)

    @property
    def came_out_as_it_must(self) -> bool:
        """The scenario's outcome was reached and no invariant broke."""
        return not self.problems and not self.violations

    def as_json(self) -> dict[str, Any]:
        """The figures of the run as plain JSON values."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "phase": self.phase,
            "message": self.message,
            "hosts": self.hosts,
            "current": self.current,
            "waves": self.waves,
            "people": self.people,
            "forced_sign_outs": self.ledger["forced_sign_outs"],
            "signed_out_twice": self.ledger["signed_out_twice"],
            "refused_sign_ins": self.ledger["refused_sign_ins"],
            "min_free_slots": self.ledger["min_free_slots"],
            "messages_sent": self.ledger["messages_sent"],
            "arm_calls": self.arm_calls,
            "simulated_seconds": round(self.simulated.total_seconds()),
            "real_seconds": round(self.real_seconds, 2),
            "violations": list(self.violations),
            "problems": list(self.problems),
            "pools": {
                pool.name: {
                    "phase": pool.phase,
                    "message": pool.message,
                    "hosts": pool.hosts,
                    "current": pool.current,
                    "waves": pool.waves,
                    "quarantined": list(pool.quarantined),
                }
                for pool in self.pools
            },
            "local_host": dict(self.host),
        }


def pool_end(name: str, office: Office, hosts_before: int, target: str, status: Mapping[str, Any]) -> PoolEnd:
    """How a pool stands now. `target` is the version published last; `status` is the app's own of the pool."""
    hosts = [
        host
        for host in office.pool.hosts.values()
        if host.machine is not None and QUARANTINE_TAG not in host.machine.tags
    ]
    version = short_version(target)
    group = office.estate.machines.in_group(office.subscription, office.group)
    tags = {machine.name: machine.tags for machine in group}
    return PoolEnd(
        name=name,
        phase=str(status.get("phase", "")),
        message=str(status.get("message", "")),
        waves=int(status.get("wave", 0)),
        hosts_before=hosts_before,
        hosts=len(hosts),
        current=sum(host.machine is not None and host.machine.exact_version == version for host in hosts),
        quarantined=tuple(name for name, tag in tags.items() if QUARANTINE_TAG in tag),
        drained=tuple(host.name for host in office.pool.hosts.values() if not host.allow_new_session),
        tagged=tuple(name for name, tag in tags.items() if ROLLOUT_TAG in tag),
        is_deleted=office.pool.deleted,
    )
