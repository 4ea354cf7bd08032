"""How many cores a subscription may use in a region, and how many machines a zone has in stock."""

from __future__ import annotations

import re
from collections import Counter

from simulator import ids
from simulator.errors import AzureError, OperationFailure
from simulator.journal import Kind
from simulator.world import World, public

REGIONAL = "cores"
UNLIMITED = 100_000

_SIZE = re.compile(
    r"Standard_(?P<letters>[A-Z]+)(?P<cores>\d+)(?:-(?P<constrained>\d+))?(?P<rest>[a-z]*)(?:_(?P<version>v\d+))?$"
)


def cores_of(size: str) -> int:
    """The number of cores a size name states: `Standard_D4as_v5` has 4; a 400 when there is no such size."""
    match = _SIZE.match(size)
    if match is None:
        raise AzureError(
            400,
            "InvalidParameter",
            f"The value '{size}' provided for the VM size is not valid.",
            target="vmSize",
        )
    return int(match["constrained"] or match["cores"])


def family_of(size: str) -> str:
    """The quota family of a size: `Standard_D4as_v5` is of `standardDASv5Family`."""
    match = _SIZE.match(size)
    if match is None:
        return "standardFamily"
    return f"standard{match['letters']}{match['rest'].upper()}{match['version'] or ''}Family"


class Quota:
    """Limits and usage. Cores count from the moment a machine is accepted until it is deleted, deallocated or not.

    Stock is what the region's data centres still have: it is taken when a machine is allocated (created, started) and
    given back when it is deallocated or deleted. Without a figure for a size and zone, stock is endless.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._limits: dict[tuple[str, str, str], int] = {}
        self._used: Counter[tuple[str, str, str]] = Counter()
        self._stock: dict[tuple[str, str, str], int] = {}
        self._restricted: set[tuple[str, str, str]] = set()

    @public
    def set_limit(self, subscription: str, region: str, cores: int, family: str = REGIONAL) -> None:
        """Set the limit of the region (or of one family in it) to `cores`."""
        region = ids.normalise_region(region)
        self._limits[subscription.lower(), region, family.lower()] = cores
        self.world.record(Kind.QUOTA_CHANGED, region, f"{family} {cores}")

    @public
    def set_stock(self, region: str, size: str, zone: str, machines: int | None) -> None:
        """Set how many more machines of `size` the zone ("" for none) can hold; None for endless."""
        key = (ids.normalise_region(region), size.lower(), zone)
        if machines is None:
            self._stock.pop(key, None)
        else:
            self._stock[key] = machines
        self.world.record(Kind.STOCK_CHANGED, key[0], f"{size} zone {zone or '-'}: {machines}")

    @public
    def restrict(self, region: str, size: str, zone: str = "", restricted: bool = True) -> None:
        """Let requests for `size` in the zone ("" for all of the region) be refused with SkuNotAvailable, or end it."""
        key = (ids.normalise_region(region), size.lower(), zone)
        if restricted:
            self._restricted.add(key)
        else:
            self._restricted.discard(key)

    @public
    def usages(self, subscription: str, region: str) -> list[tuple[str, int, int]]:
        """(name, used, limit) of the regional quota first, then of every family that is in use or limited."""
        subscription, region = subscription.lower(), ids.normalise_region(region)
        names = {key[2] for key in (*self._limits, *self._used) if key[:2] == (subscription, region)} - {REGIONAL}
        return [self._usage(subscription, region, name) for name in (REGIONAL, *sorted(names))]

    def check(self, subscription: str, region: str, size: str, zone: str, freed: str | None = None) -> None:
        """Refuse a machine that there is no quota for (409 OperationNotAllowed), or whose size is not sold there.

        `freed` is the size of the failed machine that it takes the place of, whose cores come free with it.
        """
        if {(region, size.lower(), zone), (region, size.lower(), "")} & self._restricted:
            raise AzureError(
                409,
                "SkuNotAvailable",
                "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
                f"{size}' is currently not available in location '{region}'. Please try another size or deploy to a "
                "different location or different zone. See https://aka.ms/azureskunotavailable for details.",
            )
        cores = cores_of(size)
        for label, name in (("Total Regional", REGIONAL), (family_of(size), family_of(size).lower())):
            _, used, limit = self._usage(subscription.lower(), region, name)
            if freed and name in (REGIONAL, family_of(freed).lower()):
                used -= cores_of(freed)
            if used + cores > limit:
                raise _quota_exceeded(label, region, used, limit, cores)

    def use(self, subscription: str, region: str, size: str, machines: int = 1) -> None:
        """Count the cores of a machine (or give them back with -1)."""
        cores = cores_of(size) * machines
        self._used[subscription.lower(), region, REGIONAL] += cores
        self._used[subscription.lower(), region, family_of(size).lower()] += cores

    def allocate(self, region: str, size: str, zone: str) -> OperationFailure | None:
        """Take one machine from stock; the failure Azure reports when there is none."""
        key = (region, size.lower(), zone)
        left = self._stock.get(key)
        if left is None:
            return None
        if left <= 0:
            return allocation_failure(zone)
        self._stock[key] = left - 1
        return None

    def release(self, region: str, size: str, zone: str) -> None:
        """Give a machine back to the stock."""
        key = (region, size.lower(), zone)
        if key in self._stock:
            self._stock[key] += 1

    def _usage(self, subscription: str, region: str, name: str) -> tuple[str, int, int]:
        key = (subscription, region, name)
        return name, self._used[key], self._limits.get(key, UNLIMITED)


def allocation_failure(zone: str) -> OperationFailure:
    """What the status document says when no hardware is free."""
    if zone:
        return OperationFailure(
            "ZonalAllocationFailed",
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more "
            "about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
        )
    return OperationFailure(
        "AllocationFailed",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more "
        "about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    )


def _quota_exceeded(label: str, region: str, used: int, limit: int, cores: int) -> AzureError:
    return AzureError(
        409,
        "OperationNotAllowed",
        f"Operation could not be completed as it results in exceeding approved {label} Cores quota. Additional details "
        f"- Deployment Model: Resource Manager, Location: {region}, Current Limit: {limit}, Current Usage: {used}, "
        f"Additional Required: {cores}, (Minimum) New Limit Required: {used + cores}. Setup Alerts when Quota reaches "
        "threshold. Submit a request for Quota increase to raise the limit for the deployment to succeed. Please read "
        "more about quota limits at "
        "https://docs.microsoft.com/en-us/azure/azure-supportability/regional-quota-requests",
    )
