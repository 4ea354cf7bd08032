"""What lies around host pools and galleries: virtual networks, resource providers, VM sizes, event subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator import ids
from simulator.quota import cores_of, family_of


@dataclass(frozen=True, slots=True)
class SystemTopic:
    """A system topic of Event Grid and its subscriptions: the ids of what they deliver to, and subject prefixes."""

    name: str
    group: str
    source: str
    subscriptions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SizeOnOffer:
    """A VM size that a region offers. `restricted` sizes are listed and not sold to the subscription."""

    name: str
    generations: str = "V1,V2"
    trusted_launch: bool = True
    restricted: bool = False

    @property
    def family(self) -> str:
        """Its quota family."""
        return family_of(self.name)

    @property
    def cores(self) -> int:
        """Its cores."""
        return cores_of(self.name)


_SIZES = ("Standard_D2as_v5", "Standard_D4as_v5", "Standard_D8as_v5", "Standard_D4s_v5", "Standard_D8s_v5")


@dataclass(slots=True)
class Surroundings:
    """Networks by id (lower case) with region and subnets; states of providers that are not registered; and so on."""

    networks: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    provider_states: dict[str, str] = field(default_factory=dict)
    sizes: list[SizeOnOffer] = field(default_factory=lambda: [SizeOnOffer(name) for name in _SIZES])
    topics: list[SystemTopic] = field(default_factory=list)

    def add_subnet(self, subnet_id: str, region: str) -> None:
        """Create a subnet, and its virtual network when there is none."""
        network_id, _, subnet = subnet_id.rpartition("/subnets/")
        _, subnets = self.networks.get(network_id.lower(), ("", ()))
        self.networks[network_id.lower()] = (ids.normalise_region(region), (*subnets, subnet))

    def announce(self, gallery_id: str, function_id: str) -> None:
        """Let the events of a gallery's resource group be delivered to a function."""
        parts = ids.parse(gallery_id)
        source = f"/subscriptions/{parts.subscription}/resourceGroups/{parts.group}"
        self.topics.append(SystemTopic("evgt-images", parts.group, source, ((function_id, gallery_id),)))
