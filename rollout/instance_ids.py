"""Names of orchestration instances and entities: the same work always gets the same name, so it never starts twice.

Durable allows no `/`, `\\`, `#`, `?` and no control characters in them, and at most 100 characters everywhere.
"""

from __future__ import annotations

import hashlib
import re

from rollout.model import definition_of, is_marketplace, short_version

ROLL_OUT_IMAGE, ROLL_BACK_IMAGE, ROLL_HOST_POOL = "roll_out_image", "roll_back_image", "roll_host_pool"
"""The orchestrations of rollouts: of one as a whole, of a roll back as a whole, and of one host pool in either."""

APPROVAL_EVENT, COMMAND_EVENT = "approval", "command"
"""The external events by which people's answers and commands reach a rollout. The SDK compares names with case."""

FREEZE_ENTITY, FREEZE_KEY = "freeze", "all"
"""The one entity that keeps the freeze."""

LONGEST = 100
LONGEST_POOL_NAME = 40
_LONGEST_IMAGE_INSTANCE = LONGEST - LONGEST_POOL_NAME - 1
_IMAGE, _BACK = "image-", "back-"

IMAGE_PREFIXES = (_IMAGE, _BACK)
"""How the ids of rollouts and roll backs begin; those of their host pools begin with the same."""


def image_instance(version_id: str, attempt: int = 1) -> str:
    """The instance that rolls out an image version: `image-<gallery>-<definition>-<version>-<digest>[-<attempt>]`.

    Of a marketplace image it is `image-<offer>-<sku>-...`. The digest (six digits) tells apart galleries of one name in
    different subscriptions. Raises ValueError when `version_id` names no image version.
    """
    definition, version = definition_of(version_id), short_version(version_id)
    if not definition or version == version_id:
        raise ValueError(f"not the id of an image version: {version_id[:200]!r}")
    gallery, _, image = definition.replace("/images/", ":").rpartition("/")[2].rpartition(":")
    suffix = f"-{version}-{digest(definition, 6)}" + (f"-{attempt}" if attempt > 1 else "")
    return _safe(f"image-{gallery.rpartition(':')[2]}-{image}")[: _LONGEST_IMAGE_INSTANCE - len(suffix)] + suffix


def back_instance(image_instance_id: str, attempt: int = 1) -> str:
    """The instance that takes back what a rollout has done: `back-<the rest of its id>[.<attempt>]`."""
    back = _BACK + image_instance_id.removeprefix(_IMAGE)
    return back if attempt == 1 else f"{back[: _LONGEST_IMAGE_INSTANCE - len(str(attempt)) - 1]}.{attempt}"


def taken_back_by(back_instance_id: str) -> str:
    """The rollout that a roll back takes back, by its id; of an id that had to be shortened, only its beginning."""
    return _IMAGE + re.sub(r"\.\d+$", "", back_instance_id.removeprefix(_BACK))


def is_back_instance(instance_id: str) -> bool:
    """The id is that of a roll back as a whole."""
    return instance_id.startswith(_BACK) and ":" not in instance_id


def pool_instance(image_instance_id: str, pool_name: str) -> str:
    """The instance that rolls one host pool within a rollout. It also is the rollout's id on the tags of its VMs."""
    return f"{image_instance_id}:{pool_name}"


def whole_and_pool(rollout_id: str) -> tuple[str, str]:
    """The rollout as a whole that an id belongs to, and the host pool that it is about, "" for none."""
    whole, _, pool = rollout_id.rpartition(":")
    return (whole, pool) if whole else (rollout_id, "")


def is_rollout_of_pool(rollout_id: str, pool_name: str) -> bool:
    """The id belongs to some rollout of the pool of this name."""
    return bool(pool_name) and whole_and_pool(rollout_id)[1] == pool_name


def superseding_version(rollout_id: str, target: str) -> str:
    """The image version that another rollout of `target`'s image definition rolls out, as a resource id.

    Going by its instance id; when that names no version, the id itself, which says it well enough.
    """
    named = re.search(r"-(\d+\.\d+\.\d+)-[0-9a-f]{6}(-\d+)?:[^:]+$", rollout_id)
    separator = ":" if is_marketplace(target) else "/"
    return f"{target.rpartition(separator)[0]}{separator}{named[1]}" if named else rollout_id


def is_image_instance(instance_id: str) -> bool:
    """The id is that of a rollout or a roll back as a whole, not of one of its pools."""
    return instance_id.startswith(IMAGE_PREFIXES) and ":" not in instance_id


def retirement_instance(definition_id: str) -> str:
    """The instance that retires an image definition's versions: there is one, so that no two runs meet.

    Raises ValueError when `definition_id` is not the id of a gallery image definition.
    """
    definition = definition_of(definition_id)
    if not definition:
        raise ValueError(f"not the id of a gallery image definition: {definition_id[:200]!r}")
    parts = definition.split("/")
    return _safe(f"retire-{parts[-3]}-{parts[-1]}")[: LONGEST - 7] + f"-{digest(definition, 6)}"


def version_rolled_out(instance_id: str, definition_id: str) -> str:
    """The number of the version of this definition that an image instance rolls out, "" when it is of another one."""
    named = re.search(r"-(\d+\.\d+\.\d+)-([0-9a-f]{6})(?:-\d+)?$", instance_id)
    return named[1] if named and named[2] == digest(definition_of(definition_id), 6) else ""


def host_pool_key(pool_id: str) -> str:
    """The key of a host pool's lease: its name to recognise it by and a digest of its id, in any case the same."""
    pool_id = pool_id.strip("/").lower()
    return f"{_safe(pool_id.rpartition('/')[2])[:64]}-{digest(pool_id, 16)}"


def image_key(name: str) -> str:
    """The key of an image's schedule: the image's name in the policy, in any case the same, and a digest of it."""
    return f"{_safe(name)[:64]}-{digest(name.lower(), 16)}"


def _safe(text: str) -> str:
    return re.sub(r"[^a-z0-9._()|-]", "-", text.lower())


def digest(text: str, length: int = 8) -> str:
    """So many hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
