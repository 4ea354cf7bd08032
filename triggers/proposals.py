"""What is to be rolled out, going by the policy and what the gallery holds now. Reads only, and may block."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from msgspec import Struct

from adapters.errors import StepFailed
from adapters.image_sources import list_versions, read_version
from adapters.notifications import sinks_in_use
from adapters.policy_source import current_policy
from adapters.record_store import is_recorded
from rollout.assignments import ImageRollout
from rollout.candidates import eligible_version, is_usable, missed_version, newest_version, why_not
from rollout.model import ImageVersion, definition_of, is_marketplace, short_version, version_of
from rollout.policy import ImagePolicy, Policy
from rollout.policy_rules import iso
from rollout.schedules import spoken

_log = logging.getLogger("goldroll.triggers")


class NotProposed(Struct, frozen=True):
    """Nothing is to be rolled out; `code` for machines, `why` for people."""

    code: str
    why: str


def announced(version_id: str) -> ImageRollout | NotProposed:
    """The rollout of a version that an event has announced. The event is only a hint: the version is read again.

    Raises PolicyUnusable when there is no valid policy, StepFailed when Azure cannot be read.
    """
    policy = current_policy()
    definition = definition_of(version_id)
    image = next((image for image in policy.images if definition_of(image.definition) == definition), None)
    if image is None:
        return NotProposed("UnknownImage", f"image definition {definition} is not in the policy")
    if image.schedule is not None and not image.schedule.also_on_publish:
        number = short_version(version_id)
        return NotProposed("Scheduled", f"{image.name} {number} waits for the schedule: {spoken(image.schedule)}")
    version = read_version(version_id)
    if version is None:
        return NotProposed("NoSuchVersion", f"image version {version_id} does not exist (any more)")
    if why := why_not(version, list_versions(image, _pools_of(policy, image)), image):
        return NotProposed("NotACandidate", f"{image.name} {short_version(version_id)} is ignored: {why}")
    return _rollout(policy, image, version.id or version_id)


def missed(now: datetime) -> list[ImageRollout]:
    """For each image of the policy the rollout of its newest version, if that was published not long before `now`.

    An image whose versions cannot be listed is left to the next sweep: it must not hold up the others. One that starts
    on a schedule only has no event that could be missed.
    Raises PolicyUnusable when there is no valid policy.
    """
    policy = current_policy()
    found = []
    for image in policy.images:
        if image.schedule is not None and not image.schedule.also_on_publish:
            continue
        try:
            version = missed_version(list_versions(image, _pools_of(policy, image)), image, now)
        except StepFailed as failed:
            _log.warning("the sweep cannot list the versions of %s, the next one tries again: %s", image.name, failed)
            continue
        if version is None:
            continue
        proposal = _rollout(policy, image, version.id)
        if isinstance(proposal, ImageRollout):
            found.append(proposal)
        else:
            _log.warning("%s", proposal.why)
    return found


def scheduled(policy: Policy, image: ImagePolicy, min_age: timedelta, at: datetime) -> ImageRollout | NotProposed:
    """The rollout that the image's schedule starts `at` this moment: of its newest version that is old enough by then.

    Raises StepFailed when the versions cannot be listed.
    """
    version = eligible_version(list_versions(image, _pools_of(policy, image)), image, at, min_age)
    if version is None:
        by_then = f"that had been published {iso(min_age)} before" if min_age else "that had been published by then"
        return NotProposed("NothingEligible", f"there is no version {by_then}")
    return _rollout(policy, image, version.id)


def requested(image_name: str, number: str, by: str) -> ImageRollout | NotProposed:
    """The rollout of a version that a person asks for: any that exists and is not broken, held back or not.

    Raises PolicyUnusable when there is no valid policy, StepFailed when Azure cannot be read.
    """
    policy = current_policy()
    image = next((image for image in policy.images if image.name == image_name), None)
    if image is None:
        return _unknown(policy, image_name)
    version_id = version_of(image.definition, number)
    if image.only_version and version_id.lower() != image.only_version.lower():
        only = short_version(image.only_version)
        return NotProposed("NotThePolicysVersion", f"the policy names version {only} of {image_name} and no other")
    version = _read(policy, image, version_id)
    if version is None:
        return NotProposed("NoSuchVersion", f"{image_name} has no version {number}")
    if not is_usable(version):
        return NotProposed("UnusableVersion", f"{image_name} {number} has provisioning state {version.provisioning}")
    return _rollout(policy, image, version.id, by)


def requested_newest(image_name: str) -> ImageRollout | NotProposed:
    """The rollout of the newest version that would be rolled out by itself, however old; raises as `requested`."""
    policy = current_policy()
    image = next((image for image in policy.images if image.name == image_name), None)
    if image is None:
        return _unknown(policy, image_name)
    version = newest_version(list_versions(image, _pools_of(policy, image)), image)
    if version is None:
        return NotProposed("NothingEligible", f"{image_name} has no version that would be rolled out by itself")
    return _rollout(policy, image, version.id)


def _unknown(policy: Policy, image_name: str) -> NotProposed:
    known = ", ".join(sorted(image.name for image in policy.images))
    return NotProposed("UnknownImage", f"the policy has no image {image_name!r}; it has {known}")


def _read(policy: Policy, image: ImagePolicy, version_id: str) -> ImageVersion | None:
    if not is_marketplace(version_id):
        return read_version(version_id)
    offered = list_versions(image, _pools_of(policy, image))
    return next((version for version in offered if version.id.lower() == version_id.lower()), None)


def _pools_of(policy: Policy, image: ImagePolicy) -> tuple[str, ...]:
    return tuple(pool.host_pool_id for pool in policy.host_pools if pool.image == image.name)


def _rollout(policy: Policy, image: ImagePolicy, version_id: str, by: str = "") -> ImageRollout | NotProposed:
    pools = tuple(pool for pool in policy.host_pools if pool.image == image.name)
    if not pools:
        return NotProposed("NoHostPool", f"no host pool of the policy uses image {image.name}")
    return ImageRollout(version_id, image, pools, by, recorded=is_recorded(), notified=sinks_in_use())
