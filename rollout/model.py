"""The nouns of a rollout as plain, frozen data: what Azure shows and what a rollout remembers.

Everything here travels as JSON (msgspec) between orchestrators and activities. Host names are lower case everywhere,
because Azure compares them without case; times are aware UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Generic, TypeVar

from msgspec import Struct

from rollout.commands import Command

JOIN_EXTENSION = "goldroll-join"
AGENT_EXTENSION = "goldroll-agent"
"""Names of the two VM extensions that make a VM a session host; SessionHost.extensions is keyed by them."""

ROLLOUT_TAG = "goldroll-rollout"
"""VM tag that names the rollout which drained or created the host. Only tagged hosts are ever given back."""

QUARANTINE_TAG = "goldroll-quarantined"
"""VM tag of a host that failed and is kept, drained, for investigation. Its value is the reason code."""


RETAINED_TAG = "goldroll-retained"
"""VM tag of an outdated host that is kept for a while for a quick way back: deallocated, drained, still registered. Its
value is the moment until which it is kept, as ISO 8601 in UTC."""


class Phase(StrEnum):
    """Where a rollout stands, of one host pool or as a whole. The last nine are final: nothing more happens."""

    SCHEDULED = "Scheduled"
    WAITING_REPLICATION = "WaitingReplication"
    WAITING_WINDOW = "WaitingWindow"
    WAITING_CAPACITY = "WaitingCapacity"
    WAITING_GATE = "WaitingGate"
    CANARY = "Canary"
    BAKING = "Baking"
    ROLLING = "Rolling"
    ROLLING_BACK = "RollingBack"
    PAUSED = "Paused"
    HALTED = "Halted"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    ROLLED_BACK = "RolledBack"
    SUCCEEDED = "Succeeded"
    SUCCEEDED_WITH_SKIPS = "SucceededWithSkips"
    REFUSED = "Refused"
    BLOCKED = "Blocked"
    FAILED = "Failed"


class Stage(StrEnum):
    """What a rollout is doing with one host that it has in hand."""

    RESTORING = "Restoring"
    PROVISIONING = "Provisioning"
    JOINING = "Joining"
    VERIFYING = "Verifying"
    STEERING = "Steering"
    DRAINING = "Draining"
    REMOVING = "Removing"
    DISCARDING = "Discarding"
    GIVING_BACK = "GivingBack"


# ------------------------------------------------------------------------------------------------ what Azure shows


class UserSession(Struct, frozen=True, omit_defaults=True):
    """One person's session on a session host. `state` is AVD's word; unknown words count as active.

    `began` is when the person signed in, None where AVD does not say.
    """

    id: str
    user: str
    state: str = "Active"
    began: datetime | None = None

    @property
    def is_disconnected(self) -> bool:
        """Nobody sits in front of it: AVD reports the session as disconnected."""
        return self.state == "Disconnected"


class HostShape(Struct, frozen=True, omit_defaults=True):
    """What a new VM inherits from the host that it replaces, where the policy does not say otherwise."""

    location: str = ""
    vm_size: str = ""
    os_disk_type: str = ""
    ephemeral_placement: str = ""
    security_type: str = ""
    secure_boot: bool = False
    vtpm: bool = False
    encryption_at_host: bool = False
    license_type: str = ""
    identity_type: str = ""
    user_identities: tuple[str, ...] = ()
    tags: dict[str, str] = {}


R = TypeVar("R")


class _WorkedOutOnce(Generic[R]):
    """A property that keeps its first value, like functools.cached_property, which takes a lock before Python 3.12.

    A turn asks three of them of each host of a pool: the locks alone were a tenth of its time.
    """

    def __init__(self, work_out: Callable[[SessionHost], R]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, host: SessionHost, owner: type) -> R:
        value: R = self._work_out(host)
        host.__dict__[self._name] = value
        return value


class SessionHost(Struct, frozen=True, omit_defaults=True, dict=True):
    """A session host as both of its resource providers show it: the AVD registration and the virtual machine.

    Either half may be missing: a VM that has not registered yet has an empty `registration`; a registration whose VM
    is gone has an empty `vm_id`. Words of Azure's enums are kept as they came, unknown ones included.
    """

    name: str
    vm_id: str = ""
    registration: str = ""
    image_version_id: str = ""
    zone: str = ""
    shape: HostShape = HostShape()
    tags: dict[str, str] = {}
    provisioning: str = ""
    provisioning_error: str = ""
    power: str = ""
    extensions: dict[str, str] = {}
    status: str = ""
    allows_new_sessions: bool = False
    last_heartbeat: datetime | None = None
    failed_checks: tuple[str, ...] = ()
    sessions: tuple[UserSession, ...] = ()
    session_count: int = 0
    assigned_user: str = ""

    @_WorkedOutOnce
    def load(self) -> int:
        """Sessions on the host: what was listed or what the host counts, whichever is more."""
        return max(self.session_count, len(self.sessions))

    @_WorkedOutOnce
    def at_work(self) -> int:
        """Sessions that somebody sits in front of, as far as is known."""
        return self.load - sum(session.is_disconnected for session in self.sessions)

    @_WorkedOutOnce
    def is_powered_off(self) -> bool:
        """The VM exists and is stopped or deallocated: nobody can be on it, and it serves nobody."""
        return bool(self.vm_id) and self.power in ("deallocated", "deallocating", "stopped", "stopping")

    @property
    def is_retained(self) -> bool:
        """It is kept, out of service, for a quick way back."""
        return RETAINED_TAG in self.tags

    @property
    def is_tagged(self) -> bool:
        """Some rollout has put its tag on the VM."""
        return ROLLOUT_TAG in self.tags

    def is_held_by(self, rollout_id: str) -> bool:
        """This rollout has put its tag on the VM."""
        return self.tags.get(ROLLOUT_TAG) == rollout_id


class ImageVersion(Struct, frozen=True, omit_defaults=True):
    """A gallery image version and its replicas by (normalised) region. Its verdict is among the tags: verdicts.py.

    `blocks_early_deletion`: Azure refuses to delete it before its end of life. `keeps_regions`: Azure refuses to take
    it out of a region that has it. A version of a marketplace image has no replicas, as it is everywhere, and nobody
    tells when it was published.
    """

    id: str
    location: str = ""
    provisioning: str = "Succeeded"
    exclude_from_latest: bool = False
    published_at: datetime | None = None
    regions: dict[str, RegionReplica] = {}
    tags: dict[str, str] = {}
    end_of_life: datetime | None = None
    blocks_early_deletion: bool = False
    keeps_regions: bool = False

    @property
    def has_arrived_somewhere(self) -> bool:
        """At least one region's copy is complete, so that VMs can be made from it there."""
        return any(replica.state.lower() == "completed" for replica in self.regions.values())


class RegionReplica(Struct, frozen=True, omit_defaults=True):
    """Replication of a version into one region. `state`: Completed, Replicating, Failed, Unknown, or a newer word."""

    state: str = "Unknown"
    progress: int = 0
    replicas: int = 1
    excluded: bool = False
    details: str = ""


class HostPool(Struct, frozen=True, omit_defaults=True):
    """A host pool's own properties, Azure's words kept."""

    id: str
    name: str
    location: str = ""
    pool_type: str = "Pooled"
    load_balancer: str = ""
    max_session_limit: int = 0
    management_type: str = ""


class ScalingPhase(Struct, frozen=True, omit_defaults=True):
    """A part of a scaling plan's day: RampUp, Peak, RampDown or OffPeak, from `begins_at` to the next one's.

    `minimum_percent` of the pool's hosts are kept running in it; hosts with the plan's exclusion tag count as well, and
    so do those in drain mode.
    """

    kind: str
    begins_at: datetime
    minimum_percent: int = 0


class ScalingPlan(Struct, frozen=True, omit_defaults=True):
    """The scaling plan of a host pool as it acts at the time of a snapshot.

    `phase` and `next_phase` are None when it is not enabled for the pool, has no schedule, or cannot be read.
    """

    name: str
    enabled: bool = False
    exclusion_tag: str = ""
    phase: ScalingPhase | None = None
    next_phase: ScalingPhase | None = None


class PoolSnapshot(Struct, frozen=True, omit_defaults=True):
    """A host pool as Azure showed it at `observed_at`.

    `hosts` holds every registered session host and every VM that a rollout of this pool has tagged, in name order.
    `names_in_use` holds the names of all VMs of the target resource group and all registrations: a new host takes none.
    `image` is the target version, None when Azure no longer has it. `scaling` is the pool's scaling plan, None when it
    has none or nobody could tell.
    """

    pool: HostPool
    observed_at: datetime
    hosts: tuple[SessionHost, ...] = ()
    names_in_use: tuple[str, ...] = ()
    image: ImageVersion | None = None
    scaling: ScalingPlan | None = None


# ----------------------------------------------------------------------------------------- what a rollout remembers


class SessionProgress(Struct, frozen=True, omit_defaults=True):
    """What has been said to one person on a draining host.

    `deadline` is when this session may be ended; `notices` counts the messages already sent (0: none yet);
    `disconnected_since` is when the session was first seen disconnected, as AVD does not report that moment.
    `sign_outs` counts how often it was signed out: a session that hangs is listed on and on. `spared` is who has been
    signed out by this rollout before, on another host: they are not signed out a second time.
    """

    deadline: datetime
    notices: int = 0
    disconnected_since: datetime | None = None
    sign_outs: int = 0
    spared: bool = False


class HostProgress(Struct, frozen=True, omit_defaults=True):
    """A host that the rollout has in hand, from the first step until it is in service or gone.

    `since` is when it was taken in hand, `entered` when its stage began where that is not the first one.
    `attempts` and `retry_at` belong to the step now due; both are cleared when the stage changes. For a host that is
    provisioned: `replaces` names the outdated host whose `shape` (an index into RolloutState.shapes), zone, power state
    and drain mode it takes over; `good_since` is when its proof began, or, after nobody had looked at the pool for
    long, `proven_from`; before its proof nobody looked for `overlooked` seconds. For a host that drains: `asked` tells
    that its people are asked to leave, `sessions` maps session ids to what each person was told.
    """

    stage: Stage
    since: datetime
    attempts: int = 0
    retry_at: datetime | None = None
    replaces: str = ""
    shape: int = 0
    zone: str = ""
    stays_off: bool = False
    stays_drained: bool = False
    good_since: datetime | None = None
    proven_from: datetime | None = None
    overlooked: int = 0
    asked: bool = False
    sessions: dict[str, SessionProgress] = {}
    reason: str = ""
    entered: datetime | None = None

    @property
    def vacancy(self) -> Vacancy:
        """What the host that takes this one's place must take over."""
        return Vacancy(
            replaces=self.replaces,
            shape=self.shape,
            zone=self.zone,
            stays_off=self.stays_off,
            stays_drained=self.stays_drained,
        )


class Vacancy(Struct, frozen=True, omit_defaults=True):
    """A host that is owed to the pool: the traits of one that is gone (or failed) and has no replacement yet."""

    replaces: str
    shape: int = 0
    zone: str = ""
    stays_off: bool = False
    stays_drained: bool = False


class Blocked(Struct, frozen=True, omit_defaults=True):
    """Why no new host can be provisioned now, and when to try again. `code` is Azure's error code."""

    code: str
    message: str
    since: datetime
    retry_at: datetime
    attempts: int = 1


class PoolCounts(Struct, frozen=True, omit_defaults=True):
    """A pool as a rollout saw it in its last turn: hosts in four parts, people, and session slots.

    Every host is in exactly one of `outdated` (nothing has been done with it), `in_hand` (it is being emptied, removed,
    made or verified; steered ones are among these), `current`, and `set_aside` (skipped or quarantined). Sessions on
    hosts of other versions are `people_on_outdated`; `people_told` of all have been asked to leave. `free` slots may be
    negative; `reserve` is what shall stay free.
    """

    outdated: int = 0
    in_hand: int = 0
    current: int = 0
    set_aside: int = 0
    people_on_outdated: int = 0
    people_on_current: int = 0
    people_told: int = 0
    free: int = 0
    reserve: int = 0


class RolloutState(Struct, frozen=True, omit_defaults=True):
    """All that a host pool's rollout remembers between turns; what is done is read from the pool instead.

    `desired` is the number of hosts that the pool shall have at the end (-1 until the first turn has counted them).
    `size` is how many it had when an earlier rollout began, where that is known and this one is to restore it.
    `previous` is the image version that most outdated hosts ran at the start: the one to go back to. A roll back has
    `instead_of`: only hosts of that version are outdated, and `target` is the version that they had before.
    `settled` is how many hosts the last turn had not in hand: so a host that somebody else removed or added is noticed.
    `zones` is how many hosts each zone had at the start. `owed` are hosts to provision before any other. `due` names
    outdated hosts that are switched off or drained by somebody else and whose replacement is in service. `quarantined`
    and `skipped` map hosts that were set aside to why, as `code_of` reads it. `sick` maps a
    host in service to the moment since which it has been unhealthy, `started_at` if it was so before. `unreadable`
    counts turns in a row in which the pool could not be read. `unmarked` counts failed attempts to mark a quarantined
    host. `last_number` is the highest number used in a name. `command` is what an operator has told it: pause or abort.
    `queued` is what it is to carry out once in this turn, and `carried_out` the number of the last such command.
    `given_back` tells when hosts were put back into service of late: a late list may still show one in drain mode.
    `signed_out` are the people who have been signed out, each
    as a short hash (see drain.mark_of). `counts` is what the last turn saw, for people to read. Steered hosts are not
    remembered: the tag on the VM and its drain mode say so. `replaced` are the VMs (names and resource ids) of which it
    was told that their replacement has begun, and not yet that it is over. `waves` maps hosts whose people were asked
    to leave to their wave, until all of it is over. `seen_at` is when the pool was read last, `idle` how many seconds
    the rollout has been at work since a host came further (see headway.py).
    """

    rollout_id: str
    pool_id: str
    target: str
    started_at: datetime
    phase: Phase = Phase.SCHEDULED
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    desired: int = -1
    size: int = 0
    previous: str = ""
    instead_of: str = ""
    settled: int = 0
    zones: dict[str, int] = {}
    owed: tuple[Vacancy, ...] = ()
    due: tuple[str, ...] = ()
    wave: int = 0
    canary: tuple[str, ...] = ()
    bake_until: datetime | None = None
    canary_passed: bool = False
    in_hand: dict[str, HostProgress] = {}
    quarantined: dict[str, str] = {}
    unmarked: dict[str, int] = {}
    skipped: dict[str, str] = {}
    sick: dict[str, datetime] = {}
    last_number: int = 0
    given_back: dict[str, datetime] = {}
    shapes: tuple[HostShape, ...] = ()
    blocked: Blocked | None = None
    superseded_by: str = ""
    command: Command | None = None
    queued: tuple[Command, ...] = ()
    carried_out: int = 0
    unreadable: int = 0
    seen_at: datetime | None = None
    idle: int = 0
    forced_sign_outs: int = 0
    disconnected_sign_outs: int = 0
    signed_out: tuple[str, ...] = ()
    counts: PoolCounts = PoolCounts()
    replaced: dict[str, str] = {}
    waves: dict[str, int] = {}

    @property
    def is_paused(self) -> bool:
        """An operator has told it to stand still."""
        return self.command is not None and self.command.kind == "pause"

    @property
    def ends_early(self) -> bool:
        """A newer version takes over, or an operator has aborted it or rolls it back."""
        return bool(self.superseded_by) or (self.command is not None and self.command.ends_it)


def code_of(why: str) -> str:
    """The reason code of a host that was set aside: who told the rollout to skip it, and why, may follow it."""
    return why.partition(":")[0]


_VERSION_ID = re.compile(
    r"^/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Compute"
    r"/galleries/(?P<gallery>[^/]+)/images/(?P<image>[^/]+)(?:/versions/(?P<version>[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}))?\Z",
    re.IGNORECASE,
)


_URN = re.compile(
    r"^(?P<definition>[^/:\s]+:[^/:\s]+:[^/:\s]+)(?::(?P<version>[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}))?\Z"
)
"""How Azure's tools write a marketplace image: publisher:offer:sku:version. It stands for the image's id here."""


def is_marketplace(version_id: str) -> bool:
    """The id is the URN of a marketplace image or of one of its versions."""
    return _URN.match(version_id) is not None


def definition_of(version_id: str) -> str:
    """What a version is a version of, lower case: the gallery image definition's id, or publisher:offer:sku.

    `version_id` is the id of a version or of a definition; "" when it is neither.
    """
    if (urn := _URN.match(version_id)) is not None:
        return urn["definition"].lower()
    match = _VERSION_ID.match(version_id)
    if match is None:
        return ""
    version = match["version"]
    definition = version_id if version is None else version_id[: -len(f"/versions/{version}")]
    return definition.lower()


def version_of(definition: str, number: str) -> str:
    """The id of a version by its number, of a gallery image definition's id or of publisher:offer:sku."""
    return f"{definition}:{number}" if is_marketplace(definition) else f"{definition}/versions/{number}"


def version_number(version_id: str) -> tuple[int, int, int] | None:
    """Major, minor and patch of a version id, None when the id names no version."""
    match = _URN.match(version_id) or _VERSION_ID.match(version_id)
    if match is None or match["version"] is None:
        return None
    major, minor, patch = (int(part) for part in match["version"].split("."))
    return major, minor, patch


def short_version(version_id: str) -> str:
    """The version as people say it ("2026.11.20"), or the whole id when it names no version."""
    number = version_number(version_id)
    return version_id if number is None else ".".join(str(part) for part in number)


def is_outdated(host: SessionHost, target: str, instead_of: str = "") -> bool:
    """The host must be replaced to be on `target`, or, in a roll back, because it runs the version `instead_of`.

    A host of the same image definition with a *higher* version is not outdated: a rollout never goes back to an older
    version by itself. A host whose image cannot be read, or of another definition, is outdated.
    """
    if instead_of:
        return host.image_version_id.lower() == instead_of.lower()
    return _is_older(host.image_version_id, target)


@lru_cache(maxsize=4096)
def _is_older(version_id: str, target: str) -> bool:
    # Asked many times for each host in a turn, of a handful of versions: reading them anew was two thirds of a turn.
    if version_id.lower() == target.lower():
        return False
    if definition_of(version_id) != definition_of(target):
        return True
    have, want = version_number(version_id), version_number(target)
    return have is None or want is None or have < want


def count_of(count: int, thing: str) -> str:
    """A count as people write it: "1 host", "3 hosts"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def normalise_region(region: str) -> str:
    """Azure's programmatic region name ("West Europe" -> "westeurope")."""
    return region.lower().replace(" ", "")
