"""Judges whether a policy and the Azure that it names fit together: facts in, findings out. Changes nothing.

`doctor` and the plan ask the same questions. What is known of each finding (severity, remedy) stands in FINDINGS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

from rollout.model import (
    HostPool,
    HostShape,
    ImageVersion,
    ScalingPlan,
    count_of,
    normalise_region,
    short_version,
)
from rollout.policy import ImagePolicy, Policy, PoolPolicy, RingPolicy, Window, surge_of
from rollout.windows import next_opening

Severity = Literal["error", "warning"]

OPENINGS = 5
"""So many occurrences of the windows are shown."""

NO_LIMIT = 999_999
"""What Azure stores as the session limit of a host pool for which nobody has chosen one."""

PROVIDERS = ("Microsoft.Compute", "Microsoft.DesktopVirtualization", "Microsoft.Network")
"""Resource providers that every subscription with host pools or new hosts must have registered."""


class Finding(Struct, frozen=True):
    """Something that does not fit: what (an id of FINDINGS), how bad, with which object, what was found, what helps."""

    id: str
    severity: Severity
    subject: str
    found: str
    remedy: str


class Size(Struct, frozen=True):
    """A VM size in a region: its quota family, cores, the generations it can start, and whether it is sold there."""

    family: str
    cores: int
    generations: tuple[str, ...] = ()
    trusted_launch: bool = True


class Quota(Struct, frozen=True):
    """How many cores of a family, or of all of them ("cores"), are in use in a region and may be."""

    used: int
    limit: int


class PoolFacts(Struct, frozen=True):
    """A host pool as it was read. `pool` None: it does not exist. `shapes` has one entry for each of its VMs.

    `subscription` (its name alone), `region` and `vm_size` are where and what new hosts will be, "" when neither policy
    nor hosts say. `size` is None
    when the region does not offer it or it could not be read (`sizes_read` tells which). `network` is the region of the
    subnet, "" when there is no such subnet and None when it could not be read.
    """

    name: str
    pool: HostPool | None = None
    registered: int = 0
    shapes: tuple[HostShape, ...] = ()
    scaling: ScalingPlan | None = None
    subscription: str = ""
    region: str = ""
    vm_size: str = ""
    size: Size | None = None
    sizes_read: bool = False
    quota: dict[str, Quota] = {}
    network: str | None = None


class QuotaNeed(Struct, frozen=True):
    """Cores of a quota that a ring needs beside what is there, and what is left; `ring` is "" where there are none.

    `family` "cores" is all families of the region together. `pools` says what each host pool needs, `needed` what those
    of them that are rolled at the same time need at most.
    """

    image: str
    ring: str
    subscription: str
    region: str
    family: str
    needed: int
    left: int
    limit: int
    pools: dict[str, int]


class ImageFacts(Struct, frozen=True):
    """A gallery image as it was read. `generation` and `security` are Azure's words: V2, TrustedLaunchSupported.

    `newest` is its newest version with replication, None when it has none. `announced` tells whether some event
    subscription delivers its versions to a function named image_published, None when that could not be read.
    """

    name: str
    gallery_exists: bool = True
    definition_exists: bool = True
    generation: str = ""
    security: str = ""
    newest: ImageVersion | None = None
    announced: bool | None = None


class MissingAction(Struct, frozen=True):
    """An ARM action that the identity lacks at a scope, the role that has it, and what asks for it."""

    action: str
    scope: str
    role: str
    used_by: tuple[str, ...] = ()


class Facts(Struct, frozen=True):
    """Everything that was read at `read_at`.

    `providers` has the registration state of each resource provider by subscription. `unreadable` says what could not
    be read and why: (subject, why). Pools and images that could not be read are left out.
    """

    read_at: datetime
    pools: tuple[PoolFacts, ...] = ()
    images: tuple[ImageFacts, ...] = ()
    providers: dict[str, dict[str, str]] = {}
    missing: tuple[MissingAction, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


FINDINGS: dict[str, tuple[Severity, str]] = {
    "SignInFailed": ("error", "Sign in with `az login`, or set AZURE_CLIENT_ID to the identity of the app."),
    "PolicyInvalid": ("error", "Correct the policy file; goldroll.yaml explains each key."),
    "CouldNotCheck": ("warning", "See the reason; give the identity the roles of docs/security.md, then run it again."),
    "PermissionMissing": ("error", "Assign the role at this scope: see docs/security.md."),
    "ProviderNotRegistered": ("error", "Register the provider: az provider register --namespace NAME."),
    "HostPoolMissing": ("error", "Correct host_pool_id, or remove the pool from the policy."),
    "HostPoolManagedByAzure": ("error", "Azure updates this pool itself: remove it from the policy."),
    "HostPoolPersonal": ("warning", "Only unassigned hosts are replaced; assigned ones are skipped."),
    "NoSessionLimit": (
        "warning",
        "Set the pool's max session limit: without one there is no reserve of session slots.",
    ),
    "NoSessionHosts": ("error", "Make the first session host by hand: new ones take after it."),
    "ScalingWithoutExclusionTag": (
        "warning",
        "Set scaling_exclusion_tag to the scaling plan's exclusion tag: autoscale then leaves hosts in hand alone.",
    ),
    "SubnetMissing": ("error", "Correct session_host.subnet_id."),
    "SubnetInOtherRegion": ("error", "Choose a subnet in the region of the session hosts."),
    "SizeNotOffered": ("error", "Choose a session_host.vm_size that the region offers to the subscription."),
    "QuotaTooSmall": ("error", "Ask for more quota, lower surge or retain_outdated, or choose strategy in_place."),
    "QuotaTooSmallTogether": (
        "warning",
        "Ask for more quota, or lower the ring's concurrency: until then host pools wait for each other.",
    ),
    "GalleryMissing": ("error", "Correct definition_id."),
    "ImageDefinitionMissing": ("error", "Correct definition_id, or create the image definition."),
    "NoImageVersion": ("warning", "Publish a version: until then there is nothing to roll out."),
    "ImageNotInRegion": ("warning", "Publish to the pool's region as well, or set replication.add_regions."),
    "ImageDoesNotFitSize": ("error", "Choose a VM size that can start images of this generation."),
    "ImageDoesNotFitSecurity": ("error", "Choose an image definition that supports the security type of the hosts."),
    "WindowNeverOpens": ("error", "Correct recurrence, start or zone of the windows."),
    "NoEventSubscription": ("warning", "Create the event subscription: until then new versions wait for the sweep."),
}
"""Severity and remedy of every finding. docs/operations.md explains each."""


def finding(id: str, subject: str, found: str) -> Finding:
    """A finding of a known kind."""
    severity, remedy = FINDINGS[id]
    return Finding(id, severity, subject, found, remedy)


def judge(policy: Policy, facts: Facts, extra: Mapping[str, int] | None = None) -> tuple[Finding, ...]:
    """Everything that does not fit, errors first; empty when all is well. `extra`: see quota_needs."""
    found = [
        *(finding("CouldNotCheck", subject, why) for subject, why in facts.unreadable),
        *(_of_permission(one) for one in facts.missing),
        *_of_providers(facts),
        *_of_windows(policy, facts.read_at),
    ]
    images = {image.name: image for image in policy.images}
    seen = {image.name: image for image in facts.images}
    pools = {pool.name: pool for pool in policy.host_pools}
    for image in facts.images:
        found += _of_image(images[image.name], image)
    for pool in facts.pools:
        about = pools[pool.name]
        found += _of_pool(about, pool)
        if pool.pool is not None and about.image in seen:
            found += _of_image_on_pool(about, pool, images[about.image], seen[about.image])
    for need in quota_needs(policy, facts, extra):
        found += _of_quota(need)
    return tuple(sorted(found, key=lambda one: one.severity != "error"))


def quota_needs(policy: Policy, facts: Facts, extra: Mapping[str, int] | None = None) -> tuple[QuotaNeed, ...]:
    """Cores needed and left, by ring, subscription, region and family, of the pools whose size and quota are known.

    `extra` says how many hosts a pool has at most beside those it has now; pools that are not in it as many as the
    policy's surge, or, where outdated hosts are retained, as it has hosts.
    """
    pools = {pool.name: pool for pool in facts.pools}
    policies = {pool.name: pool for pool in policy.host_pools}
    found = []
    for image in policy.images:
        all_pools = tuple(pool.name for pool in policy.host_pools if pool.image == image.name)
        for ring in image.rings or (RingPolicy(name="", host_pools=all_pools),):
            needs: dict[tuple[str, str, str], dict[str, int]] = {}
            for pool in (pools[name] for name in ring.host_pools if name in pools):
                if pool.size is None:
                    continue
                hosts = (extra or {}).get(pool.name, extra_hosts(policies[pool.name], pool.shapes))
                for family in pool.quota:
                    key = (pool.subscription, pool.region, family)
                    needs.setdefault(key, {})[pool.name] = hosts * pool.size.cores
            for (subscription, region, family), by_pool in needs.items():
                quota = pools[next(iter(by_pool))].quota[family]
                together = sum(sorted(by_pool.values(), reverse=True)[: ring.concurrency])
                left = max(0, quota.limit - quota.used)
                where = (image.name, ring.name, subscription, region, family)
                found.append(QuotaNeed(*where, needed=together, left=left, limit=quota.limit, pools=by_pool))
    return tuple(found)


def extra_hosts(policy: PoolPolicy, shapes: tuple[HostShape, ...], outdated: int | None = None) -> int:
    """Hosts that exist at most beside those of the pool while `outdated` of them (None: all) are replaced.

    Retained hosts count until they are removed; hosts with an ephemeral OS disk cannot be retained.
    """
    outdated = len(shapes) if outdated is None else outdated
    if policy.retain_outdated and not any(shape.ephemeral_placement for shape in shapes):
        return outdated
    return min(surge_of(policy, len(shapes)), outdated)


def openings(policy: Policy, now: datetime) -> dict[str, tuple[datetime, ...]]:
    """The next moments (UTC) at which the windows of each host pool and ring open; those without windows are left out.

    Keys are "host pool NAME" and "ring NAME of IMAGE".
    """
    return {name: tuple(_next(windows, now)) for name, windows in _windows(policy) if windows}


def _next(windows: tuple[Window, ...], now: datetime) -> Iterator[datetime]:
    moment: datetime | None = now
    for _ in range(OPENINGS):
        moment = next_opening(windows, moment) if moment is not None else None
        if moment is None:
            return
        yield moment


def _windows(policy: Policy) -> Iterator[tuple[str, tuple[Window, ...]]]:
    for pool in policy.host_pools:
        yield f"host pool {pool.name}", pool.windows
    for image in policy.images:
        for ring in image.rings:
            yield f"ring {ring.name} of {image.name}", ring.start.windows


def _of_windows(policy: Policy, now: datetime) -> Iterator[Finding]:
    for name, windows in _windows(policy):
        for number, window in enumerate(windows, start=1):
            if next_opening((window,), now) is None:
                what = f"window {number} ({window.recurrence}, {window.start} {window.zone}) never opens again"
                yield finding("WindowNeverOpens", name, what)


def _of_permission(missing: MissingAction) -> Finding:
    by = f" (for {', '.join(missing.used_by)})" if missing.used_by else ""
    what = f"the identity may not {missing.action}{by}; the role {missing.role} has it"
    return finding("PermissionMissing", missing.scope, what)


def _of_providers(facts: Facts) -> Iterator[Finding]:
    for subscription, states in sorted(facts.providers.items()):
        lowered = {name.lower(): state for name, state in states.items()}
        for provider in PROVIDERS:
            state = lowered.get(provider.lower()) or "unknown"
            if state.lower() != "registered":
                yield finding("ProviderNotRegistered", f"subscription {subscription}", f"{provider} is {state}")


def _of_image(policy: ImagePolicy, image: ImageFacts) -> Iterator[Finding]:
    subject = f"image {image.name}"
    if not image.gallery_exists:
        yield finding("GalleryMissing", subject, f"the gallery of {policy.definition} does not exist")
        return
    if not image.definition_exists:
        yield finding("ImageDefinitionMissing", subject, f"{policy.definition} does not exist")
        return
    if image.newest is None:
        yield finding("NoImageVersion", subject, "the image definition has no version")
    on_publish = policy.schedule is None or policy.schedule.also_on_publish
    if image.announced is False and on_publish and not policy.only_version:
        what = "no event subscription delivers its versions to the function image_published"
        yield finding("NoEventSubscription", subject, what)


def _of_pool(policy: PoolPolicy, facts: PoolFacts) -> Iterator[Finding]:
    subject, pool = f"host pool {facts.name}", facts.pool
    if pool is None:
        yield finding("HostPoolMissing", subject, f"{policy.host_pool_id} does not exist")
        return
    if pool.management_type.lower() == "automated":
        yield finding("HostPoolManagedByAzure", subject, "its management type is Automated")
    if pool.pool_type.lower() == "personal":
        yield finding("HostPoolPersonal", subject, "its hosts belong to single people")
    elif not 0 < pool.max_session_limit < NO_LIMIT:
        yield finding("NoSessionLimit", subject, f"its max session limit is {pool.max_session_limit}")
    if not facts.shapes:
        yield finding("NoSessionHosts", subject, f"{facts.registered} session hosts are registered, none has a VM")
    plan = facts.scaling
    if plan is not None and plan.enabled and policy.scaling_exclusion_tag.lower() != plan.exclusion_tag.lower():
        what = f"scaling plan {plan.name} has the exclusion tag {plan.exclusion_tag or '(none)'}, the policy has "
        yield finding("ScalingWithoutExclusionTag", subject, what + (policy.scaling_exclusion_tag or "(none)"))
    yield from _of_network(policy, facts, subject)
    yield from _of_size(facts, subject)


def _of_network(policy: PoolPolicy, facts: PoolFacts, subject: str) -> Iterator[Finding]:
    subnet = policy.session_host.subnet_id
    if facts.network == "":
        yield finding("SubnetMissing", subject, f"{subnet} does not exist")
    elif facts.network and facts.region and normalise_region(facts.network) != facts.region:
        what = f"the subnet is in {normalise_region(facts.network)}, the session hosts are in {facts.region}"
        yield finding("SubnetInOtherRegion", subject, what)


def _of_size(facts: PoolFacts, subject: str) -> Iterator[Finding]:
    if facts.size is None and facts.sizes_read and facts.vm_size:
        yield finding("SizeNotOffered", subject, f"{facts.vm_size} is not offered in {facts.region}")


def _of_quota(need: QuotaNeed) -> Iterator[Finding]:
    family = "all families" if need.family == "cores" else need.family
    rest = f"cores of {family} in {need.region}: {need.left} of {need.limit} are left"
    short = [name for name, cores in need.pools.items() if cores > need.left]
    for name in short:
        yield finding("QuotaTooSmall", f"host pool {name}", f"its extra hosts need {need.pools[name]} {rest}")
    if need.needed > need.left and not short:
        subject = f"ring {need.ring} of {need.image}" if need.ring else f"image {need.image}"
        together = f"{count_of(len(need.pools), 'host pool')} ({', '.join(need.pools)})"
        yield finding("QuotaTooSmallTogether", subject, f"{together} need at the same time {need.needed} {rest}")


def _of_image_on_pool(
    policy: PoolPolicy, facts: PoolFacts, image_policy: ImagePolicy, image: ImageFacts
) -> Iterator[Finding]:
    subject = f"host pool {facts.name}"
    newest, region = image.newest, facts.region
    if newest is not None and region and region not in newest.regions and not image_policy.replication.add_regions:
        what = f"version {short_version(newest.id)} of {image.name} is not in {region}"
        yield finding("ImageNotInRegion", subject, what)
    size = facts.size
    if size is not None and size.generations and image.generation and image.generation not in size.generations:
        what = f"{facts.vm_size} starts {' and '.join(size.generations)}, image {image.name} is {image.generation}"
        yield finding("ImageDoesNotFitSize", subject, what)
    wanted = policy.session_host.security_type or next((s.security_type for s in facts.shapes if s.security_type), "")
    if image.definition_exists and image.gallery_exists and not _supports(image, wanted):
        what = f"the hosts are {wanted}, image {image.name} is {image.generation} {image.security or 'Standard'}"
        yield finding("ImageDoesNotFitSecurity", subject, what)
    elif wanted.lower() == "trustedlaunch" and size is not None and not size.trusted_launch:
        yield finding("ImageDoesNotFitSecurity", subject, f"{facts.vm_size} has no Trusted Launch")


def _supports(image: ImageFacts, wanted: str) -> bool:
    """Whether a VM of this security type can be made from the image; unknown words are given the benefit."""
    kind = image.security.lower()
    if wanted.lower() == "trustedlaunch":
        return image.generation != "V1" and "trustedlaunch" in kind
    if wanted.lower() == "confidentialvm":
        return image.generation != "V1" and "confidentialvm" in kind
    return kind not in ("trustedlaunch", "confidentialvm")
