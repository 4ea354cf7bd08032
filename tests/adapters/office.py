"""The simulated office that tests of everything above the adapters talk to, through the real client libraries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from adapters import connect
from adapters.permissions import ROLES
from adapters.pool_reader import observe
from demo.access import least_privilege
from rollout.model import PoolSnapshot, SessionHost
from rollout.policy import EntraJoin, ImagePolicy, Policy, PoolPolicy, SessionHostTemplate
from simulator.access import Access
from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, SUBSCRIPTION, Office, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.transport import AnyoneCredential, transport_to
from simulator.wire import Answer

ROLLOUT = "image-gal-win11-2.0.0-abcdef:office"
EXCLUSION_TAG = "excludeFromScaling"
SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/avd"
)


class RecordingArm(Arm):
    """Azure's front door, with every request written down as it came: (method, path, body)."""

    def __init__(self, estate: Estate, requests: list[tuple[str, str, Any]], access: Access | None = None) -> None:
        super().__init__(estate, access=access)
        self._requests = requests

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None) -> Answer:
        """Write the request down and answer it."""
        self._requests.append((method, urlsplit(url).path, json.loads(body) if body else None))
        return super().handle(method, url, headers, body)


class SimulatedOffice:
    """An office with its clock and its Azure; `requests` holds every request that was sent: (method, path, body)."""

    def __init__(self, **built_with: Any) -> None:
        self.clock = SteppedClock(MONDAY_MORNING)
        self.estate = Estate(self.clock, seed=1)
        self.office: Office = office_pool(self.estate, **{"hosts": 3, "people": 0, **built_with})
        self.requests: list[tuple[str, str, Any]] = []
        self.access = least_privilege(self.whole_policy(), with_roles=ROLES)
        self.arm = RecordingArm(self.estate, self.requests, self.access)

    @property
    def pool_id(self) -> str:
        return self.office.pool_id

    @property
    def faults(self) -> Any:
        return self.estate.faults

    def whole_policy(self, **overrides: Any) -> Policy:
        """A policy of this office alone: its image, and its pool with these changes."""
        image = ImagePolicy(name="win11", definition_id=self.office.definition_id)
        return Policy(images=(image,), host_pools=(self.policy(**overrides),))

    def policy(self, **overrides: Any) -> PoolPolicy:
        """The office's policy: Entra join, an exclusion tag."""
        fields: dict[str, Any] = {
            "name": "office",
            "host_pool_id": self.pool_id,
            "image": "win11",
            "session_host": SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=EntraJoin()),
            "scaling_exclusion_tag": EXCLUSION_TAG,
        }
        return PoolPolicy(**{**fields, **overrides})

    def look(
        self, *in_hand: str, version: str = "2.0.0", rollout: str = ROLLOUT, fresh_sessions: bool = True
    ) -> PoolSnapshot:
        """The pool as the adapters show it."""
        return observe(
            self.pool_id,
            self.office.version_id(version),
            self.policy(),
            rollout,
            in_hand,
            self.clock(),
            fresh_sessions=fresh_sessions,
        )

    def host(self, name: str, *in_hand: str) -> SessionHost:
        """One host as the adapters show it."""
        return {host.name: host for host in self.look(*in_hand).hosts}[name]

    def wait(self, **span: float) -> datetime:
        """Let simulated time pass."""
        self.clock.advance(timedelta(**span))
        return self.estate.now()


@contextmanager
def simulated_office(**built_with: Any) -> Iterator[SimulatedOffice]:
    """An office that the adapters talk to while the context lasts."""
    office = SimulatedOffice(**built_with)
    connection = connect.Connection("https://management.azure.com", AnyoneCredential(), transport_to(office.arm))
    connect.use(connection)
    try:
        yield office
    finally:
        connect.use(None)
