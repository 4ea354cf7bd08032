"""Skip and retry: what an operator tells a rollout about one host, carried out once and in order.

To skip a host is to leave it alone: what the rollout has done to it is taken back, and the rollout can end without it.
To retry is to try again now: a host that was skipped is replaced after all, one that was quarantined must prove itself
anew, and what waits after failed attempts waits no longer. A command that cannot be carried out changes nothing, and
the story says why.
"""

from __future__ import annotations

from msgspec import structs

from rollout.commands import Command, Refused
from rollout.leaving import skip
from rollout.model import QUARANTINE_TAG, HostProgress, Phase, SessionHost, Stage, Vacancy, code_of
from rollout.pool_view import HostState
from rollout.replacing import REMOVAL_FAILS
from rollout.retained import restoring
from rollout.turn import HOST_GONE, NEW_HOST_STAGES, SOON, Turn

SKIPPED_BY_OPERATOR = "SkippedByOperator"
"""Skip reason of a host that somebody wants to be left alone; who and why follow it."""

LONGEST_WHY = 120
"""Characters of who has skipped a host and why, as far as it is remembered with the host; the record has all."""

_NEW = Refused("IsNew", "it is a new host that is being made; abort or roll back takes it away")
SET_ASIDE_BEFORE = Refused("SetAside", "an earlier rollout has set it aside, and this one has no hand in it")
NOTHING_TO_RETRY = Refused("NothingToRetry", "nothing of it waits for another attempt")

WHY_NOT_SKIPPED: dict[HostState, Refused] = {
    HostState.REMOVING: Refused("BeingRemoved", "it is being removed already"),
    HostState.RETAINED: Refused("SetAside", "it has been replaced, and is kept switched off for a roll back"),
    HostState.PROVISIONING: _NEW,
    HostState.JOINING: _NEW,
    HostState.VERIFYING: _NEW,
    HostState.CURRENT: Refused("IsCurrent", "it is in service on the version: there is nothing to skip"),
    HostState.QUARANTINED: Refused("SetAside", "it is kept for investigation, and nothing is done with it"),
    HostState.SKIPPED: Refused("SkippedAlready", "it is skipped already"),
}
"""Where a host cannot be skipped, and why. Everywhere else it can."""

WHY_NOT_RETRIED: dict[HostState, Refused] = {
    HostState.OUTDATED: NOTHING_TO_RETRY,
    HostState.STEERED: NOTHING_TO_RETRY,
    HostState.RETAINED: Refused("SetAside", "it has been replaced, and is kept switched off for a roll back"),
    HostState.CURRENT: NOTHING_TO_RETRY,
}
"""Where nothing of a host can wait, unless it is being steered or given back, which Azure does not show."""


def carry_out(turn: Turn) -> None:
    """Carry out what the rollout was told to do once, in the order in which it was told."""
    for command in turn.before.queued:
        if turn.is_busy(command.host):
            turn.wake(turn.now + SOON)
            return  # one step for each host in a turn: this command and those after it come again
        turn.carried_out = command.number
        why_not = _why_not_now(turn) or (_skip(turn, command) if command.kind == "skip" else _retry(turn, command))
        if why_not is not None:
            host = f" {command.host}" if command.host else ""
            turn.tell(f"told to {command.kind}{host} {command.spoken}; nothing is done: {why_not.why}")


def _why_not_now(turn: Turn) -> Refused | None:
    if turn.phase is Phase.HALTED:
        return Refused("HaltedAlready", "the rollout has halted")
    return Refused("Ending", "the rollout comes to its end") if turn.before.ends_early else None


def _where(turn: Turn, name: str, host: SessionHost) -> HostState:
    """Where a host that exists stands, by what is remembered and shown now; a host that is given back is outdated."""
    progress = turn.in_hand.get(name)
    if progress is not None:
        if progress.stage is Stage.GIVING_BACK and name in turn.skipped:
            return HostState.SKIPPED
        if progress.stage in _WHERE:
            return _WHERE[progress.stage]
        return HostState.OUTDATED if turn.is_outdated(host) else HostState.CURRENT
    if name in turn.quarantined:
        return HostState.QUARANTINED
    if name in turn.skipped:
        return HostState.SKIPPED
    if host.is_retained:
        return HostState.RETAINED
    if not host.vm_id or host.provisioning == "Deleting":
        return HostState.REMOVING
    return HostState.OUTDATED if turn.is_outdated(host) else HostState.CURRENT


_WHERE = {
    Stage.REMOVING: HostState.REMOVING,
    Stage.DISCARDING: HostState.REMOVING,
    Stage.RESTORING: HostState.PROVISIONING,
    Stage.PROVISIONING: HostState.PROVISIONING,
    Stage.JOINING: HostState.JOINING,
    Stage.VERIFYING: HostState.VERIFYING,
}


# --------------------------------------------------------------------------------------------------------------- skip


def _skip(turn: Turn, command: Command) -> Refused | None:
    name, host = command.host, turn.hosts.get(command.host)
    if host is None:
        return _unknown(turn, name)
    if (why_not := WHY_NOT_SKIPPED.get(_where(turn, name, host))) is not None:
        return why_not
    who = f"{command.by}: {command.reason}" if command.reason else command.by
    code = f"{SKIPPED_BY_OPERATOR}: {who}"[:LONGEST_WHY]
    if name in turn.in_hand or turn.is_steered(host):
        skip(turn, name, code, f"told so {command.spoken}")
    else:
        turn.skip(name, code)
        turn.tell(f"{name} is skipped {command.spoken}")
    return None


def _unknown(turn: Turn, name: str) -> Refused:
    if (progress := turn.in_hand.get(name)) is not None and progress.stage in NEW_HOST_STAGES:
        return _NEW
    return Refused("NoSuchHost", "the host pool has no such host")


# -------------------------------------------------------------------------------------------------------------- retry


def _retry(turn: Turn, command: Command) -> Refused | None:
    if not command.host:
        return _retry_all(turn, command)
    name, host = command.host, turn.hosts.get(command.host)
    if name in turn.quarantined:
        return _retry_quarantined(turn, command, host)
    if name in turn.skipped:
        if code_of(turn.skipped[name]) == HOST_GONE:
            return Refused("HostGone", "its VM is gone")
        turn.take_up_again(name)
        turn.tell(f"{name} is to be replaced after all, {command.spoken}")
        return None
    if host is not None and QUARANTINE_TAG in host.tags:
        return SET_ASIDE_BEFORE
    if not _is_waiting(turn.in_hand.get(name)):
        return NOTHING_TO_RETRY if host is not None or name in turn.in_hand else _unknown(turn, name)
    _wait_no_longer(turn, name)
    turn.tell(f"{name} is tried again now, {command.spoken}")
    return None


def _retry_quarantined(turn: Turn, command: Command, host: SessionHost | None) -> Refused | None:
    """A failed host proves itself once more, for one that the pool was owed in its stead; or is taken away at last."""
    name = command.host
    if host is None or not host.vm_id or not host.registration:
        # One that has never registered is not looked at any more either: the rollout has let go of its VM.
        return Refused("NotRegistered", "it is not registered with the host pool; another host takes its place")
    if turn.quarantined[name] == REMOVAL_FAILS:
        turn.take_back(name, HostProgress(stage=Stage.DISCARDING, since=turn.now))
        turn.tell(f"{name} is to be taken away once more, {command.spoken}")
        return None
    if turn.is_outdated(host):
        return Refused("SetAside", "it runs the version that is replaced")
    vacancy = turn.owed.pop() if turn.owed else Vacancy("", turn.shape_index(host.shape), host.zone)
    turn.take_back(
        name,
        HostProgress(
            stage=Stage.RESTORING,
            since=turn.now,
            replaces=vacancy.replaces,
            shape=vacancy.shape,
            zone=host.zone,
            stays_off=vacancy.stays_off,
            stays_drained=vacancy.stays_drained,
        ),
    )
    turn.redo(restoring(host))
    turn.tell(f"{name} must prove itself once more, {command.spoken}")
    return None


def _retry_all(turn: Turn, command: Command) -> Refused | None:
    """Let nothing wait any longer: neither for room in Azure nor for the next attempt at a step that has failed."""
    waiting = [name for name, progress in turn.in_hand.items() if _is_waiting(progress)]
    if not waiting and turn.blocked is None:
        return Refused("NothingToRetry", "nothing waits for another attempt")
    for name in waiting:
        _wait_no_longer(turn, name)
    if turn.blocked is not None:
        turn.blocked = structs.replace(turn.blocked, retry_at=turn.now, attempts=0)
    what = [*(["new hosts"] if turn.blocked is not None else []), *waiting[:8]]
    more = f" and {len(waiting) - 8} more" if len(waiting) > 8 else ""
    turn.tell(f"trying again now: {', '.join(what)}{more}, {command.spoken}")
    return None


def _is_waiting(progress: HostProgress | None) -> bool:
    """Its step has failed; while it joins, an extension that was started more than once has."""
    return progress is not None and progress.attempts > (progress.stage is Stage.JOINING)


def _wait_no_longer(turn: Turn, name: str) -> None:
    turn.put(name, structs.replace(turn.in_hand[name], attempts=0, retry_at=None))
