"""Session hosts: how they register, report their health, fall silent, are drained and removed."""

from __future__ import annotations

from datetime import timedelta

from simulator.directory import Directory
from simulator.errors import AzureError, OperationFailure, desktop_error
from simulator.extensions import Extension
from simulator.host_pools import HostPool, HostPools, SessionHost
from simulator.journal import Kind
from simulator.machines import Machine, Machines, Power
from simulator.sessions import Sessions
from simulator.timings import draw
from simulator.world import World, guid, public

FATAL_CHECKS = ("DomainJoinedCheck", "DomainTrustCheck", "SxSStackListenerCheck")
CHECKS = (
    *FATAL_CHECKS,
    "FSLogixHealthCheck",
    "UrlsAccessibleCheck",
    "MonitoringAgentCheck",
    "DomainReachable",
    "WebRTCRedirectorCheck",
    "SupportedEncryptionCheck",
    "MetaDataServiceCheck",
    "AppAttachHealthCheck",
)
"""The health checks every host reports, the fatal ones first (facts 3.3)."""

_STATUS_OF_FAILED = {
    "DomainJoinedCheck": "NotJoinedToDomain",
    "DomainTrustCheck": "DomainTrustRelationshipLost",
    "SxSStackListenerCheck": "SxSStackListenerNotReady",
}


class SessionHosts:
    """The session hosts of every pool, kept in step with the machines behind them."""

    def __init__(
        self, world: World, machines: Machines, pools: HostPools, sessions: Sessions, directory: Directory
    ) -> None:
        self.world = world
        self._machines = machines
        self._pools = pools
        self._sessions = sessions
        self._directory = directory
        self._rng = world.stream("session hosts")
        self._by_machine: dict[Machine, SessionHost] = {}
        machines.power_listeners.append(self._power_changed)

    @public
    def list(self, pool_id: str) -> list[SessionHost]:
        """The hosts of a pool in the order of their registration."""
        return [*self._pools.get(pool_id).hosts.values()]

    @public
    def get(self, pool_id: str, name: str) -> SessionHost:
        """The host with this name, or Virtual Desktop's 404."""
        return self._get(pool_id, name)

    @public
    def of_machine(self, machine_id: str) -> SessionHost | None:
        """The host a machine has registered as, if it has."""
        machine = self._machines.find(machine_id)
        return self._by_machine.get(machine) if machine else None

    @public
    def update(
        self,
        pool_id: str,
        name: str,
        *,
        allow_new_session: bool | None = None,
        assigned_user: str | None = None,
        friendly_name: str | None = None,
        force: bool = False,
    ) -> SessionHost:
        """Change a host; drain mode is `allow_new_session` False. To unassign a person ("") takes `force`."""
        host = self._get(pool_id, name)
        if assigned_user is not None and assigned_user != host.assigned_user:
            if host.assigned_user and not force:
                raise desktop_error(
                    400, guid(self._rng), "The session host is assigned already. Use force to reassign it."
                )
            host.assigned_user = assigned_user
            self.world.record(Kind.HOST_ASSIGNED, host.label, assigned_user)
            host.pool.recount(host, self.world)
        if friendly_name is not None:
            host.friendly_name = friendly_name
        if allow_new_session is not None and allow_new_session != host.allow_new_session:
            host.allow_new_session = allow_new_session
            host.drained_by = "" if allow_new_session else self.world.actor
            host.pool.recount(host, self.world)
            self.world.record(Kind.HOST_UNDRAINED if allow_new_session else Kind.HOST_DRAINED, host.label)
        return host

    @public
    def delete(self, pool_id: str, name: str, *, force: bool = False) -> bool:
        """Remove the record of a host; False when there is none.

        With sessions on it that is a 400 without `force`; with it the sessions are lost to the pool and end. The
        machine stays, and its agent needs a new token to come back.
        """
        pool = self._pools.get(pool_id)
        host = pool.hosts.get(name.lower())
        if host is None:
            return False
        if host.sessions and not force:
            raise desktop_error(
                400,
                guid(self._rng),
                f"The SessionHost {host.name} could not be deleted because it still has UserSessions.",
            )
        self._sessions.cut(host)
        pool.forget(host, self.world)
        if host.machine is not None:
            host.machine.agent_pool = ""
            self._by_machine.pop(host.machine, None)
        self.world.record(Kind.HOST_REMOVED, host.label)
        return True

    @public
    def set_health(self, pool_id: str, name: str, check: str, failure: str | None) -> None:
        """Let a health check of a host fail with this message, or succeed again (None)."""
        self._set_check(self._get(pool_id, name), check, failure)

    def join_entra(self, machine: Machine, extension: Extension) -> OperationFailure | None:
        """What AADLoginForWindows does; it needs the machine's own identity."""
        if not machine.spec.identity:
            return OperationFailure(
                "VMExtensionProvisioningError",
                "VM has reported a failure when processing extension 'AADLoginForWindows'. Error message: \"AAD Join "
                "failed "
                'with status code: -2145648607."',
            )
        name = machine.spec.computer_name or machine.name
        refused = self._directory.join(name, machine.vm_id)
        if refused is None:
            self._joined(machine, name)
        return refused

    def join_domain(self, machine: Machine, extension: Extension) -> OperationFailure | None:
        """What JsonADDomainExtension does: the host's name is then fully qualified."""
        domain = str(extension.spec.settings.get("Name", ""))
        has_password = "Password" in extension.spec.protected or bool(extension.spec.key_vault.get("secretUrl"))
        if not domain or not has_password:
            return OperationFailure(
                "VMExtensionProvisioningError",
                "VM has reported a failure when processing extension 'JsonADDomainExtension'. Error message: "
                f"\"Exception(s) occurred while joining Domain '{domain}'\".",
            )
        self._joined(machine, f"{machine.spec.computer_name or machine.name}.{domain}")
        return None

    def install_agent(self, machine: Machine, extension: Extension) -> OperationFailure | None:
        """What the DSC extension does: check the registration token, install the agents, register once joined."""
        settings = extension.spec.settings.get("properties", {})
        token = extension.spec.protected.get("Items", {}).get(
            "RegistrationInfoToken", settings.get("registrationInfoToken", "")
        )
        pool = self._pools.admitted_by(token)
        wanted = settings.get("hostPoolName", "")
        if pool is None:
            return _agent_failure("RegistrationToken is not valid or has expired: INVALID_TOKEN")
        if wanted and wanted.lower() != pool.name.lower():
            return _agent_failure(f"the token was not issued by host pool '{wanted}'")
        machine.agent_pool = pool.id
        self._register_when_ready(machine)
        return None

    def place(self, machine: Machine, pool: HostPool, *, joined_as: str = "") -> SessionHost:
        """Make a machine a host that has been in service for long: for building estates."""
        machine.joined_as = joined_as or machine.spec.computer_name or machine.name
        if "." not in machine.joined_as:
            self._directory.join(machine.joined_as, machine.vm_id)
        machine.agent_pool = pool.id
        host = self._record(machine, pool)
        host.update_state, host.served = "Succeeded", True
        host.status = "Available" if machine.running else "Shutdown"
        host.heartbeat_stopped_at = None if machine.running else self.world.time - timedelta(hours=12)
        pool.recount(host, self.world)
        return host

    def _get(self, pool_id: str, name: str) -> SessionHost:
        host = self._pools.get(pool_id).hosts.get(name.lower())
        if host is None:
            raise desktop_error(404, guid(self._rng), f"SessionHost {name} does not exist in the HostPool.")
        return host

    def _joined(self, machine: Machine, name: str) -> None:
        machine.joined_as = name
        self._register_when_ready(machine)

    def _register_when_ready(self, machine: Machine) -> None:
        waiting = machine.joined_as and machine.agent_pool and self._registered(machine) is None
        if waiting and not machine.flaws.never_registers:
            seconds = draw(self._rng, self.world.timings.register, machine.flaws.slow)
            self.world.after(seconds, self._register, machine)

    def _registered(self, machine: Machine) -> SessionHost | None:
        host = self._by_machine.get(machine)
        return None if host is None or host.pool.deleted else host

    def _register(self, machine: Machine) -> None:
        try:
            pool = self._pools.get(machine.agent_pool) if machine.agent_pool else None
        except AzureError:
            pool = None
        if pool is None or not machine.running or self._registered(machine) is not None:
            return
        host = self._record(machine, pool)
        self.world.record(Kind.HOST_REGISTERED, host.label, machine.exact_version)
        self._agent_starts(host)
        flaws = machine.flaws
        if flaws.unhealthy:
            self._set_check(host, "SxSStackListenerCheck", "SxSStackListener is not ready")
        if flaws.degrades_after is not None and self._rng.random() < flaws.degrades_fraction:
            self.world.after(flaws.degrades_after.total_seconds(), self._degrade, host, machine)

    def _record(self, machine: Machine, pool: HostPool) -> SessionHost:
        name = machine.joined_as
        host = pool.hosts.get(name.lower())
        if host is None:
            host = SessionHost(
                f"{pool.id}/sessionHosts/{name}",
                name,
                pool,
                machine,
                machine.vm_id,
                machine.id,
                guid(self._rng),
                self.world.time,
            )
            pool.hosts[name.lower()] = host
        else:
            self._take_over(host, machine)
        host.status_since = self.world.time
        self._by_machine[machine] = host
        return host

    def _take_over(self, host: SessionHost, machine: Machine) -> None:
        if host.machine is not None:
            self._by_machine.pop(host.machine, None)
        self._sessions.cut(host)
        host.machine, host.vm_id, host.machine_id = machine, machine.vm_id, machine.id
        host.registered_at = self.world.time
        host.failed_checks.clear()
        host.absence += 1
        host.served, host.heartbeat_stopped_at = False, None
        self._set_status(host, "Unavailable")

    def _agent_starts(self, host: SessionHost) -> None:
        host.update_state = "Pending"
        slow = host.machine.flaws.slow if host.machine else 1.0
        seconds = draw(self._rng, self.world.timings.register, slow)
        self.world.after(seconds, self._agent_updates, host, host.absence, slow)

    def _agent_updates(self, host: SessionHost, absence: int, slow: float) -> None:
        if host.absence == absence:
            host.update_state = "Started"
            self._set_status(host, "Upgrading")
            seconds = draw(self._rng, self.world.timings.agent_update, slow)
            self.world.after(seconds, self._agent_ready, host, absence)

    def _agent_ready(self, host: SessionHost, absence: int) -> None:
        if host.absence == absence:
            host.update_state = "Succeeded"
            self._settle_status(host)

    def _degrade(self, host: SessionHost, machine: Machine) -> None:
        if host.machine is machine and machine.running:
            self._set_check(host, "SxSStackListenerCheck", "SxSStackListener has stopped")

    def _set_check(self, host: SessionHost, check: str, failure: str | None) -> None:
        if failure is None:
            host.failed_checks.pop(check, None)
        else:
            host.failed_checks[check] = failure
        if host.update_state == "Succeeded" and host.machine is not None and host.machine.running:
            self._settle_status(host)

    def _settle_status(self, host: SessionHost) -> None:
        fatal = next((check for check in FATAL_CHECKS if check in host.failed_checks), None)
        if fatal:
            self._set_status(host, _STATUS_OF_FAILED[fatal])
        else:
            self._set_status(host, "NeedsAssistance" if host.failed_checks else "Available")

    def _set_status(self, host: SessionHost, status: str) -> None:
        if host.pool.hosts.get(host.name.lower()) is not host:
            return
        changed = host.status != status
        host.status = status
        host.served = host.served or status == "Available"
        host.pool.recount(host, self.world)
        if changed:
            host.status_since = self.world.time
            self.world.record(Kind.HOST_STATUS, host.label, status)

    def _power_changed(self, machine: Machine) -> None:
        host = self._by_machine.get(machine)
        if host is None:
            if machine.power is Power.RUNNING:
                self._register_when_ready(machine)
            return
        host.absence += 1
        if machine.power is Power.RUNNING:
            seconds = draw(self._rng, self.world.timings.agent_back_after_start, machine.flaws.slow)
            self.world.after(seconds, self._agent_is_back, host, host.absence)
            host.pool.recount(host, self.world)
            return
        if host.heartbeat_stopped_at is None:
            host.heartbeat_stopped_at = host.last_heartbeat(self.world.time)
        host.pool.recount(host, self.world)
        self._sessions.cut(host)
        if machine.power is None:
            host.machine = None
            del self._by_machine[machine]
        seconds = draw(self._rng, self.world.timings.notice_of_absence)
        self.world.after(seconds, self._notice_absence, host, host.absence)

    def _agent_is_back(self, host: SessionHost, absence: int) -> None:
        if host.absence == absence:
            host.heartbeat_stopped_at = None
            if host.update_state == "Succeeded":
                self._settle_status(host)
            else:
                self._agent_starts(host)

    def _notice_absence(self, host: SessionHost, absence: int) -> None:
        if host.absence != absence:
            return
        deallocated = host.machine is not None and host.machine.power is Power.DEALLOCATED
        self._set_status(host, "Shutdown" if deallocated else "Unavailable")
        if not deallocated:
            seconds = draw(self._rng, self.world.timings.heartbeat_lost_after)
            self.world.after(seconds, self._heartbeat_is_lost, host, absence)

    def _heartbeat_is_lost(self, host: SessionHost, absence: int) -> None:
        if host.absence == absence:
            self._set_status(host, "NoHeartbeat")


def _agent_failure(reason: str) -> OperationFailure:
    return OperationFailure(
        "VMExtensionProvisioningError",
        "VM has reported a failure when processing extension 'Microsoft.PowerShell.DSC' (publisher "
        "'Microsoft.Powershell' and type 'DSC'). Error message: \"DSC Configuration 'AddSessionHost' completed with "
        "error(s). Following are the first few: PowerShell DSC resource MSFT_ScriptResource failed to execute "
        "Set-TargetResource functionality with error message: "
        f'{reason}".',
    )
