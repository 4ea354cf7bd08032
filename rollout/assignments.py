"""What an orchestration is started with: everything is pinned at the start, so that a later edit changes nothing."""

from __future__ import annotations

from msgspec import Struct

from rollout.expected import Expected
from rollout.policy import ImagePolicy, PoolPolicy


class ImageRollout(Struct, frozen=True):
    """Roll one image version out to these host pools. `started_by` is the person who asked for it, if one did.

    `start_reason` is why they did; `expected` is what its plan foresaw of each pool, by name, if it was planned.
    `recorded`: what becomes of it is written into the record; `notified` are the other sinks that are told of it: see
    outbox.py.
    """

    version_id: str
    image: ImagePolicy
    pools: tuple[PoolPolicy, ...]
    started_by: str = ""
    start_reason: str = ""
    expected: dict[str, Expected] = {}
    recorded: bool = False
    notified: tuple[str, ...] = ()


class PoolRollout(Struct, frozen=True, omit_defaults=True):
    """Roll one image version out to one host pool.

    `state` is what it remembers, packed, when the rollout goes on in a new execution, and `unwritten` what it
    owes to its sinks. `recorded`, `notified` and `image`, the image's name, are those of the rollout as a whole. With
    `instead_of` it is a roll back from that version, to `version_id`; `size` is how many hosts the pool shall have
    then, 0: as many as it has.
    """

    version_id: str
    policy: PoolPolicy
    state: str = ""
    instead_of: str = ""
    size: int = 0
    recorded: bool = False
    image: str = ""
    unwritten: str = ""
    notified: tuple[str, ...] = ()


class PoolBack(Struct, frozen=True, omit_defaults=True):
    """One host pool of a roll back: the version that it goes back to, and its size (0: as many hosts as there are)."""

    policy: PoolPolicy
    version_id: str
    size: int = 0


class ImageRollBack(Struct, frozen=True, omit_defaults=True):
    """Take an image version (`version_id`) back from these host pools. `rollout` is the one that had rolled it out.

    `recorded` and `notified` as those of an ImageRollout. `tells`: not the pools' rollouts alone tell of their events,
    but the roll back as a whole as well; one that an earlier version of the app has started does not.
    """

    version_id: str
    rollout: str
    image: ImagePolicy
    pools: tuple[PoolBack, ...]
    by: str
    reason: str = ""
    recorded: bool = False
    notified: tuple[str, ...] = ()
    tells: bool = False


class ReplicaOrder(Struct, frozen=True, omit_defaults=True):
    """Give an image version so many replicas in these regions, where it has as many as `only_if` says (if it does)."""

    version_id: str
    replicas: dict[str, int]
    only_if: dict[str, int] = {}
