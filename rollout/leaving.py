"""Takes outdated hosts out of service: chooses them, empties them, removes them, or gives them back."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from rollout.capacity import after_draining, choose_wave, give_back_order, would_accept_sign_ins
from rollout.drain import DrainPlan, plan_drain, withdrawn_notice
from rollout.model import HostProgress, SessionHost, Stage, count_of
from rollout.outcomes import MAX_ATTEMPTS
from rollout.policy import hosts_of
from rollout.replacing import REMOVAL_FAILS, is_special, keep_remains
from rollout.steps import NotifySessions, ReleaseHost, RemoveHost, StartDraining, StopDraining
from rollout.turn import GRACE_ENDED, LATER, LEAVING_STAGES, NEW_HOST_STAGES, SOON, Turn
from rollout.windows import closes_at, is_open

REMOVAL = timedelta(minutes=10)
"""How long removing an empty host takes at most: what must remain of a window to start it."""


def advance_leaving_hosts(turn: Turn) -> None:
    """Take every draining or leaving host in hand one step further."""
    for name, progress in list(turn.in_hand.items()):
        host = turn.hosts.get(name)
        if turn.is_busy(name):
            continue
        if progress.stage in LEAVING_STAGES and progress.attempts >= MAX_ATTEMPTS and host is not None:
            _give_up(turn, name, progress, host)
        elif progress.stage is Stage.DRAINING:
            _empty(turn, name, progress, host)
        elif progress.stage is Stage.REMOVING:
            _remove(turn, name, progress, host)
        elif progress.stage is Stage.GIVING_BACK:
            _restore(turn, name, progress, host)


def start_wave(turn: Turn, limit: int, hosts: list[SessionHost] | None = None) -> list[str]:
    """Choose the next of `hosts` (the outdated ones) and start draining them; returns each with what is on it.

    No more than the pool can spare: accepting hosts stay at the pool's size (surge) or at most `max_unavailable` below
    it (in place), and sick current hosts spare nobody. No more than `limit`, no more in hand at once than `max_wave`.
    """
    unfit = turn.unfit
    fit = sum(host.name not in unfit for host in turn.current)
    unavailable = _max_unavailable(turn)
    spare = fit + len(turn.outdated) + len(turn.left_alone) - turn.desired + unavailable
    in_hand = len(turn.in_stage(LEAVING_STAGES))
    limit = min(limit, spare, hosts_of(turn.policy.max_wave, turn.desired) - in_hand)
    if limit <= 0:
        return []
    slots = turn.slots()
    slots = structs.replace(slots, free=slots.free - turn.people_leaving(), leaving=turn.people_at_work_leaving())
    eligible = _eligible(turn) if hosts is None else hosts
    candidates = [host for host in eligible if _fits_the_window(turn, host)]
    turn.out_of_time = bool(eligible) and not candidates
    wave, _, refused = choose_wave(candidates, slots, turn.pool, limit=limit)
    if refused is not None and not wave:
        after = after_draining(slots, refused, turn.pool)
        turn.refused_by_reserve = (
            f"draining {refused.name} with its {refused.load} sessions would leave "
            f"{after.free} free session slots, the reserve is {after.reserve}"
        )
    return [_start_draining(turn, host) for host in wave]


def give_back_while_short(turn: Turn) -> None:
    """Give draining hosts with people on them back, the fullest first, while too few session slots are free.

    Before people are asked to leave in the same turn, so that nobody reads that they must go and that they may stay.
    """
    slots = turn.slots()
    draining = [turn.hosts[name] for name in turn.in_stage([Stage.DRAINING]) if name in turn.hosts]
    for host in give_back_order(host for host in draining if host.load and would_accept_sign_ins(host)):
        if not slots.are_short:
            return
        if slots.total == 0 and host.at_work == 0:
            continue  # the last host was drained although none remains: see may_drain
        gained = turn.pool.max_session_limit - host.load
        if gained > 0 and not turn.in_hand[host.name].stays_drained:
            why = f"free session slots are down to {slots.free}, the reserve is {slots.reserve}"
            give_back(turn, host.name, why)
            slots = structs.replace(slots, total=slots.total + turn.pool.max_session_limit, free=slots.free + gained)


def give_back(turn: Turn, name: str, why: str, how: str = "given back") -> None:
    """Put a draining host back into service and tell those who were asked to leave."""
    progress, host = turn.in_hand[name], turn.hosts.get(name)
    if host is None:
        turn.drop(name)
        return
    if (withdrawn := withdrawn_notice(host, progress, turn.policy)) is not None:
        turn.redo(withdrawn)
    turn.tell(f"{name} is {how}: {why}")
    progress = structs.replace(turn.enter(name, Stage.GIVING_BACK), sessions={})
    turn.put(name, progress)
    _restore(turn, name, progress, host)


def skip(turn: Turn, name: str, code: str, why: str) -> None:
    """Leave an outdated host out of this rollout, back in service."""
    turn.skipped[name] = code
    give_back(turn, name, why, how="skipped and given back")


def give_back_all(turn: Turn, why: str) -> None:
    """Give every draining host back."""
    for name in turn.in_stage([Stage.DRAINING]):
        give_back(turn, name, why)


# ----------------------------------------------------------------------------------------------------- the choice


def _max_unavailable(turn: Turn) -> int:
    return hosts_of(turn.policy.max_unavailable, turn.desired) if turn.policy.strategy == "in_place" else 0


def _eligible(turn: Turn) -> list[SessionHost]:
    """Outdated hosts that may go now.

    One that somebody else switched off or drained goes only when the host that takes over that state is in service,
    or when no more hosts will be provisioned, or when there is no room to provision one first: then its replacement is
    owed. In place, it makes room for the canary only if there is no other.
    """
    if turn.policy.strategy == "in_place" and turn.canary_passed:
        return turn.outdated
    if turn.still_needed <= 0:
        awaited = {p.replaces for p in turn.in_stage(NEW_HOST_STAGES).values() if p.stays_off or p.stays_drained}
        return [host for host in turn.outdated if host.name not in awaited]
    ordinary = [host for host in turn.outdated if not is_special(turn, host) or host.name in turn.due]
    if ordinary:
        return ordinary
    no_room = turn.room <= 0 and not turn.in_stage(NEW_HOST_STAGES)
    return turn.outdated if turn.policy.strategy == "in_place" or no_room else []


def _fits_the_window(turn: Turn, host: SessionHost) -> bool:
    if not turn.policy.windows:
        return True
    closing = closes_at(turn.policy.windows, turn.now)
    needed = REMOVAL
    if host.load and turn.policy.drain.on_timeout != "wait":
        needed += turn.policy.drain.grace
    if turn.policy.strategy == "in_place":
        needed += turn.policy.expected_provisioning
    return closing is not None and is_open(turn.policy.windows, turn.now) and turn.now + needed <= closing


def _start_draining(turn: Turn, host: SessionHost) -> str:
    vacancy = turn.vacancy_of(host)
    turn.put(
        host.name,
        HostProgress(
            stage=Stage.DRAINING,
            since=turn.now,
            shape=vacancy.shape,
            zone=vacancy.zone,
            stays_off=vacancy.stays_off,
            stays_drained=vacancy.stays_drained,
        ),
    )
    turn.redo(_drain_step(turn, host))
    turn.wake(turn.now + SOON)
    return f"{host.name} ({'switched off' if host.is_powered_off else count_of(host.load, 'session')})"


def _drain_step(turn: Turn, host: SessionHost) -> StartDraining:
    return StartDraining(
        host=host.name, vm_id=host.vm_id, registration=host.registration, reason=f"{host.name} is to be replaced"
    )


# ----------------------------------------------------------------------------------------------------- the stages


def _empty(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    turn.wake(turn.now + LATER)
    is_gone = host is None or not host.vm_id
    if host is None or (is_gone and not host.allows_new_sessions):
        turn.tell(f"{name} is gone: somebody else removed it while it was draining")
        _remove(turn, name, turn.enter(name, Stage.REMOVING), host)
    elif host.allows_new_sessions or not host.is_held_by(turn.rollout_id):
        if turn.is_due(progress):
            if progress.sessions:
                turn.tell(f"somebody turned drain mode off on {name}; it is turned on again")
            turn.redo(_drain_step(turn, host))
    elif host.load == 0 or host.is_powered_off:
        _remove(turn, name, turn.enter(name, Stage.REMOVING), host)
    else:
        _ask_people_to_leave(turn, name, progress, host)


def _ask_people_to_leave(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    if progress.attempts and not turn.is_due(progress):
        return
    room = turn.slots().free - turn.signed_out >= host.load
    window_allows = not turn.policy.drain.sign_out_in_window_only or is_open(turn.policy.windows, turn.now)
    plan = plan_drain(host, progress, turn.policy, turn.now, may_sign_out=room and window_allows)
    turn.put(name, structs.replace(progress, sessions=plan.sessions))
    if plan.overdue and turn.policy.drain.on_timeout == "skip":
        stayed = "1 person has" if len(plan.overdue) == 1 else f"{len(plan.overdue)} people have"
        skip(turn, name, GRACE_ENDED, f"{stayed} not left within the grace period")
    elif plan.hopeless and turn.policy.drain.on_timeout != "wait":
        skip(turn, name, "DoesNotBecomeEmpty", plan.hopeless)
    else:
        _carry_out(turn, plan)


def _carry_out(turn: Turn, plan: DrainPlan) -> None:
    for step in plan.steps:
        if isinstance(step, NotifySessions):
            turn.do(step)
            continue
        turn.signed_out += step.forced
        again = all(plan.sessions[id].sign_outs for id in step.sessions)
        (turn.redo if again else turn.do)(step)
    turn.wake(plan.wake_at)


def _remove(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    turn.wake(turn.now + SOON)
    if host is None:
        turn.drop(name)
        turn.tell(f"{name} is removed")
        if _is_owed(turn, name, progress):
            turn.owed.append(structs.replace(progress.vacancy, replaces=name))
    elif host.load and host.registration and host.vm_id and not host.is_powered_off:
        turn.tell(f"{name} is in use again; its people get the whole grace period")
        turn.enter(name, Stage.DRAINING)
    elif turn.is_due(progress):
        turn.redo(
            RemoveHost(
                host=name,
                vm_id=host.vm_id,
                registration=host.registration,
                reason=f"{name} is outdated, drained and empty",
            )
        )


def _give_up(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    """Skip a host whose step keeps failing; one without its registration serves nobody any more and is set aside."""
    if progress.stage is Stage.DRAINING:
        skip(turn, name, "StepKeepsFailing", progress.reason)
    elif host.registration:
        skip(turn, name, REMOVAL_FAILS, progress.reason)
    else:
        keep_remains(turn, name)
        if _is_owed(turn, name, progress):
            turn.owed.append(structs.replace(progress.vacancy, replaces=name))


def _is_owed(turn: Turn, name: str, progress: HostProgress) -> bool:
    """The host that is gone had no replacement yet that takes over what is particular to it."""
    particular = (progress.stays_off or progress.stays_drained) and name not in turn.before.due
    return turn.still_needed > 0 and (turn.policy.strategy == "in_place" or particular)


def _restore(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    if host is None or not host.vm_id:
        turn.drop(name)
        turn.canary = tuple(canary for canary in turn.canary if canary != name)
    elif not host.is_tagged:
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
