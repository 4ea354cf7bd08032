"""What a rollout sees of its host pool in the estate: the picture that the app's pool reader takes, wire left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from tzlocal.windows_tz import win_tz

from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    HostPool,
    HostShape,
    ImageVersion,
    PoolSnapshot,
    RegionReplica,
    ScalingPlan,
    SessionHost,
    UserSession,
    is_marketplace,
)
from rollout.scaling import ScalingSchedule, scaling_plan
from simulator import ids
from simulator.errors import AzureError, ConnectionLost
from simulator.estate import Estate
from simulator.faults import Faults
from simulator.host_pools import Session
from simulator.machines import Machine
from simulator.session_hosts import FATAL_CHECKS

OWN_TAG_VALUE = "goldroll"
"""Value of the exclusion tag where a rollout has set it; with another value it is somebody else's."""

READ_KEPT, SESSIONS_KEPT, HEARD_OF = timedelta(minutes=15), timedelta(minutes=5), timedelta(minutes=3)
"""How long the app takes a pool, an image and sessions from memory, and a heartbeat for a sign that the VM runs."""

R = TypeVar("R")


class _Registration(NamedTuple):
    """A session host record as a list shows it."""

    name: str
    id: str
    machine_id: str
    status: str
    allows_new_sessions: bool
    last_heartbeat: Any
    failed_checks: tuple[str, ...]
    session_count: int
    assigned_user: str


class _Vm(NamedTuple):
    """A virtual machine as a list shows it."""

    name: str
    id: str
    image_id: str
    zone: str
    shape: HostShape
    tags: dict[str, str]
    provisioning: str


class _View(NamedTuple):
    """What only a machine's instance view shows."""

    error: str
    extensions: dict[str, str]


_NO_VIEW = _View("", {})
_AT_WORK = _View("", dict.fromkeys((JOIN_EXTENSION, AGENT_EXTENSION), "Updating"))
"""What need not be read: Azure is at work on one of the machine's extensions, and starts no other one meanwhile."""


def _session(one: Session) -> UserSession:
    return UserSession(str(one.number), one.person, one.state.value, one.created_at)


class PoolReader:
    """Takes pictures of one host pool. Every read passes the fault sites, lists also the one for stale answers.

    `faults` stands in for the estate's own: an onlooker with none sees the pool as it is, and uses up nobody's faults.
    """

    def __init__(
        self,
        estate: Estate,
        pool_id: str,
        rollout_id: str,
        target: str,
        exclusion_tag: str,
        *,
        faults: Faults | None = None,
    ) -> None:
        self.estate = estate
        self._faults = faults or estate.faults
        self.pool_id = pool_id
        self.rollout_id = rollout_id
        self.target = target
        self.exclusion_tag = exclusion_tag
        parts = ids.parse(pool_id)
        self.subscription = parts.subscription
        self.group = parts.group
        self._machines_path = (
            f"/subscriptions/{parts.subscription}/resourceGroups/{parts.group}/providers/{ids.COMPUTE}/virtualMachines"
        )
        self._shapes: dict[tuple[object, ...], HostShape] = {}
        self._kept: dict[str, tuple[datetime, Any]] = {}

    def observe(self, in_hand: Collection[str], *, fresh_sessions: bool = True) -> PoolSnapshot:
        """The pool as its lists show it now; of the new hosts `in_hand` also what only their instance view tells.

        Without `fresh_sessions` the sessions are those of minutes ago. Raises AzureError or ConnectionLost when a read
        fails.
        """
        estate = self.estate
        now = estate.now()
        pool = self._keep(self.pool_id, now, READ_KEPT, lambda: self._call("GET", self.pool_id, self._read_pool))
        registrations = self._call("LIST", f"{self.pool_id}/sessionHosts", self._list_registrations)
        path = f"{self.pool_id}/userSessions"
        kept = timedelta(0) if fresh_sessions else SESSIONS_KEPT
        sessions = self._keep(path, now, kept, lambda: self._call("LIST", path, self._list_sessions))
        machines = self._call("LIST", self._machines_path, self._list_machines)
        power = self._read_power(registrations, now)
        image = self._keep(self.target, now, READ_KEPT, self._read_image)
        hosts = [
            self._host(registration, machines.get(registration.machine_id.lower()), sessions, power, in_hand)
            for registration in registrations
        ]
        known = {registration.machine_id.lower() for registration in registrations}
        hosts += [
            self._host(None, vm, sessions, power, in_hand)
            for key, vm in machines.items()
            if key not in known and vm.tags.get(ROLLOUT_TAG) == self.rollout_id
        ]
        hosts.sort(key=lambda host: host.name)
        return PoolSnapshot(
            pool=pool,
            observed_at=now,
            hosts=tuple(hosts),
            names_in_use=tuple(sorted({vm.name for vm in machines.values()} | {host.name for host in hosts})),
            image=image,
            scaling=self._read_scaling(now),
        )

    def refresh(self) -> None:
        """Somebody reads the lists meanwhile, so that a stale one is never older than minutes."""
        for _ in range(3):
            try:
                self.observe(())
            except (AzureError, ConnectionLost):
                continue
            return

    def _keep(self, key: str, now: datetime, how_long: timedelta, read: Callable[[], R]) -> R:
        read_at, found = self._kept.get(key, (now, None))
        if found is None or now >= read_at + how_long:
            found = read()
            self._kept[key] = (now, found)
        return found  # type: ignore[no-any-return]

    def _read_pool(self) -> HostPool:
        pool = self.estate.pools.get(self.pool_id)
        return HostPool(
            id=pool.id,
            name=pool.name,
            location=pool.location,
            pool_type=pool.type.value,
            load_balancer=pool.load_balancing.value,
            max_session_limit=pool.max_session_limit,
            management_type=pool.management_type,
        )

    def _read_power(self, registrations: Collection[_Registration], now: datetime) -> dict[str, str]:
        heard_of = {
            one.machine_id.lower(): "running"
            for one in registrations
            if one.status in ("Available", "NeedsAssistance") and now - one.last_heartbeat <= HEARD_OF
        }
        if len(heard_of) == len(registrations):
            return heard_of
        return self._call("LIST", f"{self._machines_path}?statusOnly=true", self._list_power)

    def _list_registrations(self) -> tuple[_Registration, ...]:
        now = self.estate.world.time
        return tuple(
            _Registration(
                host.name.split(".")[0].lower(),
                host.id,
                host.machine_id,
                host.status,
                host.allow_new_session,
                host.last_heartbeat(now),
                tuple(check for check in FATAL_CHECKS if check in host.failed_checks) if host.failed_checks else (),
                len(host.sessions),
                host.assigned_user,
            )
            for host in self.estate.hosts.list(self.pool_id)
        )

    def _list_sessions(self) -> dict[str, tuple[UserSession, ...]]:
        found: dict[str, list[UserSession]] = {}
        for one in self.estate.sessions.list(self.pool_id):
            found.setdefault(one.host.id, []).append(_session(one))
        return {host: tuple(sessions) for host, sessions in found.items()}

    def _list_machines(self) -> dict[str, _Vm]:
        return {
            machine.id.lower(): _Vm(
                machine.name.lower(),
                machine.id,
                machine.image_id,
                machine.spec.zone,
                self._shape(machine),
                dict(machine.tags),
                machine.provisioning_state,
            )
            for machine in self.estate.machines.in_group(self.subscription, self.group)
        }

    def _list_power(self) -> dict[str, str]:
        machines = self.estate.machines.in_group(self.subscription, self.group)
        return {machine.id.lower(): machine.power.value for machine in machines if machine.power is not None}

    def _read_view(self, machine_id: str) -> _View:
        machine = self.estate.machines.find(machine_id)
        if machine is None:
            return _NO_VIEW
        extensions = {one.name.lower(): one.provisioning_state for one in machine.extensions.values()}
        return _View(machine.error.code if machine.error else "", extensions)

    def _read_image(self) -> ImageVersion | None:
        if is_marketplace(self.target):
            return ImageVersion(self.target)
        try:
            version = self._call("GET", self.target, lambda: self.estate.galleries.version(self.target))
        except AzureError as error:
            if error.status == 404:
                return None
            raise
        return ImageVersion(
            id=version.id,
            location=version.location,
            provisioning=version.provisioning_state,
            exclude_from_latest=version.exclude_from_latest,
            published_at=version.published_at,
            regions={
                region: RegionReplica(state=replica.state.value, replicas=replica.count)
                for region, replica in version.replicas.items()
            },
        )

    def _read_scaling(self, now: datetime) -> ScalingPlan | None:
        """The pool's plan. No fault strikes here: the app reads it twice an hour and goes on without when it cannot."""
        for plan in self.estate.pools.scaling_plans(self.pool_id):
            return scaling_plan(
                plan.name,
                enabled=plan.enabled,
                exclusion_tag=plan.exclusion_tag,
                zone=win_tz[plan.time_zone],
                schedules=[
                    ScalingSchedule(
                        one.days,
                        one.ramp_up,
                        one.peak,
                        one.ramp_down,
                        one.off_peak,
                        one.ramp_up_minimum,
                        one.ramp_down_minimum,
                    )
                    for one in plan.schedules
                ],
                now=now,
            )
        return None

    def _host(
        self,
        registration: _Registration | None,
        vm: _Vm | None,
        sessions: Mapping[str, tuple[UserSession, ...]],
        power: Mapping[str, str],
        in_hand: Collection[str],
    ) -> SessionHost:
        name = registration.name if registration else vm.name if vm else ""
        view = _NO_VIEW
        if vm is not None and vm.provisioning == "Updating":
            view = _AT_WORK
        elif vm is not None and name in in_hand and vm.provisioning != "Creating":
            path = f"{vm.id}/instanceView"
            view = self._call("GET", path, lambda: self._read_view(vm.id))
        of_vm: dict[str, Any] = {}
        if vm is not None:
            of_vm = {
                "vm_id": vm.id,
                "image_version_id": vm.image_id,
                "zone": vm.zone,
                "shape": vm.shape,
                "tags": vm.tags,
                "provisioning": vm.provisioning,
                "provisioning_error": view.error,
                "power": power.get(vm.id.lower(), ""),
                "extensions": view.extensions,
            }
        if registration is None:
            return SessionHost(name=name, **of_vm)
        return SessionHost(
            name=name,
            registration=registration.id,
            status=registration.status,
            allows_new_sessions=registration.allows_new_sessions,
            last_heartbeat=registration.last_heartbeat,
            failed_checks=registration.failed_checks,
            sessions=sessions.get(registration.id, ()),
            session_count=registration.session_count,
            assigned_user=registration.assigned_user,
            **of_vm,
        )

    def _shape(self, machine: Machine) -> HostShape:
        inherited = {name: value for name, value in machine.tags.items() if not self._is_ours(name, value)}
        key = (machine.region, machine.spec.size, *inherited.items())
        shape = self._shapes.get(key)
        if shape is None:
            shape = HostShape(location=machine.region, vm_size=machine.spec.size, tags=inherited)
            self._shapes[key] = shape
        return shape

    def _is_ours(self, tag: str, value: str) -> bool:
        """Tags that a rollout sets and removes; an exclusion tag with another value belongs to somebody else."""
        excluded = tag == self.exclusion_tag and value == OWN_TAG_VALUE
        return excluded or tag in (ROLLOUT_TAG, QUARANTINE_TAG, RETAINED_TAG)

    def _call(self, method: str, path: str, act: Callable[[], R]) -> R:
        return self._faults.call(method, path, act)
