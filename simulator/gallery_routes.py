"""ARM routes of Compute Galleries: galleries, image definitions, image versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from simulator import ids
from simulator.estate import Estate
from simulator.galleries import GALLERY, IMAGE, VERSION
from simulator.images import Gallery, ImageDefinition, ImageVersion, Replication, SoftDeleted
from simulator.wire import Answer, Json, Request, Route, accepted, compute_time, invalid, paged, parse_time

_SUBSCRIPTION = "/subscriptions/{subscription}"
_ROOT = _SUBSCRIPTION + "/resourceGroups/{group}/providers/Microsoft.Compute/galleries"
_GALLERY = _ROOT + "/{gallery}"
_IMAGE = _GALLERY + "/images/{image}"
_VERSION = _IMAGE + "/versions/{version}"
_SOFT_DELETED = _GALLERY + "/softDeletedArtifactTypes/Images/artifacts/{image}/versions"

DAYS_OF_SOFT_DELETE = 7
"""How long a gallery keeps what was deleted when its policy does not say."""


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _VERSION, "galleryImageVersions.get", these.get_version)
    yield Route("PUT", _VERSION, "galleryImageVersions.put", these.put_version)
    yield Route("PATCH", _VERSION, "galleryImageVersions.patch", these.patch_version)
    yield Route("DELETE", _VERSION, "galleryImageVersions.delete", these.delete_version)
    yield Route("GET", _IMAGE + "/versions", "galleryImageVersions.list", these.list_versions, lists=True)
    yield Route("GET", _SOFT_DELETED, "softDeletedResources.list", these.list_soft_deleted, lists=True)
    yield Route("GET", _IMAGE, "galleryImages.get", these.get_image)
    yield Route("PUT", _IMAGE, "galleryImages.put", these.put_image)
    yield Route("DELETE", _IMAGE, "galleryImages.delete", these.delete_image)
    yield Route("GET", _GALLERY + "/images", "galleryImages.list", these.list_images, lists=True)
    yield Route("GET", _GALLERY, "galleries.get", these.get_gallery)
    yield Route("PUT", _GALLERY, "galleries.put", these.put_gallery)
    yield Route("DELETE", _GALLERY, "galleries.delete", these.delete_gallery)
    yield Route("GET", _ROOT, "galleries.list", these.list_in_group, lists=True)
    everywhere = _SUBSCRIPTION + "/providers/Microsoft.Compute/galleries"
    yield Route("GET", everywhere, "galleries.listAll", these.list_in_subscription, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._galleries = estate.galleries

    def get_version(self, request: Request) -> Answer:
        version = self._galleries.version(_version_id(request))
        with_status = request.query.get("$expand", "").lower() == "replicationstatus"
        return Answer(200, version_body(version, self._estate.now() if with_status else None))

    def list_versions(self, request: Request) -> Answer:
        definition = self._galleries.definition(_image_id(request))
        return paged(request, [*definition.versions.values()], version_body)

    def put_version(self, request: Request) -> Answer:
        location = _location(request)
        properties = request.properties()
        profile = _object(properties, "publishingProfile")
        if "storageProfile" not in properties:
            raise invalid("Required parameter 'storageProfile' is missing (null).", "storageProfile")
        regions = _target_regions(profile, location)
        existing = self._galleries.definition(_image_id(request)).versions.get(request.names["version"])
        version = self._galleries.publish(
            _version_id(request),
            regions,
            exclude_from_latest=profile.get("excludeFromLatest") is True,
            location=location,
            source_id=str(_object(_object(properties, "storageProfile"), "source").get("id", "")),
            end_of_life=_end_of_life(profile),
            tags=request.body.get("tags"),
        )
        for region, excluded in _excluded_regions(profile).items():
            version.replicas[ids.normalise_region(region)].exclude_from_latest = excluded
        safety = _object(properties, "safetyProfile")
        version.block_deletion_before_end_of_life = safety.get("blockDeletionBeforeEndOfLife") is True
        version.allow_deletion_of_replicated_locations = safety.get("allowDeletionOfReplicatedLocations") is not False
        return self._long_running(request, version, 200 if existing else 201)

    def patch_version(self, request: Request) -> Answer:
        properties = request.properties()
        if properties.get("restore") is True:
            return self._long_running(request, self._galleries.restore(_version_id(request)), 200)
        version = self._galleries.version(_version_id(request))
        profile, safety = _object(properties, "publishingProfile"), _object(properties, "safetyProfile")
        self._galleries.update(
            version.id,
            regions=_target_regions(profile, version.location) if profile.get("targetRegions") else None,
            excluded_regions=_excluded_regions(profile),
            exclude_from_latest=profile.get("excludeFromLatest"),
            end_of_life=_end_of_life(profile),
            tags=request.body.get("tags"),
        )
        if isinstance(blocks := safety.get("blockDeletionBeforeEndOfLife"), bool):
            version.block_deletion_before_end_of_life = blocks
        if isinstance(allows := safety.get("allowDeletionOfReplicatedLocations"), bool):
            version.allow_deletion_of_replicated_locations = allows
        return self._long_running(request, version, 200)

    def delete_version(self, request: Request) -> Answer:
        version_id = _version_id(request)
        if not self._galleries.delete_version(version_id, bypass_soft_delete=request.flag("bypassSoftDelete")):
            return Answer(204)
        version = self._galleries.version(version_id)
        return self._long_running(request, version, 202)

    def list_soft_deleted(self, request: Request) -> Answer:
        return paged(request, self._galleries.soft_deleted(_image_id(request)), soft_deleted_body)

    def get_image(self, request: Request) -> Answer:
        return Answer(200, image_body(self._galleries.definition(_image_id(request))))

    def put_image(self, request: Request) -> Answer:
        identifier = _object(request.properties(), "identifier")
        names = [identifier.get(key) for key in ("publisher", "offer", "sku")]
        if not all(isinstance(name, str) and name for name in names):
            raise invalid("Required parameter 'identifier' is missing (null).", "identifier")
        location = _location(request)
        definition = self._galleries.create_definition(_image_id(request), location, *(str(name) for name in names))
        definition.tags = dict(request.body.get("tags") or {})
        return Answer(200, image_body(definition))

    def delete_image(self, request: Request) -> Answer:
        return Answer(200 if self._galleries.delete_definition(_image_id(request)) else 204)

    def list_images(self, request: Request) -> Answer:
        gallery = self._galleries.gallery(_gallery_id(request))
        return paged(request, [*gallery.images.values()], image_body)

    def get_gallery(self, request: Request) -> Answer:
        return Answer(200, gallery_body(self._galleries.gallery(_gallery_id(request)), request.api_version))

    def put_gallery(self, request: Request) -> Answer:
        soft_delete = _object(request.properties(), "softDeletePolicy")
        days = soft_delete.get("retentionPeriodInDays") or DAYS_OF_SOFT_DELETE
        gallery = self._galleries.create_gallery(
            _gallery_id(request),
            _location(request),
            request.body.get("tags"),
            soft_delete_days=int(days) if soft_delete.get("isSoftDeleteEnabled") is True else 0,
        )
        return Answer(200, gallery_body(gallery, request.api_version))

    def delete_gallery(self, request: Request) -> Answer:
        return Answer(200 if self._galleries.delete_gallery(_gallery_id(request)) else 204)

    def list_in_group(self, request: Request) -> Answer:
        found = [one for one in self._in_subscription(request) if one.group.lower() == request.group.lower()]
        return paged(request, found, gallery_body)

    def list_in_subscription(self, request: Request) -> Answer:
        return paged(request, self._in_subscription(request), gallery_body)

    def _in_subscription(self, request: Request) -> list[Gallery]:
        prefix = f"/subscriptions/{request.subscription}/".lower()
        return [gallery for gallery in self._galleries.galleries() if gallery.id.lower().startswith(prefix)]

    def _long_running(self, request: Request, version: ImageVersion, status: int) -> Answer:
        if version.operation is None:
            return Answer(status, version_body(version))
        body = None if status == 202 else version_body(version)
        return accepted(request, version.operation, status=status, body=body, collection="capsOperations")


def version_body(version: ImageVersion, status_at: datetime | None = None) -> Json:
    """A version as ARM shows it; with its replication status when an instant for it is given (facts 2.2)."""
    profile: Json = {
        "targetRegions": [
            {
                "name": ids.display_region(replica.region),
                "regionalReplicaCount": replica.count,
                "storageAccountType": replica.storage,
                "excludeFromLatest": replica.exclude_from_latest,
            }
            for replica in version.replicas.values()
        ],
        "replicaCount": version.replica_count,
        "excludeFromLatest": version.exclude_from_latest,
        "publishedDate": compute_time(version.published_at),
        "storageAccountType": version.storage,
        "replicationMode": "Full",
    }
    if version.end_of_life is not None:
        profile["endOfLifeDate"] = compute_time(version.end_of_life)
    properties: Json = {
        "publishingProfile": profile,
        "storageProfile": {
            "source": {"id": version.source_id} if version.source_id else {},
            "osDiskImage": {"sizeInGB": 127, "hostCaching": "ReadWrite", "source": {}},
        },
        "safetyProfile": {
            "reportedForPolicyViolation": False,
            "allowDeletionOfReplicatedLocations": version.allow_deletion_of_replicated_locations,
            "blockDeletionBeforeEndOfLife": version.block_deletion_before_end_of_life,
        },
        "provisioningState": version.provisioning_state,
    }
    if status_at is not None:
        properties["replicationStatus"] = {
            "aggregatedState": version.aggregated_state,
            "summary": [
                {
                    "region": ids.display_region(replica.region),
                    "state": replica.state.value,
                    "details": replica.details if replica.state is Replication.FAILED else "",
                    "progress": replica.progress(status_at),
                }
                for replica in version.replicas.values()
            ],
        }
    return _resource(version.id, version.name, VERSION, version.location, version.tags, properties)


def image_body(definition: ImageDefinition) -> Json:
    """An image definition as ARM shows it."""
    properties: Json = {
        "hyperVGeneration": definition.generation,
        "architecture": "x64",
        "features": [{"name": "SecurityType", "value": definition.security}] if definition.security else [],
        "osType": "Windows",
        "osState": "Generalized",
        "identifier": {"publisher": definition.publisher, "offer": definition.offer, "sku": definition.sku},
        "provisioningState": "Succeeded",
    }
    return _resource(definition.id, definition.name, IMAGE, definition.location, definition.tags, properties)


def gallery_body(gallery: Gallery, api_version: str = "") -> Json:
    """A gallery as ARM shows it; how long it keeps what was deleted is told from version 2026-03-03 on."""
    subscription = ids.parse(gallery.id).subscription
    properties: Json = {
        "identifier": {"uniqueName": f"{subscription}-{gallery.name.upper()}"},
        "provisioningState": "Succeeded",
    }
    if gallery.soft_delete_days:
        properties["softDeletePolicy"] = {"isSoftDeleteEnabled": True}
        if api_version >= "2026-03-03":
            properties["softDeletePolicy"]["retentionPeriodInDays"] = gallery.soft_delete_days
    return _resource(gallery.id, gallery.name, GALLERY, gallery.location, gallery.tags, properties)


def soft_deleted_body(kept: SoftDeleted) -> Json:
    """A deleted version that can be restored, as ARM lists it."""
    properties: Json = {
        "resourceArmId": kept.version.id,
        "softDeletedArtifactType": "Images",
        "softDeletedTime": compute_time(kept.at),
        "consumptionEndTime": compute_time(kept.gone_at),
        "hardDeletionTargetTime": compute_time(kept.gone_at),
    }
    return {"id": kept.version.id, "name": kept.version.name, "type": VERSION, "properties": properties}


def _resource(id: str, name: str, kind: str, location: str, tags: dict[str, str], properties: Json) -> Json:
    return {
        "id": id,
        "name": name,
        "type": kind,
        "location": location,
        "tags": dict(tags),
        "properties": properties,
    }


def _gallery_id(request: Request) -> str:
    return ids.gallery_id(request.subscription, request.group, request.names["gallery"])


def _image_id(request: Request) -> str:
    return f"{_gallery_id(request)}/images/{request.names['image']}"


def _version_id(request: Request) -> str:
    return f"{_image_id(request)}/versions/{request.names['version']}"


def _location(request: Request) -> str:
    location = request.body.get("location")
    if not isinstance(location, str) or not location:
        raise invalid("The location property is required for this definition.", "location")
    return location


def _object(parent: Json, key: str) -> Json:
    found = parent.get(key) or {}
    if not isinstance(found, dict):
        raise invalid(f"The value of '{key}' is not an object.", key)
    return found


def _target_regions(profile: Json, location: str) -> dict[str, int]:
    default = profile.get("replicaCount") or 1
    wanted = _listed_regions(profile) or [{"name": location}]
    regions = {one["name"]: one.get("regionalReplicaCount") or default for one in wanted}
    unknown = [name for name in regions if not ids.known_region(name)]
    if unknown:
        raise invalid(f"The target region '{unknown[0]}' is not valid.", "targetRegions")
    counts = regions.values()
    if not all(isinstance(count, int) and count >= 1 for count in counts) or sum(counts) > 100:
        raise invalid("The number of replicas must be between 1 and 100.", "regionalReplicaCount")
    return regions


def _excluded_regions(profile: Json) -> dict[str, bool]:
    listed = [one for one in _listed_regions(profile) if one.get("excludeFromLatest") is not None]
    return {one["name"]: one["excludeFromLatest"] is True for one in listed}


def _listed_regions(profile: Json) -> list[Json]:
    listed = profile.get("targetRegions") or []
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed
    ):
        raise invalid("Required parameter 'targetRegions.name' is missing (null).", "targetRegions")
    return listed


def _end_of_life(profile: Json) -> datetime | None:
    end = profile.get("endOfLifeDate")
    return parse_time(end, "endOfLifeDate") if end is not None else None
