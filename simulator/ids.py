"""ARM resource ids and region names: taking them apart, putting them together, comparing them."""

from __future__ import annotations

from dataclasses import dataclass

COMPUTE = "Microsoft.Compute"
DESKTOP = "Microsoft.DesktopVirtualization"
NETWORK = "Microsoft.Network"

_DISPLAY_NAMES = (
    "Australia East",
    "Brazil South",
    "Canada Central",
    "Central India",
    "Central US",
    "East Asia",
    "East US",
    "East US 2",
    "France Central",
    "Germany West Central",
    "Italy North",
    "Japan East",
    "Korea Central",
    "North Central US",
    "North Europe",
    "Norway East",
    "Poland Central",
    "South Africa North",
    "South Central US",
    "Southeast Asia",
    "Spain Central",
    "Sweden Central",
    "Switzerland North",
    "UAE North",
    "UK South",
    "West Central US",
    "West Europe",
    "West US",
    "West US 2",
    "West US 3",
)


def normalise_region(name: str) -> str:
    """`West Europe` and `westeurope` are the same region; the second form is returned."""
    return name.replace(" ", "").lower()


_DISPLAY = {normalise_region(name): name for name in _DISPLAY_NAMES}


def display_region(region: str) -> str:
    """The name galleries answer with (`West Europe`); an unknown region is returned as it is."""
    return _DISPLAY.get(normalise_region(region), region)


def known_region(name: str) -> bool:
    """Whether Azure has a region of that name, in either form."""
    return normalise_region(name) in _DISPLAY


@dataclass(frozen=True, slots=True)
class ResourceId:
    """An id below a resource group, taken apart. `types` and `names` run in parallel from the outermost resource in."""

    subscription: str
    group: str
    provider: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The innermost name."""
        return self.names[-1]

    @property
    def kind(self) -> str:
        """The full type, such as `Microsoft.Compute/galleries/images`."""
        return "/".join((self.provider, *self.types))

    def __str__(self) -> str:
        """The id as ARM writes it."""
        pairs = "/".join(f"{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.provider}/{pairs}"


def parse(resource_id: str) -> ResourceId:
    """Take a resource id apart; ValueError when it is not one of a resource in a resource group."""
    parts = resource_id.strip("/").split("/")
    fits = len(parts) >= 8 and len(parts) % 2 == 0
    if not fits or [part.lower() for part in (parts[0], parts[2], parts[4])] != [
        "subscriptions",
        "resourcegroups",
        "providers",
    ]:
        raise ValueError(f"not a resource id: {resource_id!r}")
    return ResourceId(parts[1], parts[3], parts[5], tuple(parts[6::2]), tuple(parts[7::2]))


def machine_id(subscription: str, group: str, name: str) -> str:
    """The id of a virtual machine."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{COMPUTE}/virtualMachines/{name}"


def scale_set_id(subscription: str, group: str, name: str) -> str:
    """The id of a virtual machine scale set."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{COMPUTE}/virtualMachineScaleSets/{name}"


def pool_id(subscription: str, group: str, name: str) -> str:
    """The id of a host pool."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{DESKTOP}/hostPools/{name}"


def gallery_id(subscription: str, group: str, name: str) -> str:
    """The id of a compute gallery."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{COMPUTE}/galleries/{name}"


def disk_id(subscription: str, group: str, name: str) -> str:
    """The id of a managed disk."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{COMPUTE}/disks/{name}"


def interface_id(subscription: str, group: str, name: str) -> str:
    """The id of a network interface."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{NETWORK}/networkInterfaces/{name}"
