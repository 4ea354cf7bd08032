"""Reads `goldroll.yaml` into a Policy, or says everything that is wrong with it and where.

`defaults` holds any keys of a host pool; each pool's own keys win over them, key by key. Lists, and a `join` of another
type, replace the default as a whole. The values of a pool's preset come last: any key of the file wins over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from rollout.image_rules import SOURCES, conflicts_of_image
from rollout.model import definition_of
from rollout.policy import ImagePolicy, Policy, PoolPolicy
from rollout.policy_check import Check, unknown_key
from rollout.policy_rings import check_rings
from rollout.policy_rules import conflicts_of
from rollout.policy_tree import Entry, PolicyError, Problem, meant, read_tree, shorten
from rollout.presets import preset_values

__all__ = ["PolicyError", "Problem", "read_policy"]

MAX_WINDOWS = 50
"""Windows of one pool. More is a mistake, and looking through them takes time at every turn of a rollout."""

MAX_HOST_POOLS = 1000


def read_policy(text: str) -> Policy:
    """The policy of a file's text, defaults merged into each pool; raises PolicyError with every problem, nothing else.

    Paths in problems are the file's own: what came from `defaults` is reported there, what came from a preset where
    the preset is named. Values are compared with each other where they are right by themselves.
    """
    tree, problems = read_tree(text)
    check = Check()
    for problem in problems:
        check.report_at(problem.path, problem.line, problem.message)
    images, pools = _sections(tree, check)
    _check_images(images, check)
    _check_pools(pools, check)
    _check_between(images, pools, check)
    check_rings(images, pools, check)
    if check.problems:
        raise PolicyError(check.problems)
    return msgspec.convert(
        {"images": [image.plain() for image in images], "host_pools": [pool.plain() for pool in pools]}, Policy
    )


# ------------------------------------------------------------------------------------------------------------ sections


def _sections(tree: Entry, check: Check) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The images and the host pools with the defaults in them; their keys and types are checked."""
    if not isinstance(tree.data, dict):
        check.report(tree, "must hold the keys images, host_pools and, if wanted, defaults")
        return (), ()
    for key, entry in tree.data.items():
        if key not in ("defaults", "images", "host_pools"):
            check.report(entry, unknown_key(key, ["defaults", "images", "host_pools"]))
    images = _list_of(tree, "images", check)
    for image in images:
        check.compare(image, ImagePolicy)
    defaults = tree.data.get("defaults")
    if defaults is not None:
        check.compare(defaults, PoolPolicy, partial=True)
    own = _list_of(tree, "host_pools", check)
    pools = tuple(_with_defaults(defaults, pool) for pool in own) if defaults else own
    for pool in pools:
        check.compare(pool, PoolPolicy)
    return images, tuple(_with_preset(pool) for pool in pools)


def _list_of(tree: Entry, key: str, check: Check) -> tuple[Entry, ...]:
    entry = tree.find(key)
    if entry is None:
        check.report_at(key, 0, "is missing")
    elif not isinstance(entry.data, tuple) or not entry.data:
        check.report(entry, f"expected a list with at least one of the {key.replace('_', ' ')}")
    elif len(entry.data) > MAX_HOST_POOLS:
        check.report(entry, f"has {len(entry.data)} elements; at most {MAX_HOST_POOLS} are read")
    else:
        return entry.data
    return ()


def _with_defaults(default: Entry, own: Entry, key: str = "") -> Entry:
    """The entry with what it does not say taken from the default; each value keeps its place in the file."""
    if not isinstance(default.data, dict) or not isinstance(own.data, dict):
        return own
    if key == "join" and "type" in own.data and own.data["type"].data != _type_of(default):
        return own
    merged = dict(own.data)
    for name, entry in default.data.items():
        merged[name] = _with_defaults(entry, own.data[name], name) if name in own.data else entry
    return Entry(merged, own.path, own.line)


def _with_preset(pool: Entry) -> Entry:
    """The pool, defaults included, with what it does not say taken from its preset, if it names one."""
    named = pool.find("preset")
    if named is None or not isinstance(named.data, str):
        return pool
    values = preset_values(named.data)
    # They are two ways to say the same: a pool that says one does not want the preset's other.
    for said, other in (("finish_by", "finish_within"), ("finish_within", "finish_by")):
        entry = pool.find(said)
        if entry is not None and entry.data:
            values.pop(other, None)
    return _with_defaults(_of_preset(values, named), pool)


def _of_preset(value: Any, named: Entry) -> Entry:
    """A value of the preset that `named` names, with everything below it."""
    data = {key: _of_preset(below, named) for key, below in value.items()} if isinstance(value, dict) else value
    return Entry(data, named.path, named.line, preset=str(named.data))


def _type_of(join: Entry) -> object:
    entry = join.find("type")
    return entry.data if entry else None


# --------------------------------------------------------------------------------------------------- between the values


def _check_images(images: tuple[Entry, ...], check: Check) -> None:
    """Conflicts within each image, between values that have no problem of their own."""
    broken = check.broken
    for image in images:
        try:
            policy = msgspec.convert(image.plain(broken), ImagePolicy)
        except msgspec.ValidationError:
            continue  # something required is missing or wrong, which has been reported
        for key, others, message in conflicts_of_image(policy):
            entries = {name: entry for name in (key, *others) if (entry := image.find(name))}
            if not any(entry.holds_any_of(broken) for entry in entries.values()):
                _report_conflict(image, key, entries, message, check)


def _check_pools(pools: tuple[Entry, ...], check: Check) -> None:
    """Conflicts within each pool, between values that have no problem of their own."""
    broken = check.broken
    for pool in pools:
        windows = pool.find("windows")
        if windows is not None and isinstance(windows.data, tuple) and len(windows.data) > MAX_WINDOWS:
            check.report(windows, f"has {len(windows.data)} elements; at most {MAX_WINDOWS} are read")
            continue
        try:
            policy = msgspec.convert(pool.plain(broken), PoolPolicy)
        except msgspec.ValidationError:
            continue  # something required is missing or wrong, which has been reported
        for key, others, message in conflicts_of(policy):
            entries = {name: entry for name in (key, *others) if (entry := pool.find(name))}
            if not any(entry.holds_any_of(broken) for entry in entries.values()):
                _report_conflict(pool, key, entries, message, check)


def _report_conflict(pool: Entry, key: str, entries: dict[str, Entry], message: str, check: Check) -> None:
    """At the key itself; where the file does not say it, at its preset, or at the pool for a default of the model."""
    entry = entries.get(key)
    if entry is not None and entry.preset:
        against = [other.path for other in entries.values() if not other.preset]
        check.report(entry, f"{key} of preset {entry.preset} {message}" + _listed("; see ", against))
        return
    unsaid = [f"{name} comes from preset {other.preset}" for name, other in entries.items() if other.preset]
    message += _listed("; ", unsaid)
    if entry is not None:
        check.report(entry, message)
    else:
        first = next(iter(entries.values()), pool)
        check.report_at(f"{pool.path}.{key}", first.line, message)


def _listed(before: str, texts: list[str]) -> str:
    return before + ", ".join(texts) if texts else ""


def _check_between(images: tuple[Entry, ...], pools: tuple[Entry, ...], check: Check) -> None:
    """What must differ between images and between pools, and that every pool's image is there."""
    _check_distinct(images, "name", "two images need two names", check)
    _check_definitions(images, check)
    _check_distinct(pools, "name", "two host pools need two names", check)
    _check_distinct(pools, "host_pool_id", "a host pool is rolled once", check)
    _check_distinct(
        pools,
        "session_host.name_prefix",
        "two rollouts at once could give two hosts one name",
        check,
        normalise=lambda prefix: prefix.lower().removesuffix("-"),
    )
    names = [str(entry.data) for image in images if (entry := image.find("name"))]
    for pool in pools:
        entry = pool.find("image")
        if entry is not None and isinstance(entry.data, str) and entry.data not in names and names:
            hint = meant(entry.data, names) or f"; there is {', '.join(map(shorten, names[:10]))}"
            check.report(entry, f"no image is named {shorten(entry.data)}{hint}")


def _check_definitions(images: tuple[Entry, ...], check: Check) -> None:
    """No two images are of one definition, in whichever way each says it."""
    first: dict[str, Entry] = {}
    for image in images:
        for key in SOURCES:
            entry = image.find(key)
            said = _definition_said(entry) if entry is not None else ""
            if entry is not None and said and (earlier := first.setdefault(said, image)) is not image:
                shown = shorten(entry.data) if isinstance(entry.data, str) else said
                why = "an image definition is rolled out once"
                check.report_at(f"{image.path}.{key}", entry.line, f"{shown} is also that of {earlier.path}: {why}")


def _definition_said(entry: Entry) -> str:
    if isinstance(entry.data, str):
        return definition_of(entry.data)
    parts = [entry.find(key) for key in ("publisher", "offer", "sku")]
    return definition_of(":".join(str(part.data) for part in parts if part is not None))


def _check_distinct(
    entries: tuple[Entry, ...], key: str, why: str, check: Check, *, normalise: Callable[[str], str] = str.lower
) -> None:
    first: dict[str, Entry] = {}
    for parent in entries:
        entry = parent.find(key)
        if entry is None or not isinstance(entry.data, str):
            continue
        earlier = first.setdefault(normalise(entry.data), parent)
        if earlier is not parent:
            check.report_at(
                f"{parent.path}.{key}", entry.line, f"{shorten(entry.data)} is also that of {earlier.path}: {why}"
            )
