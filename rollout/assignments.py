"""What an orchestration is started with: everything is pinned at the start, so that a later edit changes nothing."""

from __future__ import annotations

from msgspec import Struct

from rollout.expected import Expected
from rollout.policy import ImagePolicy, PoolPolicy


class ImageRollout(Struct, frozen=True):
    """Roll one image version out to these host pools. `started_by` is the person who asked for it, if one did.

    `expected` is what its plan foresaw of each pool, by name, if it was planned.
    """

    version_id: str
    image: ImagePolicy
    pools: tuple[PoolPolicy, ...]
    started_by: str = ""
    expected: dict[str, Expected] = {}


class PoolRollout(Struct, frozen=True, omit_defaults=True):
    """Roll one image version out to one host pool.

    `state` is what it remembers, packed, when the rollout goes on in a new execution.
    """

    version_id: str
    policy: PoolPolicy
    state: str = ""


class ReplicaOrder(Struct, frozen=True, omit_defaults=True):
    """Give an image version so many replicas in these regions, where it has as many as `only_if` says (if it does)."""

    version_id: str
    replicas: dict[str, int]
    only_if: dict[str, int] = {}
