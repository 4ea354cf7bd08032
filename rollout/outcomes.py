"""What becomes of a rollout's memory when its steps have succeeded or failed: attempts, pauses, counters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import structs

from rollout.capacity import PUT_OFF_CODES, block
from rollout.model import HostProgress, RolloutState, Stage
from rollout.naming import number_in
from rollout.steps import (
    DEFERRED,
    InstallAgent,
    JoinHost,
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    RestoreHost,
    RetainHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)

SETTLING = timedelta(minutes=2)
"""How long a step that succeeded may take to show in what Azure lists, before it is taken again."""

LISTED_LATE = timedelta(minutes=10)
"""So long after a host was put into service a list that shows it in drain mode may be a late one."""

TAKES: dict[type, timedelta] = {JoinHost: timedelta(minutes=2), InstallAgent: timedelta(minutes=8)}
"""Nobody looks into the VM before an extension has had so long: each look is a call for each new host. That a host has
been joined is seen only there; that the agent works shows sooner in the host pool."""

REGISTERS_AFTER = timedelta(minutes=3.5)
"""How long the agent takes at least until its host registers."""

SWITCHING_OFF = "SwitchingOff"
"""Reason of a new host that is proven and is being switched off, as the one before it was. A failed attempt keeps it:
the VM may be off although the answer was lost, and a VM that is off would else never count as proven."""

MAX_ATTEMPTS = 10
"""Attempts after which a host whose step keeps failing is given up: with growing pauses about an hour."""


def record(state: RolloutState, outcomes: Iterable[StepOutcome], now: datetime) -> RolloutState:
    """Remember what became of the steps of the last decision. Outcomes of hosts no longer in hand change nothing."""
    for outcome in outcomes:
        if outcome.error is None:
            state = _succeeded(state, outcome.step, now)
        else:
            state = _failed(state, outcome.step, outcome.error, now)
    return state


def look_again_at(state: RolloutState, outcomes: Iterable[StepOutcome], now: datetime) -> datetime | None:
    """When the first step that failed or was put off is due again, by the memory after `record`; None when none was.

    The turn that decided on the steps could not know, and its next look may be minutes later.
    """
    due = []
    for outcome in outcomes:
        if outcome.error is None:
            continue
        progress = state.in_hand.get(outcome.step.host)
        if progress is not None and progress.retry_at is not None:
            due.append(progress.retry_at)
        elif outcome.error.code == DEFERRED:
            due.append(now + timedelta(seconds=outcome.error.retry_after))
    return min(due, default=None)


def retry_pause(attempts: int, error: StepError) -> timedelta:
    """How long to wait before the next attempt: what Azure asked for, at least 30 s doubling up to 10 minutes."""
    own = timedelta(seconds=min(30 * 2 ** min(attempts - 1, 10), 600))
    return max(own, timedelta(seconds=error.retry_after))


def _succeeded(state: RolloutState, step: Step, now: datetime) -> RolloutState:
    progress = state.in_hand.get(step.host)
    if isinstance(step, SignOutSessions):
        return _signed_out(state, step, progress)
    if isinstance(step, QuarantineHost):
        return structs.replace(state, unmarked={n: count for n, count in state.unmarked.items() if n != step.host})
    if progress is None:
        return state
    if isinstance(step, NotifySessions):
        return _with(state, step.host, structs.replace(progress, attempts=0, retry_at=None))
    in_service = isinstance(step, StopDraining) and progress.stage in (Stage.VERIFYING, Stage.GIVING_BACK)
    released = isinstance(step, ReleaseHost) and not step.deallocate
    if in_service or released:
        return _let_go(state, step.host, progress, now)
    if isinstance(step, JoinHost | InstallAgent):
        # Attempts count how often an extension was started, so that one that fails again and again fails the host.
        started = structs.replace(progress, attempts=progress.attempts + 1, retry_at=now + TAKES[type(step)])
        return _with(state, step.host, started)
    if isinstance(step, ProvisionHost | RemoveHost | RetainHost | RestoreHost | StartDraining | ReleaseHost):
        return _with(state, step.host, structs.replace(progress, attempts=0, retry_at=now + SETTLING))
    return state


def _signed_out(state: RolloutState, step: SignOutSessions, progress: HostProgress | None) -> RolloutState:
    """Count the people who were signed out; one whose session hangs and is signed out again counts once."""
    known = dict(progress.sessions) if progress is not None else {}
    first = [id not in known or known[id].sign_outs == 0 for id in step.sessions]
    forced = sum(first[len(first) - step.forced :])
    state = structs.replace(
        state,
        forced_sign_outs=state.forced_sign_outs + forced,
        disconnected_sign_outs=state.disconnected_sign_outs + sum(first) - forced,
    )
    if progress is None:
        return state
    for id in known.keys() & set(step.sessions):
        known[id] = structs.replace(known[id], sign_outs=known[id].sign_outs + 1)
    return _with(state, step.host, structs.replace(progress, sessions=known, attempts=0, retry_at=None))


def _let_go(state: RolloutState, host: str, progress: HostProgress, now: datetime) -> RolloutState:
    in_hand = {name: other for name, other in state.in_hand.items() if name != host}
    due = state.due
    if progress.stage is Stage.VERIFYING and (progress.stays_off or progress.stays_drained):
        due = (*due, progress.replaces)
    known = {name: at for name, at in state.given_back.items() if now - at < LISTED_LATE}
    known |= {} if progress.stays_drained else {host: now}
    return structs.replace(state, in_hand=in_hand, due=due, settled=state.settled + 1, given_back=known)


def _failed(state: RolloutState, step: Step, error: StepError, now: datetime) -> RolloutState:
    if error.code == DEFERRED:
        return _deferred(state, step, error, now)
    if isinstance(step, QuarantineHost):
        return structs.replace(state, unmarked={**state.unmarked, step.host: state.unmarked.get(step.host, 0) + 1})
    progress = state.in_hand.get(step.host)
    if progress is None:
        return state
    if isinstance(step, NotifySessions):
        if progress.stage is not Stage.DRAINING:
            return state  # they were told that they may stay; that it did not reach them holds nothing up
        progress = _not_told(progress, step.sessions)
    if isinstance(step, ProvisionHost) and error.code in PUT_OFF_CODES and not error.retry_after:
        return _no_room(state, step.host, progress, error, now)
    if isinstance(step, RemoveHost | RetainHost) and error.code == "HostInUse" and progress.stage is Stage.REMOVING:
        back = structs.replace(progress, stage=Stage.DRAINING, attempts=0, retry_at=None, entered=now)
        return _with(state, step.host, back)
    attempts = progress.attempts + 1
    reason = progress.reason if progress.reason == SWITCHING_OFF else f"{error.code}: {error.message}"[:300]
    retry_at = now + retry_pause(attempts, error)
    return _with(state, step.host, structs.replace(progress, attempts=attempts, retry_at=retry_at, reason=reason))


def _deferred(state: RolloutState, step: Step, error: StepError, now: datetime) -> RolloutState:
    """Nothing was tried: the step is due again in the next turn, or when the error says so."""
    progress = state.in_hand.get(step.host)
    if progress is None or isinstance(step, QuarantineHost):
        return state
    if isinstance(step, NotifySessions) and progress.stage is Stage.DRAINING:
        progress = _not_told(progress, step.sessions)
    retry_at = now + timedelta(seconds=error.retry_after) if error.retry_after else None
    return _with(state, step.host, structs.replace(progress, retry_at=retry_at))


def _not_told(progress: HostProgress, sessions: tuple[str, ...]) -> HostProgress:
    """These people did not get the message. Who has had none yet gets a new deadline with the next attempt."""
    known = dict(progress.sessions)
    for id in sessions:
        if id in known and known[id].notices > 1:
            known[id] = structs.replace(known[id], notices=known[id].notices - 1)
        else:
            known.pop(id, None)
    return structs.replace(progress, sessions=known)


def _no_room(state: RolloutState, host: str, progress: HostProgress, error: StepError, now: datetime) -> RolloutState:
    """Azure refused the VM for want of quota or stock: nothing was created, and the pool is owed the host.

    Its number is free again if it was the last one given out: a night without quota shall not use up thirty numbers.
    """
    return structs.replace(
        state,
        in_hand={name: other for name, other in state.in_hand.items() if name != host},
        canary=tuple(name for name in state.canary if name != host),
        owed=(*state.owed, progress.vacancy),
        blocked=block(state.blocked, error.code, error.message, now),
        last_number=state.last_number - (number_in(host) == state.last_number),
    )


def _with(state: RolloutState, host: str, progress: HostProgress) -> RolloutState:
    return structs.replace(state, in_hand={**state.in_hand, host: progress})
