"""ARM routes of the marketplace: the versions of an image in a location, and one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.estate import Estate
from simulator.images import ImageVersion
from simulator.marketplace import Offered, not_offered
from simulator.wire import Answer, Json, Request, Route

_IMAGE = (
    "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}"
    "/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
)


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _IMAGE, "virtualMachineImages.list", these.list_versions)
    yield Route("GET", _IMAGE + "/{version}", "virtualMachineImages.get", these.get_version)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def list_versions(self, request: Request) -> Answer:
        """A bare list instead of an object with pages: so answers this one operation of Compute."""
        bare_list: Any = [_resource(request, version) for version in self._offered(request).versions]
        return Answer(200, bare_list)

    def get_version(self, request: Request) -> Answer:
        offered = self._offered(request)
        version = offered.definition.versions.get(request.names["version"])
        if version is None:
            raise not_offered(f"{offered.definition.id}:{request.names['version']}")
        properties: Json = {"osDiskImage": {"operatingSystem": "Windows"}, "dataDiskImages": []}
        if offered.plan:
            properties["plan"] = dict(offered.plan)
        return Answer(200, {**_resource(request, version), "properties": properties})

    def _offered(self, request: Request) -> Offered:
        self._estate.now()
        image = ":".join(request.names[key] for key in ("publisher", "offer", "sku"))
        offered = self._estate.galleries.marketplace.find(image)
        if offered is None:
            raise not_offered(image)
        return offered


def _resource(request: Request, version: ImageVersion) -> Json:
    definition, location = version.definition, request.names["location"]
    return {
        "id": f"/Subscriptions/{request.subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers/"
        f"{definition.publisher}/ArtifactTypes/VMImage/Offers/{definition.offer}/Skus/{definition.sku}/Versions/"
        f"{version.name}",
        "name": version.name,
        "location": location,
    }
