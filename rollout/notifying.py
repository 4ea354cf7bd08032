"""Which events people and other systems are told of, as what and how loudly: one notification for each transition.

The table below is the whole of it, and it is what docs/notifications.md lists. An event of the record that is not in it
is nobody's news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

from rollout.capacity import RESERVE_TOO_SMALL
from rollout.model import Phase, RolloutState, SessionHost, Stage
from rollout.recording import Event

Severity = Literal["info", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")

REPLACEMENT_STARTED, REPLACEMENT_ENDED = "HostReplacementStarted", "HostReplacementEnded"

ONLY_NOTIFIED = frozenset({REPLACEMENT_STARTED, REPLACEMENT_ENDED})
"""Kinds that the record leaves out: it has the stages of each host instead."""


OF_RETIREMENT = frozenset({"VersionsRetired", "RetirementFailed"})
"""Kinds of events of a run that retires image versions: there is no rollout behind them."""


class Notification(Struct, frozen=True):
    """What an event is to those who are told: its CloudEvents type, `Goldroll.` and this name, and its severity."""

    name: str
    severity: Severity = "info"


_ENDED: dict[str, Notification] = {
    Phase.SUCCEEDED: Notification("Completed"),
    Phase.SUCCEEDED_WITH_SKIPS: Notification("Completed", "warning"),
    Phase.ROLLED_BACK: Notification("RolledBack", "warning"),
    Phase.ABORTED: Notification("Aborted", "warning"),
    Phase.SUPERSEDED: Notification("Superseded"),
}
"""How a rollout, or its part of a host pool, may end; any other end is Failed."""

_COMMANDS: dict[str, Notification] = {
    "Paused": Notification("Paused", "warning"),
    "Resumed": Notification("Resumed"),
}
"""What an operator has told it. What ends it is told when it has ended."""

_OF_ROLLOUT: dict[str, Notification] = {
    "RolloutStarted": Notification("RolloutStarted"),
    "RollBackStarted": Notification("RolloutRollBackStarted", "warning"),
    "ApprovalAsked": Notification("ApprovalRequested", "warning"),
    "Approved": Notification("Approved"),
    "Rejected": Notification("Rejected", "error"),
    "VersionsRetired": Notification("VersionsRetired"),
    "RetirementFailed": Notification("RetirementFailed", "warning"),
}
"""Of a rollout as a whole, a roll back, or a run that retires image versions."""

_OF_RING: dict[str, Notification] = {
    "Rolling": Notification("RingStarted"),
    "Passed": Notification("RingPassed"),
    "Failed": Notification("RingFailed", "error"),
}

_OF_POOL: dict[str, Notification] = {
    "RolloutStarted": Notification("PoolStarted"),
    "CanaryPassed": Notification("CanaryPassed"),
    "CanaryFailed": Notification("CanaryFailed", "error"),
    "Halted": Notification("PoolHalted", "error"),
    "PeopleAsked": Notification("PeopleAskedToLeave", "warning"),
    "WaveEnded": Notification("WaveCompleted"),
    REPLACEMENT_STARTED: Notification(REPLACEMENT_STARTED),
    REPLACEMENT_ENDED: Notification(REPLACEMENT_ENDED),
}

_OF_HOST: dict[str, Notification] = {
    "Quarantined": Notification("HostQuarantined", "warning"),
    "Skipped": Notification("HostSkipped", "warning"),
}

NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *(known.name for known in _OF_ROLLOUT.values()),
            *(known.name for known in _OF_RING.values()),
            *(known.name for known in _OF_POOL.values()),
            *(known.name for known in _OF_HOST.values()),
            "CapacityBlocked",
            "PoolRollBackStarted",
            *(
                f"{whose}{known.name}"
                for whose in ("Rollout", "Pool")
                for known in [*_COMMANDS.values(), *_ENDED.values(), Notification("Failed")]
            ),
        ]
    )
)
"""Every name that a notification can have."""


def notification_of(event: Event, *, of_pool: bool) -> Notification | None:
    """What is told of an event, None for nothing. `of_pool`: it is of a host pool's own rollout, not of the whole."""
    whose = "Pool" if of_pool else "Rollout"
    if event.kind == "RolloutEnded":
        ended = _ENDED.get(event.phase, Notification("Failed", "error"))
        return Notification(whose + ended.name, ended.severity)
    if event.kind == "CommandTaken":
        told = _COMMANDS.get(event.reason)
        return told and Notification(whose + told.name, told.severity)
    if not of_pool:
        return _OF_RING.get(event.phase) if event.kind == "RingPhaseChanged" else _OF_ROLLOUT.get(event.kind)
    if event.kind == "RolloutStarted" and event.reason == "RollBack":
        return Notification("PoolRollBackStarted", "warning")
    if event.kind == "HostStageChanged":
        return _OF_HOST.get(event.stage)
    if event.kind == "PhaseChanged":
        # A reserve that is used up for a while comes and goes with the people; Azure's refusal wants somebody to act.
        is_blocked = event.phase == Phase.WAITING_CAPACITY and event.reason != RESERVE_TOO_SMALL
        return Notification("CapacityBlocked", "warning") if is_blocked else None
    return _OF_POOL.get(event.kind)


def is_notified(event: Event, *, of_pool: bool) -> bool:
    """Somebody is told of this event."""
    return notification_of(event, of_pool=of_pool) is not None


def is_loud_enough(severity: Severity, least: Severity) -> bool:
    """A severity is at least another one."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


# ------------------------------------------------------------------------------------------------ alerts of the hosts

_IN_REPLACEMENT = (
    Stage.RESTORING,
    Stage.PROVISIONING,
    Stage.JOINING,
    Stage.VERIFYING,
    Stage.REMOVING,
    Stage.DISCARDING,
)
"""Stages in which a host serves nobody. As long as people are leaving it, its alerts are meant."""


def replacements(
    before: Mapping[str, str], after: RolloutState, hosts: Mapping[str, SessionHost]
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """The VMs that are being replaced after a decision, as names with resource ids; which began to be, which no more.

    `before` is the same before the decision: what has begun is in it until it has ended, so each has one beginning and
    one end. A VM that Azure does not show yet has none of them: there is nothing to be alerted about.
    """
    now = {}
    for name, progress in after.in_hand.items():
        host = hosts.get(name)
        vm_id = before.get(name) or (host.vm_id if host is not None else "")
        if vm_id and progress.stage in _IN_REPLACEMENT:
            now[name] = vm_id
    return now, tuple(name for name in now if name not in before), tuple(name for name in before if name not in now)


def of_replacements(
    before: Mapping[str, str], after: RolloutState, hosts: Mapping[str, SessionHost], now: datetime
) -> tuple[dict[str, str], tuple[Event, ...]]:
    """What is to be remembered after a decision as `RolloutState.replaced`, and the events of it."""
    left, started, ended = replacements(before, after, hosts)
    events = [
        Event(
            now, REPLACEMENT_STARTED, f"{name} is out of service while it is replaced", host=name, resource=left[name]
        )
        for name in started
    ]
    events += ends_of(before, ended, now)
    return left, tuple(events)


def ends_of(replaced: Mapping[str, str], names: Iterable[str], now: datetime) -> list[Event]:
    """That these hosts are no longer being replaced."""
    return [
        Event(now, REPLACEMENT_ENDED, f"the replacement of {name} is over", host=name, resource=replaced[name])
        for name in names
    ]
