"""Outdated hosts that are kept for a while, switched off, so that a roll back has them back in minutes.

A retained host is deallocated, in drain mode and still registered; its tag says until when. It is no part of the pool's
size, slots or health. It costs its disk and its share of the quota, as Azure counts the cores of switched-off VMs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rollout.model import RETAINED_TAG, SessionHost
from rollout.steps import RestoreHost, RetainHost

if TYPE_CHECKING:
    from rollout.turn import Turn


def is_worth_retaining(turn: Turn, host: SessionHost) -> bool:
    """A host that is to be removed would serve in a roll back: it runs the version to go back to, and can be off.

    Azure cannot deallocate a VM whose OS disk is ephemeral. One that was switched off is left out: nobody missed it.
    """
    return (
        turn.policy.retain_outdated > timedelta(0)
        and not turn.instead_of
        and bool(host.vm_id and host.registration)
        and not host.shape.ephemeral_placement
        and host.image_version_id.lower() == turn.previous.lower()
        and (host.is_retained or not host.is_powered_off)
    )


def retain(turn: Turn, host: SessionHost) -> RetainHost:
    """The step that keeps a host, drained and empty, for as long as the policy says."""
    until = turn.now + turn.policy.retain_outdated
    why = f"{host.name} is outdated, drained and empty; kept switched off until {until:%a %H:%M} UTC"
    return RetainHost(host.name, host.vm_id, host.registration, until, why)


def retained_until(host: SessionHost) -> datetime | None:
    """Until when a host is kept; None for one that is not, or whose tag cannot be read: nobody removes that."""
    try:
        read = datetime.fromisoformat(host.tags.get(RETAINED_TAG, ""))
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def retained_for(turn: Turn) -> list[SessionHost]:
    """The retained hosts that a roll back may take: of the version that it goes back to, and in nobody's hands."""
    if not turn.instead_of:
        return []
    return [
        host
        for host in turn.hosts.values()
        if host.is_retained and host.name not in turn.in_hand and host.image_version_id.lower() == turn.target.lower()
    ]


def is_restorable(turn: Turn) -> bool:
    """A roll back needs no image: enough hosts of the version are kept."""
    return bool(turn.instead_of) and len(retained_for(turn)) >= len(turn.outdated) > 0


def restoring(host: SessionHost) -> RestoreHost:
    """The step that takes a host back that was kept for a roll back, or for investigation."""
    kept_for = "a roll back" if host.is_retained else "investigation"
    return RestoreHost(host.name, host.vm_id, host.registration, f"{host.name} was kept for {kept_for}")
