"""Takes outdated hosts out of service: asks their people to leave, ends what is over, removes them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

from msgspec import structs

from rollout.capacity import choose_to_drain, drain_order, free_slots_of, give_back_order, may_move
from rollout.drain import DrainPlan, mark_of, plan_drain
from rollout.model import HostProgress, SessionHost, Stage, count_of
from rollout.orders import forced_sessions
from rollout.outcomes import MAX_ATTEMPTS
from rollout.pace import REMOVAL, ask_from, worth_asking_ahead
from rollout.replacing import REMOVAL_FAILS, UNDER_WAY, keep_remains
from rollout.retained import is_worth_retaining, retain
from rollout.steering import STARTS_PER_TURN, drain_step, give_back, restore, settle_steering, why_refused
from rollout.steps import NotifySessions, RemoveHost
from rollout.turn import DRAINED_STAGES, GRACE_ENDED, LATER, LEAVING_STAGES, NEW_HOST_STAGES, SOON, Turn
from rollout.windows import closes_at, is_open

AT_ONCE = timedelta(seconds=15)
"""How soon to go on with what only waits for the turn to be remembered."""

PATIENCE = timedelta(hours=1)
"""So long after their deadline people are not signed out for want of room on current hosts; then any room will do."""


def advance_leaving_hosts(turn: Turn) -> None:
    """Take every draining or leaving host in hand one step further."""
    for name, progress in list(turn.in_hand.items()):
        host = turn.hosts.get(name)
        if turn.is_busy(name):
            continue
        if progress.stage in LEAVING_STAGES and progress.attempts >= MAX_ATTEMPTS and host is not None:
            _give_up(turn, name, progress, host)
        elif progress.stage is Stage.STEERING and progress.attempts >= MAX_ATTEMPTS and host is not None:
            skip(turn, name, "StepKeepsFailing", progress.reason)
        elif progress.stage is Stage.STEERING:
            settle_steering(turn, name, progress, host)
        elif progress.stage is Stage.DRAINING:
            _empty(turn, name, progress, host)
        elif progress.stage is Stage.REMOVING:
            _remove(turn, name, progress, host)
        elif progress.stage is Stage.GIVING_BACK:
            restore(turn, name, progress, host)


def those_that_may_go(turn: Turn) -> list[SessionHost]:
    """Outdated hosts that may be taken out of service now, steered ones among them.

    One that somebody else switched off or drained goes only when the host that takes over that state is in service,
    or when no more hosts will be provisioned, or when there is no room to provision one first: then its replacement is
    owed. In place, it makes room for the canary only if there is no other.
    """
    if turn.policy.strategy == "in_place" and turn.canary_passed:
        return turn.outdated
    if turn.still_needed <= 0:
        awaited = {p.replaces for p in turn.in_stage(NEW_HOST_STAGES).values() if p.stays_off or p.stays_drained}
        return [host for host in turn.outdated if host.name not in awaited]
    kept = turn.special.difference(turn.due)
    ordinary = [host for host in turn.outdated if host.name not in kept]
    if ordinary or turn.number_in([Stage.STEERING]):
        return ordinary
    no_room = turn.room <= 0 and not turn.number_in(NEW_HOST_STAGES)
    return turn.outdated if turn.policy.strategy == "in_place" or no_room else []


def replace_empty_hosts(turn: Turn) -> None:
    """Remove drained hosts that are empty: that disturbs nobody, whatever the time.

    As many as the pool can spare. Of the zones, the one that has most hosts beyond its share gives first.
    """
    # A host that is put into service by this very turn is there when these are removed, in the next one, or they wait.
    limit = min(turn.removable + turn.put_in_service, _hands_free(turn), STARTS_PER_TURN)
    if limit <= 0:
        return
    empty = [host for host in _drained(turn) if host.load == 0 or host.is_powered_off]
    gone = _by_crowded_zone(turn, [host for host in empty if fits_the_window(turn, host)], limit)
    for host in gone:
        # Removed in the next turn: a host that is gone and in nobody's hands would be one that somebody else removed.
        _take_in_hand(turn, host)
        if host.allows_new_sessions or not host.is_held_by(turn.rollout_id):
            turn.redo(drain_step(turn, host))
        turn.wake(turn.now + AT_ONCE)
    if gone:
        turn.wave += 1
        turn.tell(f"wave {turn.wave}: replacing {_names(gone)}, drained and empty")


def end_what_was_left_behind(turn: Turn) -> None:
    """Begin to empty drained hosts on which nobody is at work: their disconnected sessions have their own grace."""
    left = [host for host in _drained(turn) if host.load and not host.at_work and not host.is_powered_off]
    limit = max(0, min(_hands_free(turn), STARTS_PER_TURN))
    for host in list(islice((host for host in drain_order(left) if fits_the_window(turn, host)), limit)):
        _start_draining(turn, host, asked=False)


def ask_people_to_leave(turn: Turn) -> None:
    """Ask the people of drained hosts to leave, fewest first, when the time has come and there is room for them.

    Nobody shall be signed out twice, so there must be a place for everybody who has been asked on hosts that will not
    be replaced: those in service and those on their way: the sessions of each wave fit the free
    slots of the hosts that are current by then, so waves grow as these do). And a place for everybody at all, with
    most of the reserve still free.
    """
    start = ask_from(turn)
    if start is not None and start > turn.now:
        turn.wake(start)
        return
    if turn.blocked is not None and turn.removable <= _emptied_or_asked(turn):
        return  # as long as no new host can be made, those who left would have left for nothing
    waiting = [h for h in _drained(turn) if h.at_work and not h.is_powered_off]
    waiting += [turn.hosts[n] for n, p in turn.in_stage([Stage.DRAINING]).items() if not p.asked and n in turn.hosts]
    limit = _worth_asking(turn)
    in_order = (host for host in drain_order(waiting) if host.at_work and fits_the_window(turn, host))
    candidates = list(islice(in_order, max(1, limit)))
    asked = _choose_to_ask(turn, candidates, limit)
    turn.wants_room = len(asked) < min(len(candidates), limit)
    if asked:
        turn.wave += 1
        people = sum(host.at_work for host in asked)
        who = "1 person" if people == 1 else f"{people} people"
        turn.tell(f"wave {turn.wave}: asking {who} on {_names(asked)} to leave")
    for host in asked:
        _start_draining(turn, host, asked=True)


def start_wave(turn: Turn, limit: int, hosts: list[SessionHost] | None = None) -> list[str]:
    """Choose the next of `hosts` (the outdated ones) and empty them at once; returns each with what is on it.

    For the canary in place, and to bring a pool back to its size. No more than the pool can spare, no more than
    `limit`, no more in hand at once than `max_wave`.
    """
    spare = turn.removable - turn.number_in(DRAINED_STAGES)
    if turn.policy.strategy == "surge":
        spare -= turn.max_unavailable  # nobody is asked to leave before there is a host more than the pool needs
    limit = min(limit, spare, _hands_free(turn), STARTS_PER_TURN)
    if limit <= 0:
        return []
    eligible = those_that_may_go(turn) if hosts is None else hosts
    candidates = [host for host in eligible if fits_the_window(turn, host)]
    turn.out_of_time = bool(eligible) and not candidates
    slots = turn.slots()
    wave, _, refused = choose_to_drain(candidates, slots, turn.pool, limit=limit)
    if refused is not None and not wave:
        turn.refused_by_reserve = why_refused(turn, slots, refused)
    return [_start_draining(turn, host, asked=True) for host in wave]


def skip(turn: Turn, name: str, code: str, why: str) -> None:
    """Leave an outdated host out of this rollout, back in service."""
    turn.skip(name, code)
    give_back(turn, name, why, how="skipped and given back")


# ----------------------------------------------------------------------------------------------------- the choice


def _drained(turn: Turn) -> list[SessionHost]:
    """Hosts that may go and that nobody new is brokered to: steered, or switched off or drained by somebody else."""
    return [host for host in those_that_may_go(turn) if turn.is_steered(host) or host.name in turn.special]


def _hands_free(turn: Turn) -> int:
    """Hosts that may be emptied or removed besides those that are."""
    return turn.most_in_a_wave - turn.number_in(LEAVING_STAGES)


def _worth_asking(turn: Turn) -> int:
    """Hosts whose people may be asked to leave besides those that are, were there room for all of them."""
    asked = sum(progress.asked for progress in turn.in_stage([Stage.DRAINING]).values())
    empty = sum(not host.load for host in turn.steered)
    return max(0, min(_hands_free(turn), worth_asking_ahead(turn) - asked - empty, STARTS_PER_TURN))


def _choose_to_ask(turn: Turn, candidates: list[SessionHost], limit: int) -> list[SessionHost]:
    """The first of the candidates whose people have somewhere to go, at most so many."""
    moving, slots = turn.asked_to_leave(), turn.slots()
    on_their_way = _slots_on_their_way(turn)
    slots = structs.replace(slots, free=slots.free + on_their_way)
    room = turn.slots_on_current_hosts() + on_their_way
    most = _most_who_land_on_current(turn, on_their_way) if candidates else 0
    chosen: list[SessionHost] = []
    for host in candidates:
        moving += host.at_work
        if len(chosen) >= limit or moving > min(room, most) or not may_move(slots, moving):
            break
        chosen.append(host)
    if not chosen and candidates and not turn.in_hand and may_move(slots, candidates[0].at_work):
        # Nothing else goes on, and there is room somewhere: who lands on an outdated host is spared a second sign-out.
        return candidates[:1]
    if not chosen and candidates and not turn.in_hand:
        _make_room_for(turn, candidates[0])
    if not chosen and candidates:
        turn.refused_by_reserve = (
            f"the {count_of(candidates[0].load, 'session')} on {candidates[0].name} would need a place elsewhere: "
            f"{room} slots are free on current hosts, {slots.free} in all, and the reserve is {slots.reserve}"
        )
    return chosen


def _make_room_for(turn: Turn, next_to_go: SessionHost) -> None:
    """Give the fullest steered host back, so that the people on the one that goes next may be asked to leave.

    More people have come than there were when it was steered. Nothing else goes on, so nothing else would make room.
    """
    others = [host for host in turn.steered if host.name != next_to_go.name and host.load < turn.pool.max_session_limit]
    for host in give_back_order(others)[:1]:
        give_back(turn, host.name, f"its places are needed for the people on {next_to_go.name}, which goes next")


def _emptied_or_asked(turn: Turn) -> int:
    """Hosts that are empty, or will be when their people have left, and that wait for their removal."""
    asked = sum(progress.asked for progress in turn.in_stage([Stage.DRAINING]).values())
    return asked + sum(not host.load for host in turn.steered)


def _slots_on_their_way(turn: Turn) -> int:
    """Session slots of new hosts that will be in service before the people who are asked now are signed out."""
    if turn.policy.expected_provisioning > turn.policy.drain.grace:
        return 0
    coming = turn.in_stage(NEW_HOST_STAGES).values()
    return sum(not p.stays_off and not p.stays_drained for p in coming) * turn.pool.max_session_limit


def _most_who_land_on_current(turn: Turn, on_their_way: int) -> float:
    """So many people who sign in again are brokered to hosts that will not be replaced.

    All when no outdated host accepts sign-ins; else only breadth-first, as long as the current hosts are emptier.
    """
    accepting = [host.load for host in turn.outdated if free_slots_of(host, turn.pool)]
    if not accepting:
        return math.inf
    if turn.pool.load_balancer != "BreadthFirst":
        return -math.inf
    current = [host.load for host in turn.current if free_slots_of(host, turn.pool)]
    count = len(current) + on_their_way // turn.pool.max_session_limit
    return min(accepting) * count - sum(current) if count else -math.inf


def _by_crowded_zone(turn: Turn, hosts: list[SessionHost], limit: int) -> list[SessionHost]:
    """At most `limit` of the hosts to remove: from the zone with most hosts beyond its share, then by cost."""
    there = Counter(host.zone for host in [*turn.settled, *_hosts_of(turn, turn.in_hand)])
    waiting: dict[str, deque[SessionHost]] = {}
    for host in drain_order(hosts):
        waiting.setdefault(host.zone, deque()).append(host)
    chosen: list[SessionHost] = []
    while waiting and len(chosen) < limit:
        zone = max(waiting, key=lambda zone: there[zone] - turn.zones.get(zone, 0))  # the first of equals
        chosen.append(waiting[zone].popleft())
        there[zone] -= 1
        if not waiting[zone]:
            del waiting[zone]
    return chosen


def _hosts_of(turn: Turn, names: Iterable[str]) -> list[SessionHost]:
    return [turn.hosts[name] for name in names if name in turn.hosts]


def fits_the_window(turn: Turn, host: SessionHost) -> bool:
    """The host can be emptied and removed before the open window closes."""
    if not turn.policy.windows:
        return True
    closing = closes_at(turn.policy.windows, turn.now)
    needed = REMOVAL
    if host.load and turn.policy.drain.on_timeout != "wait":
        needed += turn.policy.drain.grace
    if turn.policy.strategy == "in_place":
        needed += turn.policy.expected_provisioning
    return closing is not None and is_open(turn.policy.windows, turn.now) and turn.now + needed <= closing


def _take_in_hand(turn: Turn, host: SessionHost) -> HostProgress:
    vacancy = turn.vacancy_of(host)
    progress = HostProgress(
        stage=Stage.DRAINING,
        since=turn.now,
        shape=vacancy.shape,
        zone=vacancy.zone,
        stays_off=vacancy.stays_off,
        stays_drained=vacancy.stays_drained,
    )
    turn.put(host.name, progress)
    return progress


def _start_draining(turn: Turn, host: SessionHost, *, asked: bool) -> str:
    """Take a host in hand to empty it, or one in hand whose people shall be asked now."""
    progress = turn.in_hand.get(host.name) or _take_in_hand(turn, host)
    progress = structs.replace(progress, asked=asked)
    turn.put(host.name, progress)
    if host.allows_new_sessions or not host.is_held_by(turn.rollout_id):
        if not turn.is_busy(host.name):
            turn.redo(drain_step(turn, host))
        turn.wake(turn.now + SOON)
    else:
        _ask_or_end(turn, host.name, progress, host)
    return f"{host.name} ({'switched off' if host.is_powered_off else count_of(host.load, 'session')})"


def _names(hosts: list[SessionHost]) -> str:
    named = ", ".join(host.name for host in hosts[:8])
    return named + (f" and {count_of(len(hosts) - 8, 'more host')}" if len(hosts) > 8 else "")


# ----------------------------------------------------------------------------------------------------- the stages


def _empty(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    is_gone = host is None or not host.vm_id
    if host is None or (is_gone and not host.allows_new_sessions):
        turn.tell(f"{name} is gone: somebody else removed it while it was draining")
        _remove(turn, name, turn.enter(name, Stage.REMOVING), host)
    elif host.allows_new_sessions or not host.is_held_by(turn.rollout_id):
        turn.wake(turn.now + LATER)
        if turn.is_due(progress):
            if progress.sessions:
                turn.tell(f"somebody turned drain mode off on {name}; it is turned on again")
            turn.redo(drain_step(turn, host))
    elif host.load and not host.is_powered_off:
        _ask_or_end(turn, name, progress, host)
    elif turn.removable > 0:
        _remove(turn, name, turn.enter(name, Stage.REMOVING), host)
    elif progress.sessions:
        turn.put(name, structs.replace(progress, sessions={}))  # who was on it is gone and needs not be remembered


def _ask_or_end(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    """Ask people to leave where it is time to, and end sessions whose time is over."""
    if not progress.asked and host.at_work and not progress.stays_drained:
        turn.drop(name)  # somebody is back at work on it: it is steered again until people may be asked
        return
    if progress.attempts and not turn.is_due(progress):
        return
    plan = plan_drain(
        host,
        progress,
        turn.policy,
        turn.now,
        may_sign_out=_is_anybody_overdue(turn, progress) and _may_sign_out(turn, host, progress),
        signed_out=turn.signed_out_before | turn.signed_out_now,
    )
    turn.put(name, structs.replace(progress, sessions=plan.sessions))
    if plan.overdue and turn.policy.drain.on_timeout == "skip":
        stayed = "1 person has" if len(plan.overdue) == 1 else f"{len(plan.overdue)} people have"
        skip(turn, name, GRACE_ENDED, f"{stayed} not left within the grace period")
    elif plan.hopeless and turn.policy.drain.on_timeout != "wait":
        skip(turn, name, "DoesNotBecomeEmpty", plan.hopeless)
    else:
        _carry_out(turn, host, plan)


def _is_anybody_overdue(turn: Turn, progress: HostProgress) -> bool:
    """Somebody's deadline has come: only then it matters whether there is room, which takes a look at every host."""
    return any(told.deadline <= turn.now for told in progress.sessions.values())


def _may_sign_out(turn: Turn, host: SessionHost, progress: HostProgress) -> bool:
    """There is room for the people of this host, on hosts that will not be replaced, and a window is open if it must.

    In place the first hosts are emptied before there is any current host; and people who have found no room on current
    hosts for an hour after their deadline may go wherever there is some.
    """
    if turn.policy.drain.sign_out_in_window_only and not is_open(turn.policy.windows, turn.now):
        return False
    if turn.slots_on_current_hosts() - turn.moved >= host.at_work:
        return True
    deadlines = [told.deadline for told in progress.sessions.values()]
    waited = bool(deadlines) and turn.now - min(deadlines) >= PATIENCE
    return (waited or not turn.current) and turn.slots().free - turn.moved >= host.at_work


def _carry_out(turn: Turn, host: SessionHost, plan: DrainPlan) -> None:
    users = {session.id: session.user for session in host.sessions}
    for step in plan.steps:
        if isinstance(step, NotifySessions):
            turn.do(step)
            continue
        turn.wake_unhurried(turn.now + SOON)
        turn.moved += step.forced
        turn.signed_out_now |= {mark_of(users[id]) for id in forced_sessions(step)}
        again = all(plan.sessions[id].sign_outs for id in step.sessions)
        (turn.redo if again else turn.do)(step)
    turn.wake(plan.wake_at)


def _remove(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    turn.wake_unhurried(turn.now + UNDER_WAY)
    if host is None or (host.is_retained and not host.is_tagged):
        turn.drop(name)
        turn.tell(f"{name} is {'removed' if host is None else 'kept, switched off, for a roll back'}")
        if _is_owed(turn, name, progress):
            turn.owed.append(structs.replace(progress.vacancy, replaces=name))
    elif host.load and host.registration and host.vm_id and not host.is_powered_off:
        turn.tell(f"{name} is in use again; its people get the whole grace period")
        turn.enter(name, Stage.DRAINING)
    elif host.provisioning != "Deleting" and turn.is_due(progress) and is_worth_retaining(turn, host):
        turn.redo(retain(turn, host))
    elif host.provisioning != "Deleting" and turn.is_due(progress):
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
    """The host that is gone has nobody yet who takes over what is particular to it, nor is one owed already."""
    if turn.still_needed <= 0:
        return False
    if not (progress.stays_off or progress.stays_drained):
        return turn.policy.strategy == "in_place"
    followed = {coming.replaces for coming in turn.in_stage(NEW_HOST_STAGES).values()}
    return name not in followed | {owed.replaces for owed in turn.owed} | set(turn.before.due)
