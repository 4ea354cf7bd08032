"""What an orchestration is started with: everything is pinned at the start, so that a later edit changes nothing."""

from __future__ import annotations

from msgspec import Struct

from rollout.policy import ImagePolicy, PoolPolicy


class ImageRollout(Struct, frozen=True):
    """Roll one image version out to these host pools. `started_by` is the person who asked for it, if one did.

    `recorded`: what becomes of it is written into the record.
    """

    version_id: str
    image: ImagePolicy
    pools: tuple[PoolPolicy, ...]
    started_by: str = ""
    recorded: bool = False


class PoolRollout(Struct, frozen=True, omit_defaults=True):
    """Roll one image version out to one host pool.

    `state` is what it remembers, packed, when the rollout goes on in a new execution, and `unwritten` what is to be
    written into the record. `recorded` and `image`, the image's name, are those of the rollout as a whole.
    """

    version_id: str
    policy: PoolPolicy
    state: str = ""
    recorded: bool = False
    image: str = ""
    unwritten: str = ""


class ReplicaOrder(Struct, frozen=True, omit_defaults=True):
    """Give an image version so many replicas in these regions, where it has as many as `only_if` says (if it does)."""

    version_id: str
    replicas: dict[str, int]
    only_if: dict[str, int] = {}
