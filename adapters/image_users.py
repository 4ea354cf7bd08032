"""Finds out who uses the versions of an image definition: every VM and scale set of the subscriptions it is told.

Nobody keeps such a list: a version does not know its VMs, so all VMs are listed and asked what they were made from. A
list that cannot be read is told as such and never taken for an empty one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from adapters.errors import StepFailed
from adapters.reads import pages
from adapters.wire import Json, at, text, texts
from rollout.model import normalise_region
from rollout.retention import MOST_NAMED, VersionUsers

API_VERSION = "2024-07-01"

LATEST = ""
"""Stands for the version of a reference that names the definition only."""

_MACHINES = "providers/Microsoft.Compute/virtualMachines"
_SCALE_SETS = "providers/Microsoft.Compute/virtualMachineScaleSets"
_LONGEST_WHY = 300


class ImageNames(Struct, frozen=True):
    """By which ids a VM may refer to an image definition: its own, and those of its gallery when it is shared."""

    definition_id: str
    shared_gallery: str = ""
    community_galleries: tuple[str, ...] = ()


class ImageUsers(Struct, frozen=True):
    """Who uses which version: see RetentionSnapshot, which holds the same."""

    users: dict[str, VersionUsers]
    followers: dict[str, VersionUsers]
    unreadable: tuple[str, ...]


def names_of(definition_id: str, gallery: Json) -> ImageNames:
    """The ids of a definition, given the JSON of its gallery."""
    return ImageNames(
        definition_id,
        text(gallery, "properties", "identifier", "uniqueName"),
        tuple(texts(gallery, "properties", "sharingProfile", "communityGalleryInfo", "publicNames")),
    )


def find_users(names: ImageNames, subscriptions: Iterable[str]) -> ImageUsers:
    """Every VM and scale set of the subscriptions that was, or would be, made from the definition.

    Never raises for what Azure answers: what could not be read is in `unreadable`.
    """
    census = _Census(names)
    for subscription in sorted({one.lower() for one in subscriptions}):
        census.count(subscription)
    return census.result()


def version_used(reference: object, names: ImageNames) -> str | None:
    """The number of the version that an image reference names, LATEST when it names none, None for another image."""
    for key, patterns in _patterns(names).items():
        for pattern in patterns:
            match = pattern.fullmatch(text(reference, key).rstrip("/"))
            if match is None:
                continue
            exact = text(reference, "exactVersion")
            named = match["version"] or LATEST
            # What a VM was made from counts, not what its model says by now.
            return exact or (LATEST if named.lower() == "latest" else named)
    return None


@lru_cache(maxsize=16)
def _patterns(names: ImageNames) -> dict[str, list[re.Pattern[str]]]:
    image = re.escape(names.definition_id.rstrip("/").rpartition("/")[2])
    version = r"(?:/versions/(?P<version>[^/]+))?"
    communities = [re.escape(name) for name in names.community_galleries]
    shared = [re.escape(names.shared_gallery)] if names.shared_gallery else []
    return {
        "id": [re.compile(re.escape(names.definition_id.rstrip("/")) + version, re.IGNORECASE)],
        "sharedGalleryImageId": [
            re.compile(f"/sharedGalleries/{name}/images/{image}{version}", re.IGNORECASE) for name in shared
        ],
        "communityGalleryImageId": [
            re.compile(f"/communityGalleries/{name}/images/{image}{version}", re.IGNORECASE) for name in communities
        ],
    }


class _Census:
    """Counts, subscription by subscription."""

    def __init__(self, names: ImageNames) -> None:
        self._names = names
        self._machines: dict[str, set[str]] = defaultdict(set)
        self._scale_sets: dict[str, set[str]] = defaultdict(set)
        self._followers: dict[str, set[str]] = defaultdict(set)
        self._unreadable: list[str] = []

    def count(self, subscription: str) -> None:
        """Look at every VM and scale set of a subscription."""
        for vm in self._listed(f"/subscriptions/{subscription}/{_MACHINES}", f"the VMs of subscription {subscription}"):
            self._count_machine(vm, "VM")
        what = f"the scale sets of subscription {subscription}"
        for scale_set in self._listed(f"/subscriptions/{subscription}/{_SCALE_SETS}", what):
            self._count_scale_set(scale_set)

    def result(self) -> ImageUsers:
        """What was found so far."""
        numbers = sorted({*self._machines, *self._scale_sets})
        return ImageUsers(
            {number: _users(self._machines[number], self._scale_sets[number]) for number in numbers},
            {region: _users(set(), names) for region, names in sorted(self._followers.items())},
            tuple(self._unreadable),
        )

    def _count_scale_set(self, body: Json) -> None:
        name = text(body, "name")
        profile = at(body, "properties", "virtualMachineProfile")
        number = version_used(at(profile, "storageProfile", "imageReference"), self._names)
        if number == LATEST:
            self._followers[normalise_region(text(body, "location"))].add(name)
        elif number is not None:
            self._scale_sets[number].add(name)
        if text(body, "properties", "orchestrationMode").lower() == "flexible":
            return  # its VMs are in the list of all VMs
        for instance in self._listed(f"{text(body, 'id')}/virtualMachines", f"the instances of scale set {name}"):
            self._count_machine(instance, "instance")

    def _count_machine(self, body: Json, kind: str) -> None:
        number = version_used(at(body, "properties", "storageProfile", "imageReference"), self._names)
        name = text(body, "name") or text(body, "id")
        if number == LATEST:
            self._unreadable.append(f"Azure does not say which version {kind} {name} was made from")
        elif number is not None:
            self._machines[number].add(f"{name.lower()}\n{text(body, 'id').lower()}")

    def _listed(self, path: str, what: str) -> Iterator[Json]:
        try:
            yield from pages(path, API_VERSION)
        except StepFailed as failed:
            self._unreadable.append(f"{what} cannot be listed: {str(failed)[:_LONGEST_WHY]}")


def _users(machines: set[str], scale_sets: set[str]) -> VersionUsers:
    # Two VMs of different groups may have one name.
    names = [*sorted(name.partition("\n")[0] for name in machines), *sorted(scale_sets)]
    return VersionUsers(len(machines), len(scale_sets), tuple(names[:MOST_NAMED]))
