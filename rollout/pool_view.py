"""What is shown of a host pool: a word for each host, made from what Azure shows and what the pool's rollout tells.

Pure data and functions. Most of it is in Azure: image version, drain mode and tags. Only who has been asked to leave,
and by when, and who is left alone is not; that is in the status of the pool's rollout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from rollout.capacity import count_slots
from rollout.commands import Command
from rollout.model import (
    QUARANTINE_TAG,
    Phase,
    PoolSnapshot,
    SessionHost,
    definition_of,
    is_outdated,
    short_version,
    version_number,
)
from rollout.policy import PoolPolicy
from rollout.status import PoolStatus


class HostState(StrEnum):
    """Where a session host stands in its pool's rollout, in the order in which a host goes through them."""

    OUTDATED = "Outdated"
    STEERED = "Steered"
    DRAINING = "Draining"
    REMOVING = "Removing"
    RETAINED = "Retained"
    PROVISIONING = "Provisioning"
    JOINING = "Joining"
    VERIFYING = "Verifying"
    CURRENT = "Current"
    QUARANTINED = "Quarantined"
    SKIPPED = "Skipped"


class HostView(Struct, frozen=True, omit_defaults=True):
    """One host. `power` is left out while it runs, `deadline` where nobody has one.

    `drained`: it takes no new sessions. `why` says why it was set aside, or what AVD says of one that is not available.
    `told` is what the rollout has been told of it and has not carried out yet: skip or retry.
    """

    name: str
    state: HostState
    version: str = ""
    sessions: int = 0
    zone: str = ""
    power: str = ""
    drained: bool = False
    deadline: str = ""
    why: str = ""
    told: str = ""


class SlotsView(Struct, frozen=True):
    """Session slots: all of the hosts in service, those free where people may sign in, and how many shall stay free."""

    total: int
    free: int
    reserve: int


class PeopleView(Struct, frozen=True):
    """Sessions, by the version of the host, and on hosts whose people have been asked to leave."""

    on_outdated: int
    on_current: int
    draining: int


class PoolView(Struct, frozen=True, omit_defaults=True):
    """A host pool as it was read. `version` is that of its last `rollout`, or the newest that a host runs."""

    pool: str
    image: str
    ring: str
    version: str
    session_limit: int
    states: dict[HostState, int]
    slots: SlotsView
    people: PeopleView
    hosts: tuple[HostView, ...]
    rollout: str = ""
    phase: Phase | None = None
    message: str = ""
    kept_seconds: float = 0


def view_pool(
    snapshot: PoolSnapshot,
    policy: PoolPolicy,
    ring: str,
    target: str,
    rollout_id: str,
    status: PoolStatus | None,
    queued: Iterable[Command] = (),
) -> PoolView:
    """The view of a pool: `target` is the version id of its last rollout (`rollout_id`), "" when there was none.

    `status` is what that rollout shows of itself, None when nobody knows; `queued` what waits for it in the lease.
    """
    target = target or _newest(snapshot)
    deadlines = {} if status is None else _deadlines(status)
    told = {one.host: one.kind for one in yet_to_carry_out(queued, status)}
    hosts = [_view(host, target, status, deadlines, told.get(host.name, "")) for host in snapshot.hosts]
    outdated = sum(
        host.load for host in snapshot.hosts if is_outdated(host, target, "" if status is None else status.instead_of)
    )
    in_use = [host for host, view in zip(snapshot.hosts, hosts, strict=True) if view.state in _IN_USE]
    drained = [host for host, view in zip(snapshot.hosts, hosts, strict=True) if view.state in _HELD]
    slots = count_slots(snapshot.pool, in_use, drained, policy.reserve)
    return PoolView(
        pool=policy.name,
        image=policy.image,
        ring=ring,
        version=short_version(target),
        session_limit=snapshot.pool.max_session_limit,
        states=_in_order(Counter(view.state for view in hosts)),
        slots=SlotsView(len(in_use + drained) * snapshot.pool.max_session_limit, slots.free, slots.reserve),
        people=PeopleView(
            on_outdated=outdated,
            on_current=sum(view.sessions for view in hosts) - outdated,
            draining=sum(view.sessions for view in hosts if view.state is HostState.DRAINING),
        ),
        hosts=tuple(hosts),
        rollout=rollout_id,
        phase=None if status is None else status.phase,
        message="" if status is None else status.message,
    )


def yet_to_carry_out(queued: Iterable[Command], status: PoolStatus | None) -> tuple[Command, ...]:
    """What the rollout has not carried out yet, by what it shows: the lease learns of it a turn later."""
    carried_out = 0 if status is None else status.carried_out
    return tuple(one for one in queued if one.number > carried_out)


_IN_USE = (HostState.OUTDATED, HostState.CURRENT, HostState.SKIPPED)
_HELD = (HostState.STEERED, HostState.DRAINING)


def state_of(host: SessionHost, target: str, status: PoolStatus | None, deadlines: dict[str, str]) -> HostState:
    """The word for a host: what Azure shows of it decides, and the rollout's status only where Azure shows nothing."""
    if QUARANTINE_TAG in host.tags or (status is not None and host.name in status.quarantined):
        return HostState.QUARANTINED
    if host.is_retained and not host.is_tagged:
        return HostState.RETAINED
    if host.provisioning == "Deleting" or not host.vm_id:
        return HostState.REMOVING
    if not host.registration:
        return HostState.JOINING if host.provisioning in ("Succeeded", "Updating") else HostState.PROVISIONING
    if is_outdated(host, target, "" if status is None else status.instead_of):
        if status is not None and host.name in status.skipped:
            return HostState.SKIPPED
        if not host.is_tagged or host.allows_new_sessions:
            return HostState.OUTDATED
        return HostState.DRAINING if host.name in deadlines else HostState.STEERED
    return HostState.VERIFYING if host.is_tagged else HostState.CURRENT


def _view(host: SessionHost, target: str, status: PoolStatus | None, deadlines: dict[str, str], told: str) -> HostView:
    state = state_of(host, target, status, deadlines)
    aside = {} if status is None else {**status.skipped, **status.quarantined}
    why = aside.get(host.name, "") or host.tags.get(QUARANTINE_TAG, "")
    if not why and host.registration and host.status not in ("", "Available"):
        why = host.status
    return HostView(
        name=host.name,
        state=state,
        version=short_version(host.image_version_id)[-40:],
        sessions=host.load,
        zone=host.zone,
        power="" if host.power == "running" else host.power,
        drained=bool(host.registration) and not host.allows_new_sessions,
        deadline=deadlines.get(host.name, "") if state is HostState.DRAINING else "",
        why=why[:100],
        told=told,
    )


def _deadlines(status: PoolStatus) -> dict[str, str]:
    return {name: deadline for deadline, names in status.draining.items() for name in names.split()}


def _newest(snapshot: PoolSnapshot) -> str:
    """The newest version of the image that most hosts are made from; "" for a pool without hosts."""
    definitions = Counter(definition_of(host.image_version_id) for host in snapshot.hosts)
    common = max(definitions, key=lambda name: definitions[name], default="")
    versions = {host.image_version_id for host in snapshot.hosts if definition_of(host.image_version_id) == common}
    return max(versions, key=lambda version: version_number(version) or (0, 0, 0), default="")


def _in_order(states: Counter[HostState]) -> dict[HostState, int]:
    return {state: states[state] for state in HostState if states[state]}
