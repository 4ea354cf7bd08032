"""Decides what a host pool's rollout does now, and why: observe, *decide*, act, wait.

`decide` is a pure function of what the rollout remembers, what Azure shows, the policy and the time. It may be called
again with the same or a newer snapshot after a crash at any point: what is done is read from the pool.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import chain

from msgspec import structs

from rollout.capacity import RESERVE_TOO_SMALL, drain_order, give_back_order, in_plain_words
from rollout.commands import Command
from rollout.drain import is_anybody_due
from rollout.headway import idle_seconds
from rollout.health import judge_pool, lasting, sick_since
from rollout.host_commands import carry_out
from rollout.leaving import (
    advance_leaving_hosts,
    ask_people_to_leave,
    end_what_was_left_behind,
    fits_the_window,
    replace_empty_hosts,
    start_wave,
    those_that_may_go,
)
from rollout.model import (
    ROLLOUT_TAG,
    HostProgress,
    Phase,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    Stage,
    count_of,
    definition_of,
    short_version,
)
from rollout.naming import latest_number
from rollout.outcomes import SETTLING, look_again_at, record, retry_pause
from rollout.pace import ask_from
from rollout.policy import PoolPolicy
from rollout.replacing import (
    advance_new_hosts,
    bakes_anew,
    fail_in_service,
    keep_quarantined_hosts_marked,
    provision,
    take_back,
)
from rollout.retained import is_restorable, retained_for
from rollout.rolling_back import version_before, why_no_way_back
from rollout.steering import STARTS_PER_TURN, give_back, give_back_while_short, steer
from rollout.steps import Decision, StepError
from rollout.turn import (
    DRAINED_STAGES,
    GRACE_ENDED,
    HOST_GONE,
    LATER,
    LEAVING_STAGES,
    NEW_HOST_STAGES,
    SOON,
    Turn,
    is_set_aside,
)
from rollout.winding_down import (
    difference_in_size,
    stand_still,
    wind_down_aborted,
    wind_down_after_halt,
    wind_down_for_roll_back,
    wind_down_superseded,
)
from rollout.windows import closes_at, is_open, next_opening

TELLING_ATTEMPTS = 3
"""Failed attempts at one step that are worth mentioning: one or two happen every day."""

__all__ = [
    "deals_with_sessions",
    "decide",
    "decide_unreadable",
    "look_again_at",
    "record",
    "start",
    "supersede",
    "tell",
    "to_look_into",
    "why_refused",
]


def start(
    rollout_id: str, pool_id: str, target: str, now: datetime, *, instead_of: str = "", size: int = 0
) -> RolloutState:
    """A rollout of image version `target` (a pinned resource id) on a host pool, before its first turn.

    With `instead_of` it is a roll back from that version: its target has been in use before, so that it needs no
    canary, and the pool shall have `size` hosts again.
    """
    return RolloutState(
        rollout_id=rollout_id,
        pool_id=pool_id,
        target=target,
        started_at=now,
        since=now,
        instead_of=instead_of,
        size=size,
        canary_passed=bool(instead_of),
    )


def tell(state: RolloutState, command: Command | None, queued: tuple[Command, ...] = ()) -> RolloutState:
    """What an operator has told the rollout, None when nothing stands (any more), and what it carries out once: see
    commands.py. Of `queued`, what has been carried out already is left out."""
    queued = tuple(one for one in queued if one.number > state.carried_out)
    if (command, queued) == (state.command, state.queued):
        return state
    return structs.replace(state, command=command, queued=queued)


def supersede(state: RolloutState, by: str) -> RolloutState:
    """A newer version (`by`, its resource id) waits: finish what is in hand, give the rest back, end as Superseded."""
    return structs.replace(state, superseded_by=by)


def decide(state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> Decision:
    """Decide on the steps to take now, each with its reason, and on when to look again.

    Never raises for what Azure may show: unknown words, missing halves of a host, vanished hosts. After a decision
    with `done`, nothing is left in hand, drained or tagged by this rollout, whatever the end is.
    """
    turn = Turn(state, snapshot, policy, now)
    decision = _decide(turn)
    idle = idle_seconds(turn, decision.state)
    return structs.replace(decision, state=structs.replace(decision.state, seen_at=now, idle=idle))


def _decide(turn: Turn) -> Decision:
    state = turn.before
    if state.desired < 0:
        if (refusal := why_refused(turn)) is not None:
            return _refuse(turn, *refusal)
        _begin(turn)
    _notice_what_others_did(turn)
    _take_strays_in_hand(turn)
    carry_out(turn)
    _watch_health(turn)
    advance_new_hosts(turn)
    if turn.phase is Phase.HALTED:
        return wind_down_after_halt(turn)
    if state.command is not None and state.is_paused:  # a newer version waits as well
        stand_still(turn, state.command)
        return _finish(turn) if _is_all_done(turn) else turn.decision()
    if state.command is not None and state.command.kind == "roll_back":
        return wind_down_for_roll_back(turn, state.command)
    if state.command is not None:
        return wind_down_aborted(turn, state.command)
    if state.superseded_by:
        return wind_down_superseded(turn)
    give_back_while_short(turn)
    advance_leaving_hosts(turn)
    if _is_all_done(turn):
        return _finish(turn)
    _start_more(turn)
    keep_quarantined_hosts_marked(turn)
    _say_where_we_are(turn)
    return turn.decision()


def decide_unreadable(state: RolloutState, error: StepError, now: datetime) -> Decision:
    """Decide when the pool could not be read: nothing is done, and the rollout looks again, later each time.

    A pool that no longer exists ends the rollout as Failed: nothing of it is left to restore.
    """
    if error.code in ("404", "ResourceNotFound", "ResourceGroupNotFound"):
        message = f"the host pool no longer exists: {error.message}"
        gone = structs.replace(state, phase=Phase.FAILED, reason="HostPoolGone", message=message, since=now, in_hand={})
        return Decision(state=gone, story=(f"{Phase.FAILED}: {message}",), done=True)
    unreadable = state.unreadable + 1
    message = f"the host pool cannot be read ({error.code}): {in_plain_words(error.message)}"
    story = (message,) if unreadable == 1 else ()
    # Why a rollout halted is said once, in the turn in which it does: it must not be lost.
    kept = state.message if state.phase is Phase.HALTED else message
    return Decision(
        state=structs.replace(state, unreadable=unreadable, message=kept),
        story=story,
        wake_at=now + retry_pause(unreadable, error),
    )


def deals_with_sessions(state: RolloutState, policy: PoolPolicy, now: datetime) -> bool:
    """This turn may tell somebody something or end a session, so it must know the sessions of this moment."""
    draining = (host for host in state.in_hand.values() if host.stage is Stage.DRAINING)
    return any(is_anybody_due(host, policy.drain, now) for host in draining)


def to_look_into(state: RolloutState, now: datetime) -> frozenset[str]:
    """New hosts of which more than the lists tell is needed now: the code of a failed creation, the extensions.

    One call for each, so those are left out whose extension has been started and cannot be done yet; of those whose VM
    is still being made, the reader reads the lists only.
    """
    return frozenset(
        name
        for name, host in state.in_hand.items()
        if host.stage is Stage.PROVISIONING
        or (host.stage is Stage.JOINING and (host.retry_at is None or host.retry_at <= now))
    )


def why_refused(turn: Turn) -> tuple[str, str] | None:
    """Reason code and sentence when this pool cannot be rolled this way; None when it can. Nothing was touched yet."""
    pool = turn.pool
    if pool.pool_type != "Pooled":
        return "NotPooled", (
            f"host pool {pool.name} is of type {pool.pool_type or 'unknown'}: its desktops belong to people, "
            "and replacing them would take their data away; only Pooled host pools are rolled"
        )
    if pool.management_type not in ("", "Standard"):
        return "ManagedByAzure", (
            f"host pool {pool.name} has management type {pool.management_type}: "
            "Azure's own session host update manages its hosts"
        )
    if pool.max_session_limit <= 0:
        return "NoSessionLimit", f"host pool {pool.name} has no session limit, so its free session slots are unknown"
    if (turn.image is None and not is_restorable(turn)) or not definition_of(turn.target):
        return "ImageVersionGone", f"image version {short_version(turn.target)} does not exist"
    # One region's failed copy makes the whole version Failed; where its copy is complete it can be used all the same.
    image = turn.image
    unusable = image is not None and image.provisioning == "Failed" and not image.has_arrived_somewhere
    if image is not None and (unusable or image.provisioning == "Deleting"):
        return "ImageVersionUnusable", (
            f"image version {short_version(turn.target)} has provisioning state {image.provisioning}"
        )
    if not turn.settled and not turn.owed:
        return "NoSessionHosts", f"host pool {pool.name} has no session hosts to replace"
    return why_no_way_back(turn) if turn.instead_of else None


# ------------------------------------------------------------------------------------------- taking in what is there


def _begin(turn: Turn) -> None:
    """Count the pool and remember how it was."""
    turn.desired = turn.before.size or len(turn.settled)
    there = {host.name for host in turn.settled}
    turn.owed = [vacancy for vacancy in turn.owed if vacancy.replaces not in there]
    turn.previous = version_before(turn.outdated, turn.instead_of)
    turn.before = structs.replace(turn.before, settled=len(turn.settled))
    for host in turn.settled:
        turn.zones[host.zone] = turn.zones.get(host.zone, 0) + 1
    # Who is unhealthy now has been so before: that is not held against the rollout.
    unhealthy = sick_since(turn.settled, {}, turn.policy.health, turn.now)
    turn.sick = dict.fromkeys(unhealthy, turn.before.started_at)
    how = "in place" if turn.policy.strategy == "in_place" else f"with up to {count_of(turn.surge, 'extra host')}"
    if turn.instead_of:
        back = f"rolling back from {short_version(turn.instead_of)} to {short_version(turn.target)} {how}"
        turn.tell(f"{len(turn.outdated)} of {turn.desired} hosts are on {short_version(turn.instead_of)}; {back}")
    else:
        outdated = f"{len(turn.outdated)} of {turn.desired} hosts are outdated"
        turn.tell(f"{outdated}; rolling out {short_version(turn.target)} {how}")


def _refuse(turn: Turn, reason: str, message: str) -> Decision:
    """End before anything was touched. A pool that has halted stays so when there is no way back."""
    if turn.before.phase is Phase.ROLLING_BACK:
        turn.say(Phase.HALTED, turn.before.reason, f"{turn.before.message}; there is no way back: {message}")
    else:
        turn.say(Phase.REFUSED, reason, message)
    return turn.decision(done=True)


def _notice_what_others_did(turn: Turn) -> None:
    """Follow the pool's size when somebody else removed or added hosts, and the image when somebody deleted it."""
    for name, reason in list(turn.skipped.items()):
        if reason == HOST_GONE and (host := turn.hosts.get(name)) is not None and host.vm_id:
            turn.take_up_again(name)
    for host in turn.hosts.values():
        if not host.vm_id and host.name not in turn.in_hand and host.name not in turn.skipped:
            turn.skip(host.name, HOST_GONE)
            turn.tell(f"{host.name} is still registered but its VM is gone; it is left alone")
    turn.last_number = latest_number(turn.policy.session_host.name_prefix, turn.names_in_use, turn.last_number)
    change = len(turn.settled) - turn.before.settled + _lose_canaries(turn)
    if change:
        # Who removes surge hosts as well has not asked for a pool of less than what is there: one host stays a pool.
        turn.desired = max(turn.desired + change, min(1, turn.size))
        verb = "removed" if change < 0 else "added"
        turn.tell(f"somebody else {verb} {count_of(abs(change), 'host')}: the pool's size is now {turn.desired}")
    if turn.image is None and turn.still_needed > len(retained_for(turn)):
        turn.halt("ImageVersionGone", f"image version {short_version(turn.target)} no longer exists")


def _watch_health(turn: Turn) -> None:
    """Halt when too many hosts have fallen sick; take aside a current one that does not recover."""
    serving = turn.in_stage([Stage.STEERING, *LEAVING_STAGES, Stage.GIVING_BACK])
    in_hand = [turn.hosts[name] for name in serving if name in turn.hosts]
    turn.sick = sick_since([*turn.settled, *in_hand], turn.sick, turn.policy.health, turn.now)
    if turn.sick:
        turn.wake(turn.now + LATER)
    unfit = frozenset(turn.unfit)
    verdict = judge_pool(turn.current, turn.settled, unfit, turn.policy.health)
    if not verdict.good:
        turn.halt(verdict.code, verdict.why)
    if turn.phase is Phase.HALTED:
        return
    for host in [host for host in turn.current if host.name in unfit] if unfit else ():
        if turn.now - turn.sick[host.name] > turn.policy.health.ready_within:
            fail_in_service(turn, host)


def _lose_canaries(turn: Turn) -> int:
    """How many canaries somebody else removed before they had passed: another one takes the place of each.

    They do not make the pool smaller. A pool that shrank with its canary would have room for no other one.
    """
    if turn.canary_passed:
        return 0
    present = {host.name for host in turn.settled} | turn.in_hand.keys() | turn.quarantined.keys()
    lost = [name for name in turn.canary if name not in present]
    if lost:
        turn.canary = tuple(name for name in turn.canary if name in present)
        turn.tell(f"somebody else removed the canary {', '.join(lost)}; another one takes its place")
    return len(lost)


def _take_strays_in_hand(turn: Turn) -> None:
    """Take in hand, to give back or to take away, hosts that carry a rollout's tag but are in nobody's hands.

    They are left over when a run was terminated between two turns, or when an answer was lost for so long that the
    rollout had given up on the host. A rollout holds its pool's lease, and the snapshot shows unregistered VMs of this
    pool's rollouts only, so such a host belongs to nobody, whichever rollout its tag names.
    """
    for host in turn.hosts.values():
        if ROLLOUT_TAG not in host.tags or host.name in turn.in_hand:
            continue
        if turn.is_steered(host) and turn.is_outdated(host) and host.name not in turn.skipped:
            continue
        if not host.vm_id or is_set_aside(host) or host.name in turn.quarantined:
            continue
        stage = Stage.GIVING_BACK if host.registration else Stage.DISCARDING
        # A host just put into service may be listed with its tag a little longer: it is looked at again first.
        is_new = bool(host.registration) and not turn.is_outdated(host)
        retry_at = turn.now + SETTLING if is_new and host.is_held_by(turn.rollout_id) else None
        turn.put(host.name, HostProgress(stage=stage, since=turn.now, retry_at=retry_at))
        turn.wake(turn.now + SOON)
        turn.tell(f"{host.name} was left {'drained' if host.registration else 'unfinished'} by a run that has ended")


# ----------------------------------------------------------------------------------------------------- starting work


def _start_more(turn: Turn) -> None:
    """Start what the gate, the window and the capacity allow: first the canary, then wave after wave."""
    in_window = is_open(turn.policy.windows, turn.now)
    if not in_window:
        turn.wake(next_opening(turn.policy.windows, turn.now))
    if not turn.canary_passed:
        _bring_up_canary(turn, in_window=in_window)
        _bake_canary(turn)
    if not turn.canary_passed:
        return
    if in_window:
        _free_outdated_hosts(turn)
    else:
        # Until the next window they shall serve people again; what was begun in the window is finished.
        for host in give_back_order(turn.steered)[:STARTS_PER_TURN]:
            give_back(turn, host.name, "the window has closed")
    take_back(turn)
    if _may_provision(turn):
        provision(turn, limit=min(turn.still_needed, STARTS_PER_TURN))


def _free_outdated_hosts(turn: Turn) -> None:
    """Keep new sign-ins off outdated hosts, replace the empty ones, and ask people to leave when it must be.

    What is left when all is replaced, and is too much, goes at the end.
    """
    eligible = those_that_may_go(turn)
    in_time = [host for host in eligible if fits_the_window(turn, host)]
    turn.out_of_time = bool(eligible) and not in_time
    steer(turn, [host for host in in_time if host.name not in turn.special])
    replace_empty_hosts(turn)
    end_what_was_left_behind(turn)
    ask_people_to_leave(turn)
    if not turn.outdated:
        _shed_surplus(turn)


def _shed_surplus(turn: Turn) -> None:
    """Make the pool as large as it was: skipped hosts that have emptied go before hosts on the new version.

    It has more when hosts were skipped for which others had been made already, or when a failed one proves good later.
    """
    emptied = [host for host in turn.left_alone if not host.load and turn.skipped[host.name] == GRACE_ENDED]
    too_many = turn.to_shed - turn.number_in(DRAINED_STAGES)  # those that leave already are still counted
    wave = start_wave(turn, too_many, emptied or _of_crowded_zones(turn)) if too_many > 0 else []
    for host in emptied:
        if host.name in turn.in_hand:
            turn.take_up_again(host.name)
    if wave:
        turn.tell(f"the pool has more hosts than before: draining {', '.join(wave)}")


def _of_crowded_zones(turn: Turn) -> list[SessionHost]:
    """Current hosts of the zones that have more than at the start, as many of each as it has; all where none has.

    Those that somebody switched off or drained stay if there are others: nothing else keeps so many of them.
    """
    beyond = Counter(host.zone for host in turn.settled)
    beyond.subtract(turn.zones)
    ordinary = [host for host in turn.current if host.name not in turn.special]
    special = [host for host in turn.current if host.name in turn.special]
    crowded = []
    for host in chain(drain_order(ordinary), drain_order(special)):
        if beyond[host.zone] > 0:
            beyond[host.zone] -= 1
            crowded.append(host)
    return crowded or ordinary or special


def _may_provision(turn: Turn) -> bool:
    """A new host can be finished before the window closes, or the pool is short of one until it is there (in place)."""
    if turn.policy.strategy == "in_place" and turn.owed:
        return True
    closing = closes_at(turn.policy.windows, turn.now)
    in_time = closing is None or turn.now + turn.policy.expected_provisioning <= closing
    turn.out_of_time = turn.out_of_time or (not in_time and turn.still_needed > 0)
    return in_time


def _bring_up_canary(turn: Turn, *, in_window: bool) -> None:
    """Provision the canary, in place in the room that an outdated host leaves; nothing else is touched meanwhile."""
    missing = turn.policy.canary.hosts - len(turn.canary)
    if missing <= 0:
        return
    if turn.policy.strategy == "in_place" and in_window:
        on_the_way = turn.number_in(LEAVING_STAGES) + len(turn.owed)
        if first := start_wave(turn, limit=missing - on_the_way):
            turn.tell(f"draining {', '.join(first)} to make room for the canary")
    if _may_provision(turn):
        turn.canary += tuple(provision(turn, limit=missing, for_canary=True))


def _bake_canary(turn: Turn) -> None:
    """Let the canary pass when it has been in service and well for the whole bake.

    A pool with fewer hosts to replace than canaries wanted is proven by those it has.
    """
    in_service = {host.name for host in turn.current}
    complete = len(turn.canary) >= turn.policy.canary.hosts or (turn.still_needed <= 0 and not turn.in_hand)
    if not turn.canary or not complete or any(name not in in_service for name in turn.canary):
        turn.bake_until = None
        return
    sick = [name for name in turn.canary if name in turn.sick]
    if turn.bake_until is not None and turn.unseen:
        turn.tell(bakes_anew(turn, turn.canary))
    was_sick = any(name in turn.before.sick for name in turn.canary)
    if turn.bake_until is None or sick or was_sick or turn.unseen:
        turn.bake_until = turn.now + turn.policy.canary.bake
    if newly_sick := [name for name in sick if name not in turn.before.sick]:
        turn.tell(f"the canary {', '.join(newly_sick)} is not well: it must stay good for the whole time anew")
    if turn.now >= turn.bake_until:
        turn.canary_passed = True
        turn.tell(f"the canary {', '.join(turn.canary)} has passed: the waves may begin")
    else:
        turn.wake(turn.bake_until)


# --------------------------------------------------------------------------------------------------- coming to an end


def _is_all_done(turn: Turn) -> bool:
    """Nothing is left to replace, to finish, to make or to take away; and hosts that are all canaries have passed."""
    baking = bool(turn.canary) and not turn.canary_passed
    return not (turn.outdated or turn.in_hand or turn.still_needed > 0 or turn.to_shed or baking)


def _finish(turn: Turn) -> Decision:
    """Everything is replaced: wait for the last marks to be set, then end."""
    keep_quarantined_hosts_marked(turn)
    if turn.steps:
        return turn.decision()
    target, hosts, size = short_version(turn.target), len(turn.current), difference_in_size(turn)
    exceptions = [f"{name} ({why})" for name, why in [*turn.skipped.items(), *turn.quarantined.items()]]
    if turn.instead_of:
        but = f"; skipped or quarantined: {', '.join(exceptions)}" if exceptions else ""
        here = f"{hosts} hosts are in service, none of them on {short_version(turn.instead_of)}"
        turn.say(Phase.ROLLED_BACK, "RolledBack", f"rolled back to {target}: {here}{but}{size}")
    elif exceptions:
        turn.say(
            Phase.SUCCEEDED_WITH_SKIPS,
            "DoneWithSkips",
            f"{hosts} hosts are on {target}; skipped or quarantined: {', '.join(exceptions)}{size}",
        )
    else:
        turn.say(Phase.SUCCEEDED, "Done", f"all {hosts} hosts are on {target}{size}")
    return turn.decision(done=True)


# ------------------------------------------------------------------------------------------------ why it stands where


def _say_where_we_are(turn: Turn) -> None:
    """Set phase, reason and the one sentence that answers "why is it not moving?"."""
    if turn.phase is Phase.HALTED:
        return
    new, leaving = turn.in_stage(NEW_HOST_STAGES), turn.in_stage(LEAVING_STAGES)
    # A probe for room (one new VM that Azure has not made yet) is still waiting for capacity.
    if turn.blocked is not None and all(progress.stage is Stage.PROVISIONING for progress in new.values()):
        turn.say(
            Phase.WAITING_CAPACITY,
            turn.blocked.code,
            f"{turn.blocked.message}; the next attempt is at {turn.blocked.retry_at:%H:%M} UTC",
        )
    elif turn.refused_by_reserve and not turn.in_hand:
        turn.say(Phase.WAITING_CAPACITY, RESERVE_TOO_SMALL, turn.refused_by_reserve)
    elif not turn.in_hand and turn.outdated and (turn.out_of_time or not is_open(turn.policy.windows, turn.now)):
        _say_waiting_for_a_window(turn)
    elif turn.canary_passed or (leaving and turn.policy.strategy == "in_place" and not turn.canary):
        _say_rolling(turn, len(new), len(leaving))
    elif turn.bake_until is not None:
        until = f"{turn.bake_until:%H:%M} UTC"
        canary = ", ".join(turn.canary)
        turn.say(Phase.BAKING, "CanaryBaking", f"the canary {canary} is in service and must stay good until {until}")
    else:
        stages = [f"the canary {name} is {_DOING[progress.stage]}" for name, progress in new.items()]
        turn.say(Phase.CANARY, "ProvingCanary", ", ".join(stages) or "the canary waits to be provisioned")


_DOING = {
    Stage.RESTORING: "being started again",
    Stage.PROVISIONING: "being provisioned",
    Stage.JOINING: "joining its directory and the host pool",
    Stage.VERIFYING: "registered and must prove that it is well",
}


def _say_waiting_for_a_window(turn: Turn) -> None:
    opening, closing = next_opening(turn.policy.windows, turn.now), closes_at(turn.policy.windows, turn.now)
    then = "no window will open again" if opening is None else f"the next window opens at {opening:%a %H:%M} UTC"
    if closing is not None and closing > turn.now:
        too_late = f"no host can be finished before the window closes at {closing:%H:%M} UTC"
        turn.say(Phase.WAITING_WINDOW, "WindowTooShort", f"{too_late}; {then}")
    else:
        turn.say(Phase.WAITING_WINDOW, "OutsideWindow", then)


def _say_rolling(turn: Turn, new: int, leaving: int) -> None:
    phase = Phase.ROLLING if turn.canary_passed else Phase.CANARY
    phase = Phase.ROLLING_BACK if turn.instead_of else phase
    done = f"{len(turn.current)} of {turn.desired} hosts are on {short_version(turn.target)}"
    waiting_for = f"{_those_leaving(turn, leaving)}, {new} on their way"
    unfit = len(lasting(turn.sick, turn.policy.health.settle, turn.now))
    sick = f", {unfit} unhealthy" if unfit else ""
    turn.say(phase, "Replacing", f"{done}; {waiting_for}{sick}{_what_fails(turn)}")


def _those_leaving(turn: Turn, leaving: int) -> str:
    """Hosts that are emptied, asked or not, and why people have not been asked yet."""
    hosts = [turn.hosts[name] for name in turn.in_stage(LEAVING_STAGES) if name in turn.hosts]
    words = f"{leaving} leaving ({count_of(sum(host.load for host in hosts), 'session')})"
    steered = turn.steered
    if not steered:
        return words
    words += f", {len(steered)} steered ({count_of(sum(host.load for host in steered), 'session')})"
    start = ask_from(turn)
    if start is not None and start > turn.now:
        words += f" whose people are asked to leave from {start:%a %H:%M} UTC on"
    return words


def _what_fails(turn: Turn) -> str:
    """The host in hand whose step has failed most often, and why: most often it is what all else waits for."""
    name, progress = max(turn.in_hand.items(), key=lambda item: item[1].attempts, default=("", None))
    if progress is None or progress.attempts < TELLING_ATTEMPTS or progress.stage is Stage.JOINING:
        return ""
    return f"; {name} is {progress.stage}, attempt {progress.attempts} failed: {progress.reason}"
