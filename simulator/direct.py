"""The rollout's eyes and hands in the estate without ARM in between: for runs by the thousand.

Does what the app's adapters do (see the docstrings of rollout/steps.py), as plain calls, so that only the wire is left
out. Every request passes the fault sites that the ARM layer passes, under the same kind of path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    ROLLOUT_TAG,
    HostPool,
    HostShape,
    ImageVersion,
    PoolSnapshot,
    RegionReplica,
    SessionHost,
    UserSession,
)
from rollout.policy import PoolPolicy
from rollout.steps import (
    InstallAgent,
    JoinHost,
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)
from simulator import ids
from simulator.errors import AzureError, ConnectionLost
from simulator.estate import Estate
from simulator.extensions import ExtensionSpec, agent, entra_join
from simulator.machines import Machine, MachineSpec
from simulator.session_hosts import FATAL_CHECKS

ROLLOUT = "rollout"
"""Who the journal says did what a rollout did."""

_TOKEN_LIFE = timedelta(hours=2)
_IN_USE = StepError("HostInUse", "somebody is on the host, or it accepts sign-ins")

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


class DirectAzure:
    """One host pool as one rollout sees it and acts on it.

    `observe` raises AzureError or ConnectionLost when a read fails. `execute` never raises for what Azure answers.
    """

    def __init__(self, estate: Estate, pool_id: str, rollout_id: str, target: str, policy: PoolPolicy) -> None:
        self.estate = estate
        self.pool_id = pool_id
        self.rollout_id = rollout_id
        self.target = target
        self.policy = policy
        parts = ids.parse(pool_id)
        self.subscription = parts.subscription
        self.group = parts.group
        self.pool_name = parts.name
        self._machines_path = (
            f"/subscriptions/{parts.subscription}/resourceGroups/{parts.group}/providers/{ids.COMPUTE}/virtualMachines"
        )
        self._shapes: dict[tuple[object, ...], HostShape] = {}
        self._verbs: dict[type, Callable[[Any], StepError | None]] = {
            ProvisionHost: self._provision,
            JoinHost: self._join,
            InstallAgent: self._install_agent,
            StartDraining: self._start_draining,
            StopDraining: self._stop_draining,
            ReleaseHost: self._release,
            NotifySessions: self._notify,
            SignOutSessions: self._sign_out,
            RemoveHost: self._remove,
            QuarantineHost: self._quarantine,
        }

    def execute(self, step: Step) -> StepOutcome:
        """Carry out one step as the rollout; a refusal or a broken connection becomes the outcome's error."""
        with self.estate.acting_as(ROLLOUT):
            try:
                return StepOutcome(step, self._verbs[type(step)](step))
            except (AzureError, ConnectionLost) as error:
                return StepOutcome(step, step_error(error))

    # ------------------------------------------------------------------------------------------------------- the eyes

    def refresh(self) -> None:
        """Somebody reads the lists meanwhile, so that a stale one is never older than minutes."""
        for _ in range(3):
            try:
                self.observe(())
            except (AzureError, ConnectionLost):
                continue
            return

    def observe(self, in_hand: Collection[str]) -> PoolSnapshot:
        """The pool as its lists show it now; of the new hosts `in_hand` also what only their instance view tells."""
        estate = self.estate
        now = estate.now()
        pool = self._call("GET", self.pool_id, lambda: estate.pools.get(self.pool_id))
        registrations = self._call("LIST", f"{self.pool_id}/sessionHosts", self._list_registrations)
        sessions = self._call("LIST", f"{self.pool_id}/userSessions", self._list_sessions)
        machines = self._call("LIST", self._machines_path, self._list_machines)
        power = self._call("LIST", f"{self._machines_path}?statusOnly=true", self._list_power)
        image = self._read_image()
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
            pool=HostPool(
                id=pool.id,
                name=pool.name,
                location=pool.location,
                pool_type=pool.type.value,
                load_balancer=pool.load_balancing.value,
                max_session_limit=pool.max_session_limit,
                management_type=pool.management_type,
            ),
            observed_at=now,
            hosts=tuple(hosts),
            names_in_use=tuple(sorted({vm.name for vm in machines.values()} | {host.name for host in hosts})),
            image=image,
        )

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
            found.setdefault(one.host.id, []).append(UserSession(str(one.number), one.person, one.state.value))
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
        if vm is not None and name in in_hand:
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
        excluded = tag == self.policy.scaling_exclusion_tag and value == self.rollout_id
        return excluded or tag in (ROLLOUT_TAG, QUARANTINE_TAG)

    # ------------------------------------------------------------------------------------------------------ the hands

    def _provision(self, step: ProvisionHost) -> StepError | None:
        template = self.policy.session_host
        spec = MachineSpec(
            location=step.shape.location,
            image_id=step.image_version_id,
            size=template.vm_size or step.shape.vm_size,
            zone=step.zone,
            tags={**step.shape.tags, **template.tags, **self._marks()},
            computer_name=step.host,
            interface_name=f"{step.host}-nic",
            disk_name=f"{step.host}-os",
        )
        machine_id = ids.machine_id(self.subscription, self.group, step.host)
        try:
            self._call("PUT", machine_id, lambda: self.estate.machines.put(machine_id, spec, only_if_absent=True))
        except AzureError as error:
            if error.status != 412:  # it exists already: an earlier answer was lost
                raise
        return None

    def _join(self, step: JoinHost) -> StepError | None:
        return self._put_extension(step.vm_id, JOIN_EXTENSION, entra_join())

    def _install_agent(self, step: InstallAgent) -> StepError | None:
        token = self._call(
            "POST",
            f"{self.pool_id}/retrieveRegistrationToken",
            lambda: self.estate.pools.issue_token(self.pool_id, self.estate.world.time + _TOKEN_LIFE),
        )
        return self._put_extension(step.vm_id, AGENT_EXTENSION, agent(self.pool_name, token))

    def _put_extension(self, machine_id: str, name: str, spec: ExtensionSpec) -> StepError | None:
        machine = self.estate.machines.get(machine_id)
        under_way = machine.extensions.get(name)
        if under_way is not None and under_way.provisioning_state in ("Creating", "Updating"):
            return None
        self._call("PUT", f"{machine_id}/extensions/{name}", lambda: self.estate.extensions.put(machine_id, name, spec))
        return None

    def _start_draining(self, step: StartDraining) -> StepError | None:
        self._retag(step.vm_id, self._marks(), ())
        if step.registration:
            self._set_drain_mode(step.registration, on=True)
        return None

    def _stop_draining(self, step: StopDraining) -> StepError | None:
        if step.registration:
            self._set_drain_mode(step.registration, on=False)
        self._retag(step.vm_id, {}, (ROLLOUT_TAG, QUARANTINE_TAG))
        return None

    def _release(self, step: ReleaseHost) -> StepError | None:
        self._retag(step.vm_id, {}, (ROLLOUT_TAG, QUARANTINE_TAG))
        if step.deallocate:
            self._call("POST", f"{step.vm_id}/deallocate", lambda: self.estate.machines.deallocate(step.vm_id))
        return None

    def _notify(self, step: NotifySessions) -> StepError | None:
        for session in step.sessions:
            self._on_session(
                step.registration,
                session,
                "POST",
                lambda pool, host, number: self.estate.sessions.send_message(pool, host, number, step.title, step.body),
            )
        return None

    def _sign_out(self, step: SignOutSessions) -> StepError | None:
        for session in step.sessions:
            self._on_session(step.registration, session, "DELETE", self.estate.sessions.sign_out)
        return None

    def _remove(self, step: RemoveHost) -> StepError | None:
        if step.registration:
            name = _host_name(step.registration)
            try:
                host = self._call("GET", step.registration, lambda: self.estate.hosts.get(self.pool_id, name))
                if host.allow_new_session or host.sessions:
                    return _IN_USE
                self._call("DELETE", step.registration, lambda: self.estate.hosts.delete(self.pool_id, name))
            except AzureError as error:
                if error.status != 404:
                    raise
        if step.vm_id:
            self._call("DELETE", step.vm_id, lambda: self.estate.machines.delete(step.vm_id))
        return None

    def _quarantine(self, step: QuarantineHost) -> StepError | None:
        if step.registration:
            self._set_drain_mode(step.registration, on=True)
        self._retag(step.vm_id, {QUARANTINE_TAG: step.code}, (ROLLOUT_TAG,))
        return None

    # ------------------------------------------------------------------------------------------------ what they share

    def _marks(self) -> dict[str, str]:
        marks = {ROLLOUT_TAG: self.rollout_id}
        if self.policy.scaling_exclusion_tag:
            marks[self.policy.scaling_exclusion_tag] = self.rollout_id
        return marks

    def _retag(self, machine_id: str, add: Mapping[str, str], remove: Collection[str]) -> None:
        """Read, merge and write the tags: a PATCH replaces the whole set."""
        machine = self._call("GET", machine_id, lambda: self.estate.machines.get(machine_id))
        exclusion = self.policy.scaling_exclusion_tag
        kept = {name: value for name, value in machine.tags.items() if name not in remove}
        if remove and kept.get(exclusion) == self.rollout_id:
            del kept[exclusion]
        wanted = {**kept, **{name: value for name, value in add.items() if name not in kept or name != exclusion}}
        if wanted != machine.tags:
            self._call("PATCH", machine_id, lambda: self.estate.machines.patch_tags(machine_id, wanted))

    def _set_drain_mode(self, registration: str, *, on: bool) -> None:
        name = _host_name(registration)
        self._call(
            "PATCH", registration, lambda: self.estate.hosts.update(self.pool_id, name, allow_new_session=not on)
        )

    def _on_session(self, registration: str, session: str, method: str, act: Callable[[str, str, int], object]) -> None:
        """Do something to one session; one that has ended needs nothing any more."""
        host = _host_name(registration)
        try:
            self._call(method, f"{registration}/userSessions/{session}", lambda: act(self.pool_id, host, int(session)))
        except AzureError as error:
            if error.status != 404:
                raise

    def _call(self, method: str, path: str, act: Callable[[], R]) -> R:
        return self.estate.faults.call(method, path, act)


def step_error(error: AzureError | ConnectionLost) -> StepError:
    """A failed request as the core sees it. What broke on the way may have taken effect and is worth another try."""
    if isinstance(error, ConnectionLost):
        return StepError("ConnectionLost", str(error))
    retriable = error.status in (408, 409, 412, 429) or error.status >= 500
    return StepError(error.code, error.message, retriable=retriable, retry_after=float(error.retry_after or 0))


def _host_name(registration: str) -> str:
    return registration.rsplit("/", 1)[1]
