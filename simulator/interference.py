"""What others do to the estate meanwhile: administrators, autoscale, Microsoft."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from simulator.errors import AzureError
from simulator.host_pools import HostPool, SessionHost
from simulator.world import ADMINISTRATOR, AUTOSCALE

if TYPE_CHECKING:
    from simulator.estate import Estate


class Interference:
    """Ready-made disturbances. Each method plans one for an instant and returns at once.

    Where a host is not named, one is drawn from those the pool has at that instant.
    """

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._rng = estate.world.stream("interference")

    def delete_host(self, when: datetime, pool_id: str, host: str | None = None) -> None:
        """An administrator deletes a host's machine and its record, sessions or not."""
        self._estate.at(when, lambda: self._delete_host(pool_id, host), by=ADMINISTRATOR)

    def delete_machine(self, when: datetime, pool_id: str, host: str | None = None) -> None:
        """An administrator deletes a host's machine and leaves the record behind."""
        self._estate.at(when, lambda: self._delete_machine(pool_id, host), by=ADMINISTRATOR)

    def drain_host(self, when: datetime, pool_id: str, host: str | None = None) -> None:
        """An administrator drains a host for reasons of their own."""
        self._estate.at(when, lambda: self._set_drain(pool_id, host, True), by=ADMINISTRATOR)

    def undrain_host(self, when: datetime, pool_id: str, host: str | None = None) -> None:
        """An administrator lifts a host's drain mode."""
        self._estate.at(when, lambda: self._set_drain(pool_id, host, False), by=ADMINISTRATOR)

    def autoscale_flips_drain_mode(self, when: datetime, pool_id: str, share: float = 0.5) -> None:
        """Autoscale flips the drain mode of a share of the hosts whose machine lacks the exclusion tag of its plan."""
        self._estate.at(when, lambda: self._flip(pool_id, share), by=AUTOSCALE)

    def stop_host(self, when: datetime, pool_id: str, host: str | None = None) -> None:
        """Somebody deallocates a host's machine."""
        self._estate.at(when, lambda: self._stop(pool_id, host), by=ADMINISTRATOR)

    def fail_health(
        self, when: datetime, pool_id: str, host: str | None = None, check: str = "SxSStackListenerCheck"
    ) -> None:
        """A host turns unhealthy by itself."""
        self._estate.at(when, lambda: self._fail_health(pool_id, host, check))

    def set_quota(self, when: datetime, subscription: str, region: str, cores: int) -> None:
        """The quota of a region is changed."""
        self._estate.at(when, lambda: self._estate.quota.set_limit(subscription, region, cores), by=ADMINISTRATOR)

    def delete_pool(self, when: datetime, pool_id: str) -> None:
        """Somebody deletes the whole pool."""
        self._estate.at(when, lambda: self._estate.pools.delete(pool_id, force=True), by=ADMINISTRATOR)

    def delete_version(self, when: datetime, version_id: str) -> None:
        """Somebody deletes an image version."""
        self._estate.at(when, lambda: self._estate.galleries.delete_version(version_id), by=ADMINISTRATOR)

    def _pick(self, pool_id: str, name: str | None) -> SessionHost | None:
        pool = self._pool(pool_id)
        if pool is None:
            return None
        if name is not None:
            return pool.hosts.get(name.lower())
        hosts = [host for host in pool.hosts.values() if host.machine is not None]
        return self._rng.choice(hosts) if hosts else None

    def _pool(self, pool_id: str) -> HostPool | None:
        try:
            return self._estate.pools.get(pool_id)
        except AzureError:
            return None

    def _delete_host(self, pool_id: str, name: str | None) -> None:
        host = self._pick(pool_id, name)
        if host is not None:
            self._estate.machines.delete(host.machine_id)
            self._estate.hosts.delete(pool_id, host.name, force=True)

    def _delete_machine(self, pool_id: str, name: str | None) -> None:
        host = self._pick(pool_id, name)
        if host is not None:
            self._estate.machines.delete(host.machine_id)

    def _set_drain(self, pool_id: str, name: str | None, drained: bool) -> None:
        host = self._pick(pool_id, name)
        if host is not None:
            self._estate.hosts.update(pool_id, host.name, allow_new_session=not drained)

    def _flip(self, pool_id: str, share: float) -> None:
        pool = self._pool(pool_id)
        if pool is None:
            return
        excluded = {plan.exclusion_tag for plan in self._estate.pools.scaling_plans(pool_id)}
        for host in list(pool.hosts.values()):
            tags = host.machine.tags if host.machine else {}
            if not excluded & tags.keys() and self._rng.random() < share:
                self._estate.hosts.update(pool_id, host.name, allow_new_session=not host.allow_new_session)

    def _stop(self, pool_id: str, name: str | None) -> None:
        host = self._pick(pool_id, name)
        if host is None:
            return
        try:
            self._estate.machines.deallocate(host.machine_id)
        except AzureError:
            return  # being worked on already, or gone: whoever wanted to stop it gives up

    def _fail_health(self, pool_id: str, name: str | None, check: str) -> None:
        host = self._pick(pool_id, name)
        if host is not None:
            self._estate.hosts.set_health(pool_id, host.name, check, "it stopped working")
