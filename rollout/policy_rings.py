"""What the rings of an image must be to its host pools: each pool is in exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.policy_check import Check
from rollout.policy_queries import check_queries
from rollout.policy_tree import Entry, child_path, meant, shorten

MAX_RINGS = 20
MAX_START_WINDOWS = 50
"""As many as a host pool may have; see policy_file.py."""


def check_rings(images: tuple[Entry, ...], pools: tuple[Entry, ...], check: Check) -> None:
    """Report rings without pools, of one name, with pools of another image or in two rings, and pools in no ring."""
    for image in images:
        rings = image.find("rings")
        if rings is None or not isinstance(rings.data, tuple):
            continue
        if len(rings.data) > MAX_RINGS:
            check.report(rings, f"has {len(rings.data)} elements; at most {MAX_RINGS} are read")
        elif rings.data:
            _check_rings_of(image, rings.data, pools, check)


def _check_rings_of(image: Entry, rings: tuple[Entry, ...], pools: tuple[Entry, ...], check: Check) -> None:
    image_name = _text(image, "name")
    images_of = {name: _text(pool, "image") for pool in pools if (name := _text(pool, "name"))}
    own = [name for name, of_image in images_of.items() if of_image == image_name]
    ring_of: dict[str, Entry] = {}
    named: dict[str, Entry] = {}
    for ring in rings:
        name = _text(ring, "name")
        if name and named.setdefault(name, ring) is not ring:
            check.report_at(child_path(ring.path, "name"), ring.line, f"{shorten(name)} is the name of two rings")
        _check_lists(ring, check)
        check_queries(ring, check)
        for member in _members(ring):
            pool = str(member.data)
            if pool not in images_of:
                hint = meant(pool, own)
                check.report(member, f"no host pool is named {shorten(pool)}{hint}")
            elif pool not in own:
                check.report(member, f"host pool {pool} uses image {shorten(images_of[pool])}, not this one")
            elif (earlier := ring_of.setdefault(pool, ring)) is not ring:
                check.report(member, f"host pool {pool} is also in {earlier.path}: a pool is in one ring")
            elif sum(str(other.data) == pool for other in _members(ring)) > 1:
                check.report(member, f"host pool {pool} is listed twice")
    for pool in own:
        if pool not in ring_of:
            check.report_at(
                child_path(image.path, "rings"), rings[0].line, f"host pool {pool} uses this image and is in no ring"
            )


def _check_lists(ring: Entry, check: Check) -> None:
    members = ring.find("host_pools")
    if members is not None and members.data == ():
        check.report(members, "a ring has at least one host pool")
    roles = ring.find("gates.approval.roles")
    if roles is not None and roles.data == ():
        check.report(roles, "nobody could ever answer: list at least one role")
    windows = ring.find("start.windows")
    if windows is not None and isinstance(windows.data, tuple) and len(windows.data) > MAX_START_WINDOWS:
        check.report(windows, f"has {len(windows.data)} elements; at most {MAX_START_WINDOWS} are read")


def _members(ring: Entry) -> Iterator[Entry]:
    members = ring.find("host_pools")
    if members is not None and isinstance(members.data, tuple):
        yield from (member for member in members.data if isinstance(member.data, str))


def _text(entry: Entry, key: str) -> str:
    found = entry.find(key)
    return found.data if found is not None and isinstance(found.data, str) else ""
