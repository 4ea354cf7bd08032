"""Takes ARM resource ids apart. Azure changes their case at will, so every comparison is made in lower case."""

from __future__ import annotations

from typing import NamedTuple


class ResourceId(NamedTuple):
    """The parts of `/subscriptions/s/resourceGroups/g/providers/Namespace/type/name[/type/name...]`.

    `names` are the names of the resource and its parents, outermost first; empty for a resource group.
    """

    subscription: str
    group: str
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.names[-1]


class NotAResourceId(ValueError):
    """The text is not the id of a resource in a resource group."""


def parse(resource_id: str) -> ResourceId:
    """Take an id apart; raises NotAResourceId."""
    parts = resource_id.strip("/").split("/")
    words = [part.lower() for part in parts]
    if len(parts) < 4 or words[0] != "subscriptions" or words[2] != "resourcegroups" or not all(parts):
        raise NotAResourceId(f"not a resource id: {resource_id[:200]!r}")
    if len(parts) == 4:
        return ResourceId(parts[1], parts[3])
    if len(parts) < 8 or len(parts) % 2 or words[4] != "providers":
        raise NotAResourceId(f"not a resource id: {resource_id[:200]!r}")
    return ResourceId(parts[1], parts[3], tuple(parts[7::2]))


def group_id(resource_id: str) -> str:
    """The id of the resource group that a resource (or the group itself) lies in, in lower case."""
    parsed = parse(resource_id)
    return f"/subscriptions/{parsed.subscription}/resourcegroups/{parsed.group}".lower()


def same(one: str, other: str) -> bool:
    """Both ids name the same resource."""
    return bool(one) and one.strip("/").lower() == other.strip("/").lower()


def last(name: str) -> str:
    """The last segment of an id, or of a nested name such as `pool/host/session`."""
    return name.rstrip("/").rsplit("/", 1)[-1]
