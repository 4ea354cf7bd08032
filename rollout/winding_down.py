"""How a rollout comes to an end before its time, or stands still: halted, superseded, aborted, paused.

Whatever the end is, nothing is left in hand, drained or tagged. A pool that is not as large as it was is told of.
"""

from __future__ import annotations

from datetime import timedelta

from rollout.capacity import drain_order, give_back_order
from rollout.commands import Command
from rollout.drain import withdrawn_notice
from rollout.leaving import advance_leaving_hosts, start_wave
from rollout.model import Phase, Stage, count_of, short_version
from rollout.replacing import advance_new_hosts, is_marked, keep_quarantined_hosts_marked, provision
from rollout.steering import STARTS_PER_TURN, give_back, give_back_all, give_back_while_short
from rollout.steps import Decision
from rollout.turn import NEW_HOST_STAGES, SOON, Turn
from rollout.windows import is_open


def wind_down_after_halt(turn: Turn) -> Decision:
    """Give back what is drained and keep unproven hosts, drained, for investigation; then end as Halted."""
    give_back_all(turn, "the rollout is halted")
    advance_leaving_hosts(turn)
    for name in turn.in_stage(NEW_HOST_STAGES):
        _set_aside(turn, name)
    keep_quarantined_hosts_marked(turn)
    unmarked = [name for name in turn.quarantined if not is_marked(turn, name)]
    if turn.in_hand or turn.steered or turn.steps or unmarked:
        turn.wake(turn.now + SOON)
        return turn.decision()
    turn.message += difference_in_size(turn)
    return turn.decision(done=True)


def difference_in_size(turn: Turn) -> str:
    """What a rollout says at its end when it leaves the pool larger or smaller than it was."""
    if not turn.surplus:
        return ""
    more_or_less = "more than" if turn.surplus > 0 else "short of"
    return f"; the pool is {count_of(abs(turn.surplus), 'host')} {more_or_less} its size"


def _set_aside(turn: Turn, name: str) -> None:
    """Quarantine a new host that was on its way when the rollout halted; one that Azure does not show is waited for."""
    host, progress = turn.hosts.get(name), turn.in_hand[name]
    if turn.is_busy(name):
        return
    if host is not None and host.vm_id:
        turn.drop(name)
        turn.quarantine(name, "RolloutHalted")
        turn.tell(f"{name} was not proven when the rollout halted; kept in drain mode for investigation")
    elif turn.now - progress.since > timedelta(minutes=10):
        turn.drop(name)


def wind_down_superseded(turn: Turn) -> Decision:
    """A newer version waits: finish the new hosts, give the draining ones back, restore the pool's size, then end.

    As many hosts go on draining as the pool would have too many: else it would grow with every superseded rollout.
    """
    newer = short_version(turn.before.superseded_by)
    _give_back_all_but_the_surplus(turn, f"version {newer} takes over")
    provision(turn, limit=-turn.surplus)
    keep_quarantined_hosts_marked(turn)
    done = not (turn.in_hand or turn.steered or turn.steps or turn.to_shed or turn.surplus < 0)
    return _ended_or(turn, Phase.SUPERSEDED, "NewerVersion", f"version {newer} has been published and takes over", done)


def wind_down_aborted(turn: Turn, command: Command) -> Decision:
    """An operator has aborted the rollout: what is done stays, what is drained is given back, nobody is disturbed more.

    The pool may have hosts more than before: to take outdated ones away now would send people to a version that the
    operator may have aborted for a reason. It says so.
    """
    give_back_all(turn, "the rollout is aborted")
    advance_leaving_hosts(turn)
    provision(turn, limit=-turn.surplus)
    keep_quarantined_hosts_marked(turn)
    done = not (turn.in_hand or turn.steered or turn.steps or turn.surplus < 0)
    return _ended_or(turn, Phase.ABORTED, "AbortedByOperator", f"aborted {command.spoken}", done)


def wind_down_for_roll_back(turn: Turn, command: Command) -> Decision:
    """An operator rolls the pool back: let go of everything as fast as may be, so that the roll back can begin.

    Hosts of the refused version that are not in service yet are taken away instead of finished, and the pool's size is
    left to the roll back.
    """
    for name in turn.in_stage(NEW_HOST_STAGES):
        if not turn.is_busy(name):
            turn.enter(name, Stage.DISCARDING)
            turn.tell(f"{name} is not finished: the rollout is rolled back")
    give_back_all(turn, "the rollout is rolled back")
    advance_new_hosts(turn)
    advance_leaving_hosts(turn)
    keep_quarantined_hosts_marked(turn)
    done = not (turn.in_hand or turn.steered or turn.steps)
    return _ended_or(turn, Phase.ABORTED, "RollBackRequested", f"to be rolled back {command.spoken}", done)


def stand_still(turn: Turn, command: Command) -> None:
    """An operator has paused the rollout: hosts on their way are finished and what was removed is made good.

    Nobody is asked to leave or signed out. Who has been asked may stay, and is asked anew when the rollout goes on;
    hosts that people were only steered away from stay in drain mode as long as there are session slots enough.
    """
    why = "the rollout is paused"
    for name, progress in turn.in_stage([Stage.DRAINING]).items():
        host = turn.hosts.get(name)
        if host is None or progress.stays_drained or not turn.canary_passed:
            give_back(turn, name, why)
            continue
        if (withdrawn := withdrawn_notice(host, progress, turn.policy)) is not None:
            turn.redo(withdrawn)
            turn.tell(f"people on {name} may stay: {why}")
        turn.drop(name)
    give_back_while_short(turn)
    advance_leaving_hosts(turn)
    if turn.policy.strategy == "in_place" or is_open(turn.policy.windows, turn.now):
        provision(turn, limit=-turn.surplus)
    keep_quarantined_hosts_marked(turn)
    unfinished = f"; what is in hand is finished ({count_of(len(turn.in_hand), 'host')})" if turn.in_hand else ""
    turn.say(Phase.PAUSED, "PausedByOperator", f"paused {command.spoken}{unfinished}")


def _give_back_all_but_the_surplus(turn: Turn, why: str) -> None:
    draining = list(drain_order(turn.hosts[name] for name in turn.in_stage([Stage.DRAINING]) if name in turn.hosts))
    for name in [*turn.in_stage([Stage.STEERING]), *(host.name for host in draining[turn.to_shed :])]:
        give_back(turn, name, why)
    give_back_while_short(turn)
    advance_leaving_hosts(turn)
    too_many = turn.to_shed - turn.number_in([Stage.DRAINING])
    for host in give_back_order(turn.steered)[: max(0, min(len(turn.steered) - too_many, STARTS_PER_TURN))]:
        give_back(turn, host.name, why)
    # One that somebody switched off or drained goes when its replacement is there, else only if there is no other.
    ordinary = [host for host in turn.outdated if host.name not in turn.special]
    replaced = [host for host in turn.outdated if host.name in turn.due]
    candidates = replaced or ordinary or turn.outdated or turn.current
    if wave := start_wave(turn, too_many, candidates):
        turn.tell(f"the pool has more hosts than before: draining {', '.join(wave)}")


def _ended_or(turn: Turn, phase: Phase, reason: str, message: str, done: bool) -> Decision:
    if done:
        turn.say(phase, reason, message + difference_in_size(turn))
    else:
        ends = "; it ends" if phase is Phase.ABORTED else ""
        turn.say(turn.phase, reason, f"{message}{ends} {_when_it_may(turn)}")
        turn.wake(turn.now + SOON)
    return turn.decision(done=done)


def _when_it_may(turn: Turn) -> str:
    if turn.in_hand:
        return f"when what is in hand is finished ({count_of(len(turn.in_hand), 'host')})"
    if turn.surplus < 0 and turn.blocked is not None:
        return f"when the pool has its size again: {turn.blocked.message}"
    return f"when the pool has its size again{f': {turn.refused_by_reserve}' if turn.refused_by_reserve else ''}"
