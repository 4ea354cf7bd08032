"""Images as they stand: galleries, definitions, versions, their copies in regions, and their flaws."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from simulator import ids
from simulator.operations import Operation


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with an image: how the machines made from it behave. The default is a good image.

    `degrades_fraction` of the hosts turn unhealthy `degrades_after` their registration. `slow` multiplies every
    duration of a machine made from the image. `sign_ins_fail` is the share of sign-ins that do not get beyond the host.
    """

    never_boots: bool = False
    never_registers: bool = False
    unhealthy: bool = False
    smoke_test_fails: bool = False
    degrades_after: timedelta | None = None
    degrades_fraction: float = 1.0
    slow: float = 1.0
    sign_ins_fail: float = 0.0


GOOD = Flaws()


class Replication(StrEnum):
    """State of one region's copies, in ARM's words."""

    REPLICATING = "Replicating"
    COMPLETED = "Completed"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Takes:
    """How replication to a region goes: `duration` None means that it never ends; `fails` is Azure's explanation."""

    duration: timedelta | None
    fails: str | None = None


VMS_PER_REPLICA = 20
"""Machines that one copy of an image serves at its full pace when they are made at the same time (facts 2.3)."""


@dataclass(slots=True)
class Replica:
    """A version's copies in one region: `count` are asked for, `arrived` are there, of those that are complete."""

    region: str
    count: int = 1
    storage: str = "Standard_LRS"
    exclude_from_latest: bool = False
    state: Replication = Replication.REPLICATING
    details: str = ""
    started_at: datetime | None = None
    ends_at: datetime | None = None
    arrived: int = 0

    def progress(self, now: datetime) -> int:
        """Percent copied so far."""
        if self.state is Replication.COMPLETED:
            return 100
        if self.started_at is None or self.ends_at is None or self.ends_at <= self.started_at:
            return 0
        return max(0, min(99, int(100 * ((now - self.started_at) / (self.ends_at - self.started_at)))))


@dataclass(slots=True, eq=False)
class ImageVersion:
    """One published version of an image definition."""

    id: str
    name: str
    definition: ImageDefinition
    location: str
    replicas: dict[str, Replica]
    published_at: datetime
    flaws: Flaws = GOOD
    exclude_from_latest: bool = False
    end_of_life: datetime | None = None
    block_deletion_before_end_of_life: bool = False
    allow_deletion_of_replicated_locations: bool = True
    replica_count: int = 1
    storage: str = "Standard_LRS"
    source_id: str = ""
    provisioning_state: str = "Creating"
    tags: dict[str, str] = field(default_factory=dict)
    operation: Operation | None = None
    is_everywhere: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """Major, minor, patch: the order of versions."""
        return tuple(int(number) for number in self.name.split("."))

    @property
    def aggregated_state(self) -> str:
        """InProgress, Completed or Failed over all regions. Further copies of what is complete are work in progress.

        That is a guess, as is that the region's own state stays Completed meanwhile: neither is documented.
        """
        states = [replica.state for replica in self.replicas.values()]
        more_to_come = any(
            replica.state is Replication.COMPLETED and replica.arrived < replica.count
            for replica in self.replicas.values()
        )
        if Replication.REPLICATING in states or more_to_come:
            return "InProgress"
        return "Failed" if Replication.FAILED in states else "Completed"

    def usable_in(self, region: str) -> bool:
        """Whether a machine can be made from it there: the region's own replica counts, not the aggregate."""
        if self.is_everywhere:
            return True
        replica = self.replicas.get(ids.normalise_region(region))
        return replica is not None and replica.state is Replication.COMPLETED

    def carries(self, region: str) -> int:
        """How many machines can be made at once there at full pace; Azure sees to its own marketplace."""
        if self.is_everywhere:
            return sys.maxsize
        replica = self.replicas.get(ids.normalise_region(region))
        return VMS_PER_REPLICA * (replica.arrived if replica is not None else 0)


@dataclass(slots=True, eq=False)
class SoftDeleted:
    """A version that was deleted from a gallery with soft delete, and until when it can be restored."""

    version: ImageVersion
    at: datetime
    gone_at: datetime


@dataclass(slots=True, eq=False)
class ImageDefinition:
    """An entry of a gallery that versions are published under."""

    id: str
    name: str
    gallery: Gallery
    location: str
    publisher: str
    offer: str
    sku: str
    generation: str = "V2"
    security: str = "TrustedLaunchSupported"
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, ImageVersion] = field(default_factory=dict)
    soft_deleted: dict[str, SoftDeleted] = field(default_factory=dict)

    def latest(self, region: str) -> ImageVersion | None:
        """What `latest` means in a region: the highest number that is not excluded there (not the newest date)."""
        wanted = ids.normalise_region(region)
        candidates = [
            version
            for version in self.versions.values()
            if not version.exclude_from_latest
            and version.usable_in(wanted)
            and not version.replicas[wanted].exclude_from_latest
        ]
        return max(candidates, key=lambda version: version.numbers, default=None)


@dataclass(slots=True, eq=False)
class Gallery:
    """A compute gallery. `soft_delete_days` 0 is no soft delete: what is deleted is gone."""

    id: str
    name: str
    group: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)
    soft_delete_days: int = 0
    images: dict[str, ImageDefinition] = field(default_factory=dict)
