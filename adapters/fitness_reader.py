"""Reads what rollout/fitness.py judges: host pools, images, network, quota and roles of a policy. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from adapters import resource_ids, session_hosts, virtual_machines
from adapters.errors import StepFailed, is_missing
from adapters.gallery import list_versions, read_version
from adapters.permissions import ROLES, Option, Permission, Scope, is_granted, needed, options_of, scopes_of
from adapters.pool_reader import host_shape, target_group
from adapters.reads import pages, read
from adapters.scaling_plans import read_scaling
from adapters.wire import Json, items, number, text, texts
from rollout.fitness import PROVIDERS, Facts, ImageFacts, MissingAction, PoolFacts, Quota, Size
from rollout.model import HostShape, ImageVersion, normalise_region, version_number
from rollout.policy import ImagePolicy, Policy, PoolPolicy

PERMISSIONS_API, PROVIDERS_API, SKUS_API = "2022-04-01", "2021-04-01", "2021-07-01"
NETWORK_API, EVENTS_API, COMPUTE_API, GALLERY_API = "2023-09-01", "2022-06-15", "2024-07-01", "2024-03-03"

EVENT_FUNCTION = "image_published"
"""The function that event subscriptions must deliver to."""

Read = TypeVar("Read")


def read_facts(policy: Policy, now: datetime) -> Facts:
    """Everything the policy names, as Azure shows it. Never raises for what Azure answers about one object.

    What could not be read is in `unreadable`. Raises StepFailed when nobody can be signed in or Azure is out of reach.
    """
    reader = _Reader(now)
    first = scopes_of(policy)["subscription"][0]
    _require_reachable(first)
    pools = [reader.try_(f"host pool {pool.name}", partial(reader.pool, pool)) for pool in policy.host_pools]
    galleries = [image for image in policy.images if image.marketplace is None]
    images = [reader.try_(f"image {image.name}", partial(reader.image, image)) for image in galleries]
    return Facts(
        read_at=now,
        pools=tuple(pool for pool in pools if pool is not None),
        images=tuple(image for image in images if image is not None),
        providers=reader.providers(scopes_of(policy)["subscription"]),
        missing=reader.missing(policy),
        unreadable=tuple(dict.fromkeys(reader.unreadable)),
    )


def _require_reachable(subscription: str) -> None:
    try:
        _may(subscription)
    except StepFailed as failed:
        if failed.error.code in ("SignInFailed", "ConnectionLost", "Unauthorized"):
            raise


class _Reader:
    """Reads one policy's facts; what several pools share is read once."""

    def __init__(self, now: datetime) -> None:
        self.unreadable: list[tuple[str, str]] = []
        self.identities: set[str] = set()
        self._now = now
        self._kept: dict[str, Any] = {}

    def try_(self, subject: str, reads: Callable[[], Read]) -> Read | None:
        """The result, None when it cannot be read, which is then told."""
        try:
            return reads()
        except StepFailed as failed:
            self.unreadable.append((subject, f"{failed.error.code}: {failed.error.message}"))
        except resource_ids.NotAResourceId as error:
            self.unreadable.append((subject, str(error)))
        return None

    def pool(self, policy: PoolPolicy) -> PoolFacts:
        """What there is to know of a host pool. Raises StepFailed."""
        subject = f"host pool {policy.name}"
        try:
            found = session_hosts.read_pool(policy.host_pool_id)
        except StepFailed as failed:
            if is_missing(failed):
                return PoolFacts(policy.name)
            raise
        registered = session_hosts.list_hosts(policy.host_pool_id)
        shapes = self._shapes(policy, registered)
        region = _most_common(normalise_region(shape.location) for shape in shapes) or normalise_region(found.location)
        size = policy.session_host.vm_size or _most_common(shape.vm_size for shape in shapes)
        subscription = _subscription(target_group(policy.session_host, policy.host_pool_id))
        sizes = self.try_(f"VM sizes in {region}", lambda: self._sizes(subscription, region))
        offered = (sizes or {}).get(size.lower())
        usages = self.try_(f"quota in {region}", lambda: self._usages(subscription, region)) or {}
        names = ("cores", offered.family.lower()) if offered is not None else ()
        return PoolFacts(
            name=policy.name,
            pool=found,
            registered=len(registered),
            shapes=shapes,
            scaling=read_scaling(policy.host_pool_id, self._now),
            subscription=resource_ids.last(subscription),
            region=region,
            vm_size=size,
            size=offered,
            sizes_read=sizes is not None,
            quota={name: usages[name] for name in names if name in usages},
            network=self.try_(f"subnet of {subject}", lambda: self._network(policy.session_host.subnet_id)),
        )

    def image(self, policy: ImagePolicy) -> ImageFacts:
        """What there is to know of an image in a gallery. Raises StepFailed."""
        definition_id = policy.definition.rstrip("/")
        gallery_id = definition_id.rpartition("/images/")[0]
        if _found(gallery_id, GALLERY_API) is None:
            return ImageFacts(policy.name, gallery_exists=False, definition_exists=False)
        definition = _found(definition_id, GALLERY_API)
        if definition is None:
            return ImageFacts(policy.name, definition_exists=False)
        features = {
            text(one, "name").lower(): text(one, "value") for one in items(definition, "properties", "features")
        }
        subject = f"event subscriptions of image {policy.name}"
        return ImageFacts(
            policy.name,
            generation=text(definition, "properties", "hyperVGeneration"),
            security=features.get("securitytype", ""),
            newest=_newest(policy, definition_id),
            announced=self.try_(subject, lambda: self._is_announced(definition_id)),
        )

    def providers(self, subscriptions: Iterable[str]) -> dict[str, dict[str, str]]:
        """The registration state of the providers in each subscription; those that cannot be read are left out."""
        found = {}
        for subscription in subscriptions:
            name = resource_ids.last(subscription)
            states = self.try_(f"resource providers of {name}", partial(_provider_states, subscription))
            if states is not None:
                found[name] = states
        return found

    def missing(self, policy: Policy) -> tuple[MissingAction, ...]:
        """The actions that the policy asks for and the identity lacks. `pool` must have been read for every pool."""
        options: set[Option] = set(options_of(policy))
        if self.identities:
            options.add("identities")
        scopes = {**scopes_of(policy), "identities": tuple(sorted(self.identities))}
        found: dict[tuple[str, str], MissingAction] = {}
        for kind, ids in scopes.items():
            for scope in ids:
                granted = self.try_(f"permissions at {scope}", partial(_may, scope))
                for one in _lacking(kind, needed(kind, options), granted):
                    found[one.action, scope] = MissingAction(one.action, scope, ROLES[one.role].title, one.used_by)
        return tuple(found.values())

    def _shapes(self, policy: PoolPolicy, registered: list[Json]) -> tuple[HostShape, ...]:
        vm_ids = {text(host, "properties", "resourceId").lower() for host in registered} - {""}
        groups = sorted({resource_ids.group_id(vm_id) for vm_id in vm_ids})
        machines = [vm for group in groups for vm in virtual_machines.list_in_group(group)]
        shapes = tuple(host_shape(vm) for vm in machines if text(vm, "id").lower() in vm_ids)
        self.identities |= {one.lower() for shape in shapes for one in shape.user_identities}
        return shapes

    def _sizes(self, subscription: str, region: str) -> dict[str, Size]:
        def reads() -> dict[str, Size]:
            filtered = {"$filter": f"location eq '{region}'"}
            skus = pages(f"{subscription}/providers/Microsoft.Compute/skus", SKUS_API, **filtered)
            machines = [sku for sku in skus if text(sku, "resourceType").lower() == "virtualmachines"]
            return {text(sku, "name").lower(): _size(sku) for sku in machines if not _is_restricted(sku)}

        return self._once(f"sizes {subscription} {region}", reads)

    def _usages(self, subscription: str, region: str) -> dict[str, Quota]:
        def reads() -> dict[str, Quota]:
            path = f"{subscription}/providers/Microsoft.Compute/locations/{region}/usages"
            return {
                text(usage, "name", "value").lower(): Quota(number(usage, "currentValue"), number(usage, "limit"))
                for usage in pages(path, COMPUTE_API)
            }

        return self._once(f"usages {subscription} {region}", reads)

    def _network(self, subnet_id: str) -> str:
        network_id, _, subnet = subnet_id.rstrip("/").rpartition("/subnets/")
        network = self._once(f"network {network_id.lower()}", lambda: _found(network_id, NETWORK_API))
        names = {text(one, "name").lower() for one in items(network, "properties", "subnets")}
        return text(network, "location") if subnet.lower() in names else ""

    def _is_announced(self, definition_id: str) -> bool:
        subscription = _subscription(definition_id)
        group = resource_ids.group_id(definition_id)
        subscriptions = self._once(f"events {group}", lambda: _event_subscriptions(subscription, group))
        return any(_announces(one, definition_id) for one in subscriptions)

    def _once(self, key: str, reads: Callable[[], Read]) -> Read:
        if key not in self._kept:
            try:
                self._kept[key] = reads()
            except StepFailed as failed:
                self._kept[key] = failed
        kept = self._kept[key]
        if isinstance(kept, StepFailed):
            raise kept
        return kept  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------- reading the bodies


def _found(id: str, api_version: str) -> Json | None:
    try:
        return read(id, api_version)
    except StepFailed as failed:
        if is_missing(failed):
            return None
        raise


def _newest(policy: ImagePolicy, definition_id: str) -> ImageVersion | None:
    """The version with the highest number, with its regions."""
    if policy.only_version:
        return read_version(policy.only_version)
    versions = [one for one in list_versions(definition_id) if version_number(one.id) is not None]
    return max(versions, key=lambda one: version_number(one.id) or (), default=None)


def _size(sku: Json) -> Size:
    abilities = {text(one, "name").lower(): text(one, "value") for one in items(sku, "capabilities")}
    cores = abilities.get("vcpus", "")
    return Size(
        family=text(sku, "family"),
        cores=int(cores) if cores.isdigit() else 0,
        generations=tuple(part.strip() for part in abilities.get("hypervgenerations", "").split(",") if part.strip()),
        trusted_launch=abilities.get("trustedlaunchdisabled", "").lower() != "true",
    )


def _is_restricted(sku: Json) -> bool:
    """The size is not sold to the subscription in the whole region; a restriction of single zones does not count."""
    return any(text(one, "type").lower() == "location" for one in items(sku, "restrictions"))


def _provider_states(subscription: str) -> dict[str, str]:
    return {
        name: text(read(f"{subscription}/providers/{name}", PROVIDERS_API), "registrationState") for name in PROVIDERS
    }


def _may(scope: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    path = f"{scope}/providers/Microsoft.Authorization/permissions"
    return [(tuple(texts(one, "actions")), tuple(texts(one, "notActions"))) for one in pages(path, PERMISSIONS_API)]


def _lacking(
    kind: Scope, wanted: Iterable[Permission], granted: list[tuple[tuple[str, ...], tuple[str, ...]]] | None
) -> list[Permission]:
    """What is not granted. Where that cannot be read nothing is claimed; that it cannot be read has been told."""
    return [] if granted is None else [one for one in wanted if not is_granted(one.action, granted)]


def _event_subscriptions(subscription: str, group: str) -> list[Json]:
    """The event subscriptions of a resource group and of its subscription, with and without a system topic."""
    found = [one for scope in (subscription, group) for one in _listed(f"{scope}/providers/Microsoft.EventGrid")]
    for topic in pages(f"{subscription}/providers/Microsoft.EventGrid/systemTopics", EVENTS_API):
        if any(resource_ids.same(text(topic, "properties", "source"), scope) for scope in (subscription, group)):
            found += _listed(text(topic, "id"))
    return found


def _listed(parent: str) -> list[Json]:
    return list(pages(f"{parent}/eventSubscriptions", EVENTS_API))


def _announces(subscription: Json, definition_id: str) -> bool:
    destination = text(subscription, "properties", "destination", "properties", "resourceId")
    prefix = text(subscription, "properties", "filter", "subjectBeginsWith").lower().rstrip("/")
    is_ours = resource_ids.last(destination).lower() == EVENT_FUNCTION
    return is_ours and f"{definition_id.lower()}/versions/".startswith(prefix)


def _most_common(values: Iterable[str]) -> str:
    ranked = Counter(value for value in values if value).most_common(1)
    return ranked[0][0] if ranked else ""


def _subscription(id: str) -> str:
    return "/".join(id.split("/")[:3])
