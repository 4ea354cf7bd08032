"""What a peer can do to a pool: the same requests that ours makes, counted the same way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from benchmarks.stage import TARGET, Stage, is_new
from rollout.model import AGENT_EXTENSION, JOIN_EXTENSION
from simulator.errors import AzureError
from simulator.extensions import agent, entra_join
from simulator.host_pools import BROKERED, SessionHost, SessionState
from simulator.machines import Machine

_TOKEN_LIFE = timedelta(hours=2)
_GIVES_UP_AFTER = timedelta(minutes=90)


@dataclass(slots=True)
class Deployment:
    """An ARM deployment: ARM itself makes the VMs and installs one extension after the other.

    `failed` tells why; a VM whose host has not registered within 90 minutes fails it.
    """

    names: list[str]
    zones: dict[str, str]
    begun: datetime
    failed: str = ""
    done: set[str] = field(default_factory=set)

    @property
    def running(self) -> bool:
        """ARM is still at work on it."""
        return not self.failed and len(self.done) < len(self.names)

    @property
    def succeeded(self) -> bool:
        """Every VM is there and its extensions are installed."""
        return not self.failed and len(self.done) == len(self.names)


class Hands:
    """Acts on one pool as an administrator's tool, and lets ARM work through deployments meanwhile."""

    def __init__(self, stage: Stage, actor: str) -> None:
        self.stage = stage
        self.estate = stage.estate
        self.pool = stage.office.pool_id
        self.actor = actor
        self.deployments: list[Deployment] = []
        self._number = 500

    # ---------------------------------------------------------------------------------------------------------- looking

    def look(self) -> list[SessionHost]:
        """The pool as lists show it: hosts, sessions, VMs and their power states (four requests)."""
        for path in ("sessionHosts", "userSessions", "virtualMachines", "virtualMachines?statusOnly=true"):
            self.estate.faults.call("LIST", path, lambda: None)
        return self.stage.hosts()

    @property
    def deploying(self) -> list[str]:
        """Names in deployments that ARM still works on."""
        return [name for deployment in self.deployments if deployment.running for name in deployment.names]

    def is_ready(self, name: str) -> bool:
        """The host has registered and AVD calls it connectable."""
        host = self.stage.office.pool.hosts.get(name.lower())
        return host is not None and host.status in BROKERED and host.connectable

    # ------------------------------------------------------------------------------------------------------ people

    def start_draining(self, host: SessionHost) -> None:
        """Turn drain mode on."""
        self._call("PATCH", host.id, lambda: self.estate.hosts.update(self.pool, host.name, allow_new_session=False))

    def stop_draining(self, host: SessionHost) -> None:
        """Turn drain mode off."""
        self._call("PATCH", host.id, lambda: self.estate.hosts.update(self.pool, host.name, allow_new_session=True))

    def tell(self, host: SessionHost, body: str) -> None:
        """One message to every session."""
        for number in list(host.sessions):
            self._call(
                "POST",
                f"{host.id}/{number}",
                lambda number=number: self.estate.sessions.send_message(
                    self.pool, host.name, number, "Maintenance", body
                ),
            )

    def sign_out(self, host: SessionHost, *, only_disconnected: bool = False) -> None:
        """End every session, or those in front of which nobody sits."""
        for number, session in list(host.sessions.items()):
            if only_disconnected and session.state is SessionState.ACTIVE:
                continue
            self._call(
                "DELETE",
                f"{host.id}/{number}",
                lambda number=number: self.estate.sessions.sign_out(self.pool, host.name, number),
            )

    # ------------------------------------------------------------------------------------------------------ hosts

    def remove(self, host: SessionHost) -> None:
        """Take the host out of the pool and delete its VM; whoever is on it is cut off."""
        machine = host.machine_id
        self._call("DELETE", host.id, lambda: self.estate.hosts.delete(self.pool, host.name, force=True))
        self._call("DELETE", machine, lambda: self.estate.machines.delete(machine))

    def take_away(self, machine: Machine) -> None:
        """Delete a VM that never became a host."""
        self._call("DELETE", machine.id, lambda: self.estate.machines.delete(machine.id))

    def deploy(self, count: int, zones: Iterable[str] = ()) -> Deployment:
        """Start a deployment of so many hosts on the new version (one request, and one for the token)."""
        self._call("POST", "retrieveRegistrationToken", lambda: None)
        self._call("PUT", "deployments", lambda: None)
        wanted = [*zones]
        names, placed = [], {}
        for index in range(count):
            name = f"new-{self._number}"
            self._number += 1
            names.append(name)
            placed[name] = wanted[index] if index < len(wanted) else "123"[index % 3]
        deployment = Deployment(names, placed, self.stage.clock())
        with self.estate.acting_as(self.actor):
            for name in names:
                self._make(deployment, name)
        self.deployments.append(deployment)
        return deployment

    def wait(self, pause: timedelta) -> None:
        """Let time pass, ARM at work."""
        self.stage.wait(pause, self._arm_works)

    # ------------------------------------------------------------------------------------------------------ ARM itself

    def _make(self, deployment: Deployment, name: str) -> None:
        office = self.stage.office
        try:
            spec = office.spec_for(name, TARGET, deployment.zones[name])
            self.estate.machines.put(office.machine_id(name), spec)
        except AzureError as error:
            deployment.failed = error.code

    def _arm_works(self) -> bool:
        for deployment in self.deployments:
            if deployment.running:
                self._advance(deployment)
        return any(deployment.running for deployment in self.deployments)

    def _advance(self, deployment: Deployment) -> None:
        pool = self.stage.office.pool
        with self.estate.acting_as(self.actor):
            for name in deployment.names:
                if name in deployment.done:
                    continue
                machine = self.estate.machines.find(self.stage.office.machine_id(name))
                if machine is None or machine.provisioning_state == "Failed":
                    deployment.failed = "VmFailed"
                    return
                if machine.provisioning_state != "Succeeded":
                    continue
                states = {one.name: one.provisioning_state for one in machine.extensions.values()}
                if JOIN_EXTENSION not in states:
                    self.estate.extensions.put(machine.id, JOIN_EXTENSION, entra_join())
                elif states[JOIN_EXTENSION] == "Succeeded" and AGENT_EXTENSION not in states:
                    token = self.estate.pools.issue_token(self.pool, self.stage.clock() + _TOKEN_LIFE)
                    self.estate.extensions.put(machine.id, AGENT_EXTENSION, agent(pool.name, token))
                elif states.get(AGENT_EXTENSION) == "Succeeded":
                    deployment.done.add(name)
        if deployment.running and self.stage.clock() - deployment.begun > _GIVES_UP_AFTER:
            deployment.failed = "NotRegisteredInTime"

    def _call(self, method: str, path: str, act: object) -> None:
        """One request as the tool; what no longer exists needs nothing any more."""
        with self.estate.acting_as(self.actor):
            try:
                self.estate.faults.call(method, path, act)  # type: ignore[arg-type]  # any callable will do
            except AzureError as error:
                if error.status != 404:
                    raise


def by_name(hosts: Iterable[SessionHost]) -> list[SessionHost]:
    """Hosts in the order of their names."""
    return sorted(hosts, key=lambda host: host.name)


def not_new(hosts: Iterable[SessionHost]) -> list[SessionHost]:
    """Those that do not run the new version, in the order given."""
    return [host for host in hosts if not is_new(host)]
