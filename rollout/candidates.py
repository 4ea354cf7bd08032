"""Which image version is to be rolled out: the newest by its number, unless its publisher holds it back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rollout.model import ImageVersion, is_marketplace, short_version, version_number
from rollout.policy import ImagePolicy
from rollout.verdicts import finding_of, is_bad


def why_not(version: ImageVersion, others: Iterable[ImageVersion], image: ImagePolicy) -> str:
    """Why an announced version is not rolled out now, "" when it is.

    Every change to a version is announced like a new one, a tag on a version of last year too: only the newest counts.
    """
    if not is_usable(version):
        return f"its provisioning state is {version.provisioning}"
    if is_bad(version.tags):
        found = finding_of(version.tags)
        return f"it is {found.verdict}" + (f": {found.reason}" if found.reason else "")
    if image.only_version:
        names_it = version.id.lower() == image.only_version.lower()
        return "" if names_it else f"the policy names version {short_version(image.only_version)} and no other"
    if _is_held_back(version, image):
        return "it is excluded from latest"
    newest = newest_version(others, image)
    if newest is not None and _number(newest) > _number(version):
        return f"{short_version(newest.id)} is newer"
    return ""


def missed_version(versions: Iterable[ImageVersion], image: ImagePolicy, now: datetime) -> ImageVersion | None:
    """The version that a sweep starts if nothing has: the newest, published within the look-back, and complete.

    An older version never stands in for a newest one that is not complete yet. Of a version that the policy names, and
    of marketplace images, which no event announces, it does not matter when they were published.
    """
    newest = newest_version(versions, image)
    if newest is None or newest.provisioning != "Succeeded":
        return None
    if image.only_version or is_marketplace(newest.id):
        return newest
    if newest.published_at is None:
        return None
    return newest if newest.published_at >= now - image.sweep_lookback else None


def eligible_version(
    versions: Iterable[ImageVersion], image: ImagePolicy, at: datetime, min_age: timedelta
) -> ImageVersion | None:
    """The version that a run of `at` takes: the newest of those published at least `min_age` before it, or None.

    Versions that have been published since are passed over, so that a run that is caught up later takes the same one.
    Of marketplace images the newest of all, because nobody tells how old they are.
    """
    old_enough = [v for v in versions if is_marketplace(v.id) or (v.published_at and v.published_at <= at - min_age)]
    return newest_version(old_enough, image)


def is_usable(version: ImageVersion) -> bool:
    """VMs can be made of it, now or later. One region's failure makes Azure call the whole version Failed."""
    return (version.provisioning == "Failed" and version.has_arrived_somewhere) or (
        version.provisioning not in ("Failed", "Deleting")
    )


def newest_version(versions: Iterable[ImageVersion], image: ImagePolicy) -> ImageVersion | None:
    """The usable version with the highest number that is not held back, None when there is none.

    Where the policy names one version, that one, held back or not.
    """
    only = image.only_version.lower()
    usable = [
        version
        for version in versions
        if version_number(version.id) is not None
        and is_usable(version)
        and not is_bad(version.tags)
        and (version.id.lower() == only if only else not _is_held_back(version, image))
    ]
    return max(usable, key=_number, default=None)


def _is_held_back(version: ImageVersion, image: ImagePolicy) -> bool:
    """Excluded from latest by its publisher; where `latest` is earned every version is, until it has earned it."""
    return version.exclude_from_latest and not image.include_excluded and image.latest != "earned"


def _number(version: ImageVersion) -> tuple[int, int, int]:
    return version_number(version.id) or (0, 0, 0)
