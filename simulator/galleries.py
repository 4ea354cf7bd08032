"""Compute Galleries: image definitions, versions, and their replication to regions over time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator import ids
from simulator.errors import AzureError, OperationFailure, group_not_found, not_found
from simulator.images import GOOD, Flaws, Gallery, ImageDefinition, ImageVersion, Replica, Replication, Takes
from simulator.journal import Kind
from simulator.marketplace import Marketplace
from simulator.operations import Operations
from simulator.timings import draw
from simulator.world import World, guid, public

__all__ = ["GOOD", "Announcement", "Flaws", "Galleries", "Takes"]

GALLERY = "Microsoft.Compute/galleries"
IMAGE = "Microsoft.Compute/galleries/images"
VERSION = "Microsoft.Compute/galleries/images/versions"
WRITE = "Microsoft.Compute/galleries/images/versions/write"
DELETE = "Microsoft.Compute/galleries/images/versions/delete"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A change of a version that Event Grid will tell subscribers about."""

    id: str
    at: datetime
    version_id: str
    operation: str
    method: str
    correlation_id: str


class Galleries:
    """Every gallery of the estate."""

    def __init__(self, world: World, groups: set[str], operations: Operations) -> None:
        self.world = world
        self._groups = groups
        self._operations = operations
        self._rng = world.stream("galleries")
        self._galleries: dict[str, Gallery] = {}
        self.marketplace = Marketplace(world)
        self._announced: list[Callable[[Announcement], None]] = []
        self.outbox: deque[Announcement] = deque(maxlen=1000)

    def on_announcement(self, listener: Callable[[Announcement], None]) -> None:
        """Call `listener` with every announcement; without listeners they only collect in `outbox` (the last 1,000)."""
        self._announced.append(listener)

    @public
    def create_gallery(self, gallery_id: str, location: str, tags: Mapping[str, str] | None = None) -> Gallery:
        """Create the gallery, or replace its tags when it is there."""
        parts = ids.parse(gallery_id)
        if f"{parts.subscription}/{parts.group}".lower() not in self._groups:
            raise group_not_found(parts.group)
        gallery = self._galleries.get(gallery_id.lower())
        if gallery is None:
            gallery = Gallery(str(parts), parts.name, parts.group, ids.normalise_region(location))
            self._galleries[gallery_id.lower()] = gallery
        gallery.tags = dict(tags or {})
        return gallery

    @public
    def create_definition(
        self, definition_id: str, location: str, publisher: str = "goldroll", offer: str = "windows11", sku: str = "avd"
    ) -> ImageDefinition:
        """Create an image definition, or return the one that is there."""
        gallery = self._gallery(definition_id)
        parts = ids.parse(definition_id)
        definition = gallery.images.get(parts.name.lower())
        if definition is None:
            region = ids.normalise_region(location)
            definition = ImageDefinition(str(parts), parts.name, gallery, region, publisher, offer, sku)
            gallery.images[parts.name.lower()] = definition
        return definition

    @public
    def publish(
        self,
        version_id: str,
        regions: Mapping[str, int],
        *,
        takes: Mapping[str, Takes] | None = None,
        flaws: Flaws = GOOD,
        exclude_from_latest: bool = False,
        location: str | None = None,
        source_id: str = "",
        end_of_life: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        announced: bool = True,
    ) -> ImageVersion:
        """Publish a version to `regions` (name to number of replicas), or replace the settings of an existing one.

        `takes` scripts the replication per region; the others take a while by chance. The event that announces it is
        sent soon after the request is accepted, that is before replication has ended (when Azure sends it is not
        documented).
        """
        definition = self.definition(version_id.rsplit("/versions/", 1)[0])
        name = ids.parse(version_id).name
        _check_name(name)
        wanted = {ids.normalise_region(region): count for region, count in regions.items()}
        home = ids.normalise_region(location or next(iter(wanted), ""))
        if home not in wanted:
            raise AzureError(
                400,
                "InvalidParameter",
                "The target regions of the image version must contain its location.",
                target="galleryImageVersion.properties.publishingProfile.targetRegions",
            )
        version = definition.versions.get(name)
        if version is None:
            version = ImageVersion(
                f"{definition.id}/versions/{name}",
                name,
                definition,
                home,
                {},
                self.world.time,
                flaws,
                source_id=source_id,
            )
            definition.versions[name] = version
            self.world.record(Kind.VERSION_PUBLISHED, version.id)
        else:
            self.world.record(Kind.VERSION_CHANGED, version.id)
        version.exclude_from_latest = exclude_from_latest
        version.end_of_life = end_of_life
        version.tags = dict(tags or {})
        self._begin(version)
        self._retarget(version, wanted, takes or {})
        if announced:
            self._announce(version.id, WRITE, "PUT")
        return version

    @public
    def update(
        self,
        version_id: str,
        *,
        regions: Mapping[str, int] | None = None,
        excluded_regions: Mapping[str, bool] | None = None,
        exclude_from_latest: bool | None = None,
        end_of_life: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        takes: Mapping[str, Takes] | None = None,
    ) -> ImageVersion:
        """Change what can be changed on a version; what is left out stays. A write event follows, as for a PUT."""
        version = self.version(version_id)
        if exclude_from_latest is not None:
            version.exclude_from_latest = exclude_from_latest
        if end_of_life is not None:
            version.end_of_life = end_of_life
        if tags is not None:
            version.tags = dict(tags)
        self.world.record(Kind.VERSION_CHANGED, version.id)
        if regions is not None:
            wanted = {ids.normalise_region(region): count for region, count in regions.items()}
            if version.location not in wanted:
                raise AzureError(400, "InvalidParameter", "The home region of an image version cannot be removed.")
            if version.replicas.keys() - wanted.keys() and not version.allow_deletion_of_replicated_locations:
                raise AzureError(409, "Conflict", "The version does not allow the deletion of replicated locations.")
            self._begin(version)
            self._retarget(version, wanted, takes or {})
        else:
            self._begin(version)
            self._settle(version)
        for region, excluded in (excluded_regions or {}).items():
            version.replicas[ids.normalise_region(region)].exclude_from_latest = excluded
        self._announce(version.id, WRITE, "PATCH")
        return version

    @public
    def announce(self, version_id: str, operation: str, method: str) -> None:
        """Let Event Grid tell of a write soon: also a second time, for what has been told before."""
        self._announce(version_id, operation, method)

    @public
    def delete_version(self, version_id: str) -> bool:
        """Begin to delete a version and return True; False when there is none. Machines made from it keep running."""
        version = self._find_version(version_id)
        if version is None:
            return False
        end = version.end_of_life
        if version.block_deletion_before_end_of_life and end and end > self.world.time:
            raise AzureError(
                409, "OperationNotAllowed", "Deletion of the image version is blocked before its end of life."
            )
        self._begin(version)
        version.provisioning_state = "Deleting"
        seconds = draw(self._rng, self.world.timings.delete_version)
        self.world.after(seconds, self._remove_version, version, by=self.world.actor)
        return True

    @public
    def delete_definition(self, definition_id: str) -> bool:
        """Delete an empty definition; False when there is none."""
        parts = ids.parse(definition_id)
        gallery = self._gallery(definition_id)
        definition = gallery.images.get(parts.name.lower())
        if definition is None:
            return False
        if definition.versions:
            raise _nested(definition.id)
        del gallery.images[parts.name.lower()]
        return True

    @public
    def delete_gallery(self, gallery_id: str) -> bool:
        """Delete an empty gallery; False when there is none."""
        gallery = self._galleries.get(gallery_id.lower())
        if gallery is None:
            return False
        if gallery.images:
            raise _nested(gallery.id)
        del self._galleries[gallery_id.lower()]
        return True

    @public
    def gallery(self, gallery_id: str) -> Gallery:
        """The gallery with this id, or a 404."""
        return self._gallery(gallery_id)

    @public
    def galleries(self) -> list[Gallery]:
        """All galleries, in the order of their creation."""
        return list(self._galleries.values())

    @public
    def definition(self, definition_id: str) -> ImageDefinition:
        """The image definition with this id, or a 404."""
        parts = ids.parse(definition_id)
        found = self._gallery(definition_id).images.get(parts.names[1].lower()) if len(parts.names) > 1 else None
        if found is None:
            raise not_found(IMAGE, "/".join(parts.names), parts.group)
        return found

    @public
    def version(self, version_id: str) -> ImageVersion:
        """The version with this id, or a 404."""
        found = self._find_version(version_id)
        if found is None:
            parts = ids.parse(version_id)
            raise not_found(VERSION, "/".join(parts.names), parts.group)
        return found

    def resolve(self, image_id: str, region: str) -> ImageVersion:
        """The version a machine in `region` is made from: a pinned version, or the latest of a definition.

        An id that is no path is one of the marketplace, publisher:offer:sku:version.

        Raises GalleryImageNotFound when it does not exist or has not arrived in the region (facts 2.3).
        """
        if not image_id.startswith("/"):
            return self.marketplace.resolve(image_id)[0]
        version = None
        try:
            parts = ids.parse(image_id)
            if len(parts.names) == 3:
                version = self._find_version(image_id)
            elif len(parts.names) == 2:
                version = self.definition(image_id).latest(region)
        except (ValueError, AzureError):
            version = None
        if version is None or version.provisioning_state == "Deleting" or not version.usable_in(region):
            where = ids.display_region(region)
            raise AzureError(
                404,
                "GalleryImageNotFound",
                f"The gallery image {image_id} is not available in {where} region. Please contact image owner to "
                "replicate to this region, or change your requested region.",
                target="imageReference",
            )
        return version

    def _gallery(self, inner_id: str) -> Gallery:
        parts = ids.parse(inner_id)
        outer = ids.gallery_id(parts.subscription, parts.group, parts.names[0])
        found = self._galleries.get(outer.lower())
        if found is None:
            raise not_found(GALLERY, parts.names[0], parts.group)
        return found

    def _find_version(self, version_id: str) -> ImageVersion | None:
        parts = ids.parse(version_id)
        outer = ids.gallery_id(parts.subscription, parts.group, parts.names[0])
        gallery = self._galleries.get(outer.lower())
        if gallery is None or len(parts.names) != 3:
            return None
        definition = gallery.images.get(parts.names[1].lower())
        return definition.versions.get(parts.names[2]) if definition else None

    def _retarget(self, version: ImageVersion, wanted: Mapping[str, int], takes: Mapping[str, Takes]) -> None:
        scripted = {ids.normalise_region(region): how for region, how in takes.items()}
        for region in [region for region in version.replicas if region not in wanted]:
            del version.replicas[region]
        for region, count in wanted.items():
            replica = version.replicas.get(region)
            if replica is None:
                replica = version.replicas[region] = Replica(region, count, version.storage)
            more = replica.state is Replication.COMPLETED and count > replica.count
            replica.count = count
            if more:  # the first ones stay usable meanwhile
                self.world.after(draw(self._rng, self.world.timings.replicate), self._more_copies, version, replica)
            replica.arrived = min(replica.arrived, count)
            started = replica.state is Replication.REPLICATING and replica.started_at is not None
            if replica.state is not Replication.COMPLETED and not started:
                self._replicate(version, replica, scripted.get(region) or self._by_chance())
        self._settle(version)

    def _more_copies(self, version: ImageVersion, replica: Replica) -> None:
        if version.replicas.get(replica.region) is replica and replica.state is Replication.COMPLETED:
            replica.arrived = replica.count
            self._settle(version)

    def _by_chance(self) -> Takes:
        return Takes(timedelta(seconds=draw(self._rng, self.world.timings.replicate)))

    def _replicate(self, version: ImageVersion, replica: Replica, how: Takes) -> None:
        now = self.world.time
        replica.state, replica.details, replica.started_at = Replication.REPLICATING, "", now
        if how.duration is None:
            replica.ends_at = None
            return
        replica.ends_at = now + how.duration
        self.world.at(replica.ends_at, self._replicated, version, replica, replica.ends_at, how.fails)

    def _replicated(self, version: ImageVersion, replica: Replica, due: datetime, fails: str | None) -> None:
        superseded = version.replicas.get(replica.region) is not replica or replica.ends_at != due
        if superseded:
            return
        if fails:
            replica.state, replica.details = Replication.FAILED, fails
            self.world.record(Kind.VERSION_REPLICATION_FAILED, version.id, replica.region)
        else:
            replica.state, replica.arrived = Replication.COMPLETED, replica.count
            self.world.record(Kind.VERSION_REPLICATED, version.id, replica.region)
        self._settle(version)

    def _settle(self, version: ImageVersion) -> None:
        if version.provisioning_state == "Deleting":
            return
        state = version.aggregated_state
        if state == "InProgress":
            version.provisioning_state = "Creating" if version.provisioning_state == "Creating" else "Updating"
        else:
            version.provisioning_state = "Failed" if state == "Failed" else "Succeeded"
            self._end(version, state)

    def _begin(self, version: ImageVersion) -> None:
        if version.operation is not None:
            self._operations.cancel(version.operation)
        version.operation = self._operations.begin(version.location, version.id)

    def _end(self, version: ImageVersion, state: str) -> None:
        if version.operation is not None:
            failed = [one for one in version.replicas.values() if one.state is Replication.FAILED]
            error = OperationFailure("ReplicationFailed", failed[0].details) if state == "Failed" else None
            self._operations.end(version.operation, error)

    def _remove_version(self, version: ImageVersion) -> None:
        if version.definition.versions.get(version.name) is version:
            del version.definition.versions[version.name]
            self._end(version, "Deleted")
            self.world.record(Kind.VERSION_DELETED, version.id)
            self._announce(version.id, DELETE, "DELETE")

    def _announce(self, version_id: str, operation: str, method: str) -> None:
        correlation, event = guid(self._rng), guid(self._rng)
        seconds = draw(self._rng, self.world.timings.announce)
        self.world.after(seconds, self._send, event, version_id, operation, method, correlation)

    def _send(self, event: str, version_id: str, operation: str, method: str, correlation: str) -> None:
        announcement = Announcement(event, self.world.time, version_id, operation, method, correlation)
        self.outbox.append(announcement)
        for listener in self._announced:
            listener(announcement)


def _check_name(name: str) -> None:
    numbers = name.split(".")
    if len(numbers) != 3 or not all(
        number.isascii() and number.isdigit() and int(number) < 2**31 for number in numbers
    ):
        raise AzureError(
            400,
            "InvalidParameter",
            f"Gallery image version name '{name}' is invalid. The allowed format is Major(int).Minor(int).Patch(int).",
            target="galleryImageVersionName",
        )


def _nested(resource_id: str) -> AzureError:
    return AzureError(
        409,
        "CannotDeleteResource",
        f"Can not delete resource before nested resources are deleted. Resource id: {resource_id}",
    )
