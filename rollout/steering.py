"""Steers people away from outdated hosts, without a word to them, and gives hosts back when session slots get short.

A steered host is in drain mode: who is on it stays, and nobody new is brokered to it. Nothing of it is remembered once
Azure shows it; the rollout's tag and drain mode say so.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from rollout.capacity import (
    Slots,
    after_draining,
    choose_to_drain,
    give_back_order,
    would_accept_sign_ins,
)
from rollout.drain import withdrawn_notice
from rollout.model import HostProgress, SessionHost, Stage, count_of
from rollout.outcomes import MAX_ATTEMPTS
from rollout.steps import ReleaseHost, StartDraining, StopDraining
from rollout.turn import LATER, SOON, Turn

STARTS_PER_TURN = 50
"""Hosts that are steered, given back, emptied or made in one turn at most: each is a step, and a step is history."""


def steer(turn: Turn, candidates: list[SessionHost]) -> None:
    """Put those of the candidates that are not in drain mode into it, emptiest first, while the reserve stays free."""
    if any(host.attempts == 0 for host in turn.in_stage([Stage.GIVING_BACK]).values()):
        return  # what has just been given back shall help first; one that cannot be given back holds nothing up
    accepting = [host for host in candidates if host.allows_new_sessions]
    slots = turn.slots()
    next_to_move = min((host.at_work for host in turn.steered if host.at_work), default=0)
    chosen, _, refused = choose_to_drain(accepting, slots, turn.pool, limit=STARTS_PER_TURN, next_to_move=next_to_move)
    for host in chosen:
        turn.put(host.name, HostProgress(stage=Stage.STEERING, since=turn.now))
        turn.redo(drain_step(turn, host))
    if chosen:
        turn.tell(f"steering new sign-ins away from {_some(chosen)}")
        turn.wake(turn.now + SOON)
    if refused is not None and not chosen and not turn.steered:
        turn.refused_by_reserve = why_refused(turn, slots, refused)


def settle_steering(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    """A host whose drain mode shows needs not be remembered any more."""
    if (
        host is None
        or not host.vm_id
        or not host.registration
        or (not host.allows_new_sessions and host.is_held_by(turn.rollout_id))
    ):
        turn.drop(name)
    elif turn.is_due(progress):
        turn.wake(turn.now + LATER)
        turn.redo(drain_step(turn, host))


def drain_step(turn: Turn, host: SessionHost) -> StartDraining:
    """Turns drain mode on and tags the host as this rollout's."""
    return StartDraining(
        host=host.name, vm_id=host.vm_id, registration=host.registration, reason=f"{host.name} is to be replaced"
    )


def give_back_while_short(turn: Turn) -> None:
    """Give drained hosts with people on them back, the fullest first, while too few session slots are free.

    Those whose people have been asked to leave come last, and before people are asked in the same turn, so that nobody
    reads that they must go and that they may stay. While many sign in, the next look is soon: see `_watch_sign_ins`.
    """
    slots = turn.slots()
    _watch_sign_ins(turn, slots)
    if not slots.are_short:
        return
    draining = turn.in_stage([Stage.DRAINING])
    asked = [name for name, progress in draining.items() if progress.asked and not progress.stays_drained]
    quiet = [name for name, progress in draining.items() if not progress.asked and not progress.stays_drained]
    not_asked = [*turn.steered, *(turn.hosts[name] for name in quiet if name in turn.hosts)]
    last = [turn.hosts[name] for name in asked if name in turn.hosts]
    given_back = 0
    for host in [*give_back_order(not_asked), *give_back_order(last)]:
        if not slots.are_short_of_enough or given_back == STARTS_PER_TURN:
            return
        gained = turn.pool.max_session_limit - host.load
        if not would_accept_sign_ins(host) or gained <= 0 or (host.load == 0 and host.name in asked):
            continue
        if slots.accepting == 0 and slots.at_work == 0:
            return  # the last host was drained although none remains: see may_drain
        why = f"free session slots are down to {slots.free}, the reserve is {slots.reserve}"
        give_back(turn, host.name, why)
        given_back += 1
        slots = structs.replace(
            slots, free=slots.free + gained, accepting=slots.accepting + 1, at_work=slots.at_work - host.at_work
        )


def give_back(turn: Turn, name: str, why: str, how: str = "given back") -> None:
    """Put a drained host back into service and tell those who were asked to leave."""
    host, progress = turn.hosts.get(name), turn.in_hand.get(name)
    if host is None:
        turn.drop(name)
        return
    if progress is None:
        progress = HostProgress(stage=Stage.GIVING_BACK, since=turn.now)
    elif (withdrawn := withdrawn_notice(host, progress, turn.policy)) is not None:
        turn.redo(withdrawn)
    turn.tell(f"{name} is {how}: {why}")
    # Its drain may have been ordered and not be listed yet. The order to give it back reads the tag anew.
    may_be_tagged = progress.retry_at is not None and progress.retry_at > turn.now
    turn.put(name, progress)
    progress = structs.replace(turn.enter(name, Stage.GIVING_BACK), sessions={}, asked=False)
    turn.put(name, progress)
    restore(turn, name, progress, host, may_be_tagged=may_be_tagged)


def give_back_all(turn: Turn, why: str) -> None:
    """Give every drained host back; of the steered ones so many in a turn, as each is a step."""
    for name in turn.in_stage([Stage.DRAINING, Stage.STEERING]):
        give_back(turn, name, why)
    for host in give_back_order(turn.steered)[:STARTS_PER_TURN]:
        give_back(turn, host.name, why)


def restore(
    turn: Turn, name: str, progress: HostProgress, host: SessionHost | None, *, may_be_tagged: bool = False
) -> None:
    """Take a host that is being given back one step further; `may_be_tagged` although no tag is listed."""
    if host is None or not host.vm_id:
        turn.drop(name)
        turn.canary = tuple(canary for canary in turn.canary if canary != name)
    elif not host.is_tagged and not may_be_tagged:
        turn.drop(name)  # the tags go last; an untagged host that is in drain mode has been drained by somebody else
    elif turn.is_due(progress):
        turn.wake(turn.now + SOON)
        if progress.attempts == MAX_ATTEMPTS:
            turn.tell(f"{name} cannot be given back: {progress.reason}; it will be tried again and again")
        reason = f"{name} is given back"
        if progress.stays_drained:
            turn.redo(ReleaseHost(host=name, vm_id=host.vm_id, deallocate=False, reason=reason))
        else:
            turn.redo(StopDraining(host=name, vm_id=host.vm_id, registration=host.registration, reason=reason))


def _watch_sign_ins(turn: Turn, slots: Slots) -> None:
    """Look again before the free slots can have been used up, were people to go on signing in like this."""
    rate = turn.sign_ins_per_hour
    if turn.steered and rate > 0:
        lasts = timedelta(hours=max(0.0, slots.free) / rate)
        turn.wake(turn.now + max(SOON, lasts / 4))


def why_refused(turn: Turn, slots: Slots, host: SessionHost) -> str:
    """What would become of the session slots, were this host drained."""
    after = after_draining(slots, host, turn.pool)
    return (
        f"draining {host.name} with its {count_of(host.load, 'session')} would leave "
        f"{after.free} free session slots, the reserve is {after.reserve}"
    )


def _some(hosts: list[SessionHost]) -> str:
    """Hosts with what is on them: all of a few, the first of many."""
    named = [f"{host.name} ({count_of(host.load, 'session')})" for host in hosts[:8]]
    return ", ".join(named) + (f" and {count_of(len(hosts) - 8, 'more host')}" if len(hosts) > 8 else "")
