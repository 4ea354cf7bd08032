"""Azure's marketplace: images of publishers, offered in every region, some only together with a purchase plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.errors import AzureError
from simulator.images import GOOD, Flaws, Gallery, ImageDefinition, ImageVersion
from simulator.journal import Kind
from simulator.world import World, public


@dataclass(slots=True, eq=False)
class Offered:
    """An image of the marketplace with its versions. `plan` is what a machine made from it has to name, if anything."""

    definition: ImageDefinition
    plan: dict[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> list[ImageVersion]:
        """Its versions, in the order of their numbers."""
        return sorted(self.definition.versions.values(), key=lambda version: version.numbers)


class Marketplace:
    """Every image that is offered. Images and versions are named as `publisher:offer:sku[:version]`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._offered: dict[str, Offered] = {}

    @public
    def publish(self, urn: str, *, flaws: Flaws = GOOD, plan: bool = False) -> ImageVersion:
        """Offer a version everywhere at once; with `plan` the image has to be bought. Nobody is told of it."""
        publisher, offer, sku, name = urn.split(":")
        image = f"{publisher}:{offer}:{sku}"
        offered = self._offered.get(image.lower())
        if offered is None:
            shelf = Gallery(f"marketplace/{publisher}", publisher, "", "")
            bought = {"name": sku, "publisher": publisher, "product": offer} if plan else {}
            offered = Offered(ImageDefinition(image, sku, shelf, "", publisher, offer, sku), bought)
            self._offered[image.lower()] = offered
        version = ImageVersion(urn, name, offered.definition, "", {}, self.world.time, flaws, is_everywhere=True)
        version.provisioning_state = "Succeeded"
        offered.definition.versions[name] = version
        self.world.record(Kind.VERSION_PUBLISHED, urn)
        return version

    def find(self, image: str) -> Offered | None:
        """The image `publisher:offer:sku`, or None."""
        return self._offered.get(image.lower())

    def resolve(self, urn: str) -> tuple[ImageVersion, Offered]:
        """The version that `publisher:offer:sku:version` means, the newest for `latest`; a 404 when there is none."""
        image, _, name = urn.rpartition(":")
        offered = self.find(image)
        version = None
        if offered is not None:
            version = offered.versions[-1] if name == "latest" else offered.definition.versions.get(name)
        if offered is None or version is None:
            raise not_offered(urn)
        return version, offered


def not_offered(urn: str) -> AzureError:
    """The answer about an image that the marketplace does not have."""
    return AzureError(
        404,
        "PlatformImageNotFound",
        f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct. For "
        "more details about storage profile information, please refer to https://aka.ms/storageprofile.",
        target="imageReference",
    )


def refuse_without_plan(machine: str, offered: Offered, plan: object) -> None:
    """What has to be bought is refused to a request that does not name it; plans are compared with their case."""
    if offered.plan and plan != offered.plan:
        raise AzureError(
            400,
            "VMMarketplaceInvalidInput",
            "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image "
            f"requires Plan information in the request. VM: '{machine}'.",
        )
