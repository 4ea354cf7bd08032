"""Rolling back: the same machine the other way round, from the version that was rolled out to the one before it.

Only hosts of the refused version are replaced, by hosts of the version that the pool had, under the same rules for
people and capacity. There is no canary, as that version has served these people before; and windows, deadlines and
presets that make a rollout wait do not hold it up, as people work on a version that somebody has found bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import structs

from rollout.model import (
    Phase,
    RolloutState,
    SessionHost,
    is_marketplace,
    normalise_region,
    short_version,
    version_number,
)
from rollout.policy import PoolPolicy

if TYPE_CHECKING:
    from rollout.turn import Turn

NO_FAULT_OF_THE_IMAGE = frozenset({"ImageVersionGone"})
"""Reasons of a halt after which nothing is to be rolled back: the hosts on the version are well."""


def version_before(outdated: Iterable[SessionHost], instead_of: str) -> str:
    """The id of the version that most of the outdated hosts run, "" when none of them tells or in a roll back.

    Of two that are as common the newer one.
    """
    if instead_of:
        return ""
    counted = Counter(host.image_version_id for host in outdated if host.image_version_id)
    return max(counted, key=lambda id: (counted[id], version_number(id) or (0, 0, 0), id), default="")


def policy_of_roll_back(policy: PoolPolicy) -> PoolPolicy:
    """The pool's policy without what makes a rollout wait for a better time."""
    drain = structs.replace(policy.drain, sign_out_in_window_only=False)
    return structs.replace(policy, windows=(), finish_within=None, finish_by="", drain=drain)


def go_back(state: RolloutState, policy: PoolPolicy, now: datetime) -> RolloutState | None:
    """The roll back that follows a rollout which has ended in this state, None when none does.

    It follows a halt that the hosts of the new version have caused, if the policy says so and a version before is
    known. Who was signed out by the rollout is not signed out by its roll back, and what it was told once is over.
    Hosts that are owed to the pool are owed to it still.
    """
    wanted = policy.on_failure == "roll_back" and state.phase is Phase.HALTED
    if not wanted or state.reason in NO_FAULT_OF_THE_IMAGE or not state.previous or state.instead_of:
        return None
    return RolloutState(
        rollout_id=state.rollout_id,
        pool_id=state.pool_id,
        target=state.previous,
        started_at=now,
        phase=Phase.ROLLING_BACK,
        since=now,
        reason=state.reason,
        message=state.message,
        instead_of=state.target,
        size=state.desired,
        owed=state.owed,
        shapes=state.shapes,
        canary_passed=True,
        quarantined=state.quarantined,
        last_number=state.last_number,
        carried_out=state.carried_out,
        forced_sign_outs=state.forced_sign_outs,
        disconnected_sign_outs=state.disconnected_sign_outs,
        signed_out=state.signed_out,
    )


def why_no_way_back(turn: Turn) -> tuple[str, str] | None:
    """Reason code and sentence when hosts cannot be made from the version to go back to; None when they can."""
    if turn.image is None or is_marketplace(turn.target):
        return None
    there = {
        normalise_region(name) for name, replica in turn.image.regions.items() if replica.state.lower() == "completed"
    }
    needed = {normalise_region(host.shape.location) for host in turn.outdated if host.shape.location}
    missing = sorted(needed - there)
    if not there or not missing:  # a version that tells nothing of its regions is tried
        return None
    return "VersionNotInRegion", f"version {short_version(turn.target)} is not (any more) in {', '.join(missing)}"
