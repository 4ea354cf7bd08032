"""Host pools and their registration tokens, and what a pool knows of its session hosts and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from simulator import ids
from simulator.errors import AzureError, desktop_error, group_not_found, not_found
from simulator.journal import Kind
from simulator.machines import Machine
from simulator.scaling_plans import ScalingPlan
from simulator.world import World, guid, public

POOL = "Microsoft.DesktopVirtualization/hostPools"
DEFAULT_LIMIT = 999_999
_TOKEN_AT_LEAST = timedelta(hours=1)
_TOKEN_AT_MOST = timedelta(days=30)


class PoolType(StrEnum):
    """Host pool types, in ARM's words."""

    POOLED = "Pooled"
    PERSONAL = "Personal"
    BYO_DESKTOP = "BYODesktop"


class LoadBalancing(StrEnum):
    """How new sessions are spread, in ARM's words."""

    BREADTH_FIRST = "BreadthFirst"
    DEPTH_FIRST = "DepthFirst"
    PERSISTENT = "Persistent"


class SessionState(StrEnum):
    """The session states people can be in, in ARM's words."""

    ACTIVE = "Active"
    DISCONNECTED = "Disconnected"


BROKERED = frozenset({"Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"})
"""Statuses of hosts that the broker sends new sessions to (facts 3.3)."""


@dataclass(slots=True, eq=False)
class Session:
    """A person's session on a host."""

    number: int
    person: str
    host: SessionHost
    created_at: datetime
    state: SessionState = SessionState.ACTIVE
    state_since: datetime | None = None
    messages: list[tuple[datetime, str, str]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class SessionHost:
    """A session host record. `machine` is None once the machine behind it is gone."""

    id: str
    name: str
    pool: HostPool
    machine: Machine | None
    vm_id: str
    machine_id: str
    object_id: str
    registered_at: datetime
    allow_new_session: bool = True
    drained_by: str = ""
    status: str = "Unavailable"
    status_since: datetime | None = None
    served: bool = False
    failed_checks: dict[str, str] = field(default_factory=dict)
    heartbeat_stopped_at: datetime | None = None
    sessions: dict[int, Session] = field(default_factory=dict)
    next_number: int = 2
    assigned_user: str = ""
    friendly_name: str = ""
    agent_version: str = "1.0.9103.3700"
    update_state: str = "Initial"
    absence: int = 0
    counted_slots: int = 0
    counted_load: int = -1

    @property
    def label(self) -> str:
        """`pool/host`: the name Azure gives the record."""
        return f"{self.pool.name}/{self.name}"

    @property
    def connectable(self) -> bool:
        """Whether a person could work on it at all: the machine runs and the broker trusts its status.

        A host that has never been Available is still updating its agent for the first time: it is not trusted yet.
        """
        running = self.machine is not None and self.machine.running
        return running and self.status in BROKERED and (self.served or self.status == "Available")

    @property
    def accepting(self) -> bool:
        """Whether the broker may place a new session on it, leaving aside whether a slot is free."""
        return self.allow_new_session and self.connectable

    def last_heartbeat(self, now: datetime) -> datetime:
        """When the agent last reported; it does so every 30 s while it is alive."""
        if self.heartbeat_stopped_at is not None:
            return self.heartbeat_stopped_at
        since = (now - self.registered_at).total_seconds() % 30
        return now - timedelta(seconds=since)


@dataclass(slots=True, eq=False)
class HostPool:
    """A host pool, with running counts that make placing a session and watching free slots cheap."""

    id: str
    name: str
    subscription: str
    group: str
    location: str
    object_id: str
    type: PoolType = PoolType.POOLED
    load_balancing: LoadBalancing = LoadBalancing.BREADTH_FIRST
    max_session_limit: int = DEFAULT_LIMIT
    management_type: str = "Standard"
    start_vm_on_connect: bool = False
    validation_environment: bool = False
    disconnected_limit: timedelta | None = None
    tags: dict[str, str] = field(default_factory=dict)
    vm_template: str = ""
    friendly_name: str = ""
    description: str = ""
    custom_rdp_property: str = ""
    token: str = ""
    token_expires_at: datetime | None = None
    deleted: bool = False
    hosts: dict[str, SessionHost] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    free_slots: int = 0
    min_free_slots: int | None = None
    min_free_slots_at: datetime | None = None
    by_load: dict[int, dict[SessionHost, None]] = field(default_factory=dict)

    @property
    def slots_per_host(self) -> int:
        """Sessions a host may carry: the pool's limit, or one on a personal host."""
        return 1 if self.type is PoolType.PERSONAL else self.max_session_limit

    def recount(self, host: SessionHost, world: World) -> None:
        """Bring the running counts up to date after `host`, its machine or its sessions have changed."""
        load = len(host.sessions)
        free = max(0, self.slots_per_host - load) if host.accepting and not host.assigned_user else 0
        place = load if free else -1
        if place != host.counted_load:
            self._move(host, place)
        if free != host.counted_slots:
            self.free_slots += free - host.counted_slots
            host.counted_slots = free
            if self.min_free_slots is None or self.free_slots < self.min_free_slots:
                self.min_free_slots, self.min_free_slots_at = self.free_slots, world.time
                world.ledger.note_free_slots(self.free_slots, world.time)

    def roomiest_or_fullest(self) -> SessionHost | None:
        """The host the load balancing rule picks for a new session, or None when no slot is free."""
        if not self.by_load:
            return None
        depth_first = self.load_balancing is LoadBalancing.DEPTH_FIRST
        load = max(self.by_load) if depth_first else min(self.by_load)
        return next(iter(self.by_load[load]))

    def forget(self, host: SessionHost, world: World) -> None:
        """Take a host out of the pool and of its counts."""
        self.hosts.pop(host.name.lower(), None)
        host.allow_new_session = False
        self.recount(host, world)

    def _move(self, host: SessionHost, place: int) -> None:
        if host.counted_load >= 0:
            bucket = self.by_load[host.counted_load]
            del bucket[host]
            if not bucket:
                del self.by_load[host.counted_load]
        if place >= 0:
            self.by_load.setdefault(place, {})[host] = None
        host.counted_load = place


class HostPools:
    """Every host pool and scaling plan of the estate.

    A registration token stays valid until it expires or is deleted, also when a newer one has been made (an assumption:
    what Azure does with the older one is not documented).
    """

    def __init__(self, world: World, groups: set[str]) -> None:
        self.world = world
        self._groups = groups
        self._rng = world.stream("host pools")
        self._pools: dict[str, HostPool] = {}
        self._tokens: dict[str, tuple[str, datetime]] = {}
        self._plans: dict[str, ScalingPlan] = {}

    @public
    def create(
        self,
        pool_id: str,
        location: str,
        *,
        pool_type: PoolType = PoolType.POOLED,
        load_balancing: LoadBalancing = LoadBalancing.BREADTH_FIRST,
        max_session_limit: int = DEFAULT_LIMIT,
        management_type: str = "Standard",
        start_vm_on_connect: bool = False,
        disconnected_limit: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> HostPool:
        """Create a host pool; one with this id must not exist."""
        parts = ids.parse(pool_id)
        if f"{parts.subscription}/{parts.group}".lower() not in self._groups:
            raise group_not_found(parts.group)
        if pool_id.lower() in self._pools:
            raise ValueError(f"{pool_id} exists")
        pool = HostPool(
            str(parts),
            parts.name,
            parts.subscription,
            parts.group,
            ids.normalise_region(location),
            guid(self._rng),
            pool_type,
            load_balancing,
            max_session_limit,
            management_type,
            start_vm_on_connect,
            disconnected_limit=disconnected_limit,
            tags=dict(tags or {}),
        )
        self._pools[pool_id.lower()] = pool
        self.world.record(Kind.POOL_CREATED, pool.id)
        return pool

    @public
    def delete(self, pool_id: str, *, force: bool = False) -> bool:
        """Delete a pool; False when there is none. With session hosts in it only with `force`."""
        pool = self._pools.get(pool_id.lower())
        if pool is None:
            return False
        if pool.hosts and not force:
            raise desktop_error(
                400,
                guid(self._rng),
                f"The SessionHostPool {pool.name} could not be deleted because it still has SessionHosts.",
            )
        del self._pools[pool_id.lower()]
        pool.deleted = True
        for token in [token for token, (owner, _) in self._tokens.items() if owner == pool_id.lower()]:
            del self._tokens[token]
        for host in list(pool.hosts.values()):
            pool.forget(host, self.world)
        self.world.record(Kind.POOL_DELETED, pool.id)
        return True

    @public
    def get(self, pool_id: str) -> HostPool:
        """The pool with this id, or a 404."""
        pool = self._pools.get(pool_id.lower())
        if pool is None:
            parts = ids.parse(pool_id)
            raise not_found(POOL, parts.names[0], parts.group)
        return pool

    @public
    def all(self) -> list[HostPool]:
        """All pools in the order of their creation."""
        return list(self._pools.values())

    @public
    def issue_token(self, pool_id: str, expires_at: datetime) -> str:
        """Make a registration token that is good until `expires_at`, one hour to 30 days from now (facts 3.2)."""
        pool = self.get(pool_id)
        now = self.world.time
        if not now + _TOKEN_AT_LEAST <= expires_at <= now + _TOKEN_AT_MOST:
            raise desktop_error(
                400, guid(self._rng), "ExpirationTime value must be between one hour and 30 days from now"
            )
        pool.token = f"eyJhbGciOiJSUzI1NiJ9.{guid(self._rng)}.{guid(self._rng)}".replace("-", "")
        pool.token_expires_at = expires_at
        self._tokens[pool.token] = (pool_id.lower(), expires_at)
        self.world.record(Kind.TOKEN_ISSUED, pool.id, expires_at.isoformat())
        return pool.token

    @public
    def delete_token(self, pool_id: str) -> None:
        """Make every token of the pool worthless."""
        pool = self.get(pool_id)
        pool.token, pool.token_expires_at = "", None
        for token in [token for token, (owner, _) in self._tokens.items() if owner == pool_id.lower()]:
            del self._tokens[token]

    def admitted_by(self, token: str) -> HostPool | None:
        """The pool an agent with this token may join now; None when the token is unknown, expired or deleted."""
        owner, expires_at = self._tokens.get(token, ("", self.world.time))
        return self._pools.get(owner) if expires_at > self.world.time else None

    @public
    def add_scaling_plan(self, plan_id: str, location: str, exclusion_tag: str, pools: list[str]) -> ScalingPlan:
        """Create a scaling plan that looks after the pools with these ids; Autoscale.follow makes it act."""
        parts = ids.parse(plan_id)
        plan = ScalingPlan(
            str(parts),
            parts.name,
            parts.subscription,
            parts.group,
            ids.normalise_region(location),
            exclusion_tag,
            pools,
        )
        self._plans[plan_id.lower()] = plan
        return plan

    @public
    def scaling_plans(self, pool_id: str | None = None) -> list[ScalingPlan]:
        """All scaling plans, or those that look after one pool."""
        if pool_id is None:
            return list(self._plans.values())
        return [plan for plan in self._plans.values() if pool_id.lower() in {one.lower() for one in plan.pools}]

    @public
    def set_limit(self, pool_id: str, max_session_limit: int) -> None:
        """Change how many sessions a host may carry."""
        pool = self.get(pool_id)
        if max_session_limit < 1:
            raise AzureError(400, "400", "MaxSessionLimit must be at least 1.")
        pool.max_session_limit = max_session_limit
        for host in pool.hosts.values():
            pool.recount(host, self.world)
