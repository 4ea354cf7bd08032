"""Known bugs, planted by passing another decision or another execution to a run: each must be caught by its checker.

They prove that the checkers bite. Nothing of them is in the product's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msgspec import structs

from rollout.capacity import choose_to_drain, count_slots
from rollout.model import (
    HostProgress,
    Phase,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    Stage,
    definition_of,
    is_outdated,
)
from rollout.policy import PoolPolicy
from rollout.pool import decide
from rollout.steps import Decision, ProvisionHost, RemoveHost, StartDraining, Step, StepOutcome
from simulator import ids
from simulator.builders import MONDAY_MORNING
from simulator.direct import DirectAzure
from simulator.rollout_run import Decide, Execute
from simulator.situations import Loop, Situation, Trouble, a_policy, draw_situation


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """A bug, the name of the checker that must find it, and the kind of situation in which it shows."""

    name: str
    caught_by: str
    decide: Decide = decide
    execute: Execute = DirectAzure.execute
    situation: Callable[[int], Situation] = draw_situation


def removes_hosts_without_reading_their_sessions_again(azure: DirectAzure, step: Step) -> tuple[StepOutcome, ...]:
    """Take the host away with force, whoever has come to it since it was decided."""
    if not isinstance(step, RemoveHost) or not step.registration:
        return azure.execute(step)
    with azure.estate.acting_as("rollout"):
        azure.estate.hosts.delete(azure.pool_id, step.host, force=True)
        azure.estate.machines.delete(step.vm_id)
    return (StepOutcome(step),)


def counts_draining_hosts_as_available(
    state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime
) -> Decision:
    """Drain one host more whenever the free slots of the hosts that drain already would allow it."""
    decision = decide(state, snapshot, policy, now)
    after, in_hand = decision.state, decision.state.in_hand
    draining = [host for host in snapshot.hosts if _drains(after, host)]
    if not draining or decision.phase is not Phase.ROLLING:
        return decision
    mistaken = [structs.replace(host, allows_new_sessions=True) for host in draining]
    others = [host for host in snapshot.hosts if host.name not in in_hand and host.registration]
    to_go = [host for host in others if is_outdated(host, after.target) and host.name not in after.skipped]
    accepting = [host for host in to_go if host.allows_new_sessions]
    slots = count_slots(snapshot.pool, [*others, *mistaken], [], policy.reserve)
    for host in choose_to_drain(accepting, slots, snapshot.pool, limit=1)[0]:
        step = StartDraining(host.name, host.vm_id, host.registration, "there seem to be slots enough")
        in_hand = {**in_hand, host.name: HostProgress(stage=Stage.DRAINING, since=now)}
        after = structs.replace(after, in_hand=in_hand, settled=after.settled - 1)
        decision = structs.replace(decision, steps=(*decision.steps, step), state=after)
    return decision


def empties_a_skipped_host(state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> Decision:
    """Drain hosts that an operator wants to be left alone, like all others."""
    decision = decide(state, snapshot, policy, now)
    busy = {step.host for step in decision.steps}
    skipped = [host for host in snapshot.hosts if host.name in decision.state.skipped and host.name not in busy]
    steps = [StartDraining(host.name, host.vm_id, host.registration, "it is outdated") for host in skipped]
    return decision if decision.done else structs.replace(decision, steps=(*decision.steps, *steps))


def never_gives_back(state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> Decision:
    """Go on draining however few slots are left."""
    decision = decide(state, snapshot, policy, now)
    if decision.phase is not Phase.ROLLING:
        return decision
    kept = {
        name: state.in_hand[name]
        for name, progress in decision.state.in_hand.items()
        if progress.stage is Stage.GIVING_BACK and name in state.in_hand and name not in decision.state.skipped
    }
    steps = tuple(step for step in decision.steps if step.host not in kept)
    after = structs.replace(decision.state, in_hand={**decision.state.in_hand, **kept})
    return structs.replace(decision, steps=steps, state=after)


def forgets_whom_it_has_signed_out(
    state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime
) -> Decision:
    """Sign people out wherever they are, whether they were signed out before or not."""
    return decide(structs.replace(state, signed_out=()), snapshot, policy, now)


def does_not_pin_the_version(azure: DirectAzure, step: Step) -> tuple[StepOutcome, ...]:
    """Make hosts from whatever version is the latest."""
    if isinstance(step, ProvisionHost):
        step = structs.replace(step, image_version_id=definition_of(step.image_version_id))
    return azure.execute(step)


def makes_another_host_when_it_tries_again(azure: DirectAzure, step: Step) -> tuple[StepOutcome, ...]:
    """Take a new name when the VM is there already, instead of leaving it as it is."""
    if isinstance(step, ProvisionHost):
        exists = azure.estate.machines.find(ids.machine_id(azure.subscription, azure.group, step.host))
        step = structs.replace(step, host=f"{step.host}b") if exists else step
    return azure.execute(step)


def _somebody_slips_in(seed: int) -> Situation:
    return replace(draw_situation(seed), loop=Loop(slips_in=0.5))


def _busy_morning(seed: int) -> Situation:
    """People arrive while hosts with a few early ones on them are draining, and nobody is hurried."""
    drawn = draw_situation(seed)
    patient = structs.replace(drawn.policy.drain, grace=timedelta(hours=4), on_timeout="wait")
    policy = structs.replace(
        drawn.policy, strategy="surge", surge="50%", max_wave="100%", reserve=25, drain=patient, windows=()
    )
    crowd = tuple(Trouble("everybody_comes_at_once", timedelta(hours=hours)) for hours in (2, 3))
    return Situation(seed, policy, hosts=8, load=0.8, starts_at=MONDAY_MORNING, troubles=crowd)


def _somebody_skips_a_host(seed: int) -> Situation:
    return Situation(seed, a_policy(), hosts=4, troubles=(Trouble("an_operator_skips_a_host", timedelta(hours=1)),))


def _nobody_leaves(seed: int) -> Situation:
    """In place the first to be signed out can only go to hosts that will be replaced, and they stay there for days."""
    drawn = draw_situation(seed)
    policy = structs.replace(drawn.policy, strategy="in_place", reserve=0, windows=(), max_wave="100%")
    hurried = structs.replace(policy.drain, grace=timedelta(minutes=30), on_timeout="sign_out")
    return Situation(seed, structs.replace(policy, drain=hurried), hosts=4, load=0.6, workload="stubborn")


def _answers_are_lost(seed: int) -> Situation:
    return replace(draw_situation(seed), loop=Loop(repeats=0.5))


PLANTED_BUGS = (
    PlantedBug(
        "removes hosts without reading their sessions again",
        "NobodyCutOff",
        execute=removes_hosts_without_reading_their_sessions_again,
        situation=_somebody_slips_in,
    ),
    PlantedBug(
        "counts draining hosts as available",
        "ReserveKept",
        decide=counts_draining_hosts_as_available,
        situation=_busy_morning,
    ),
    PlantedBug("never gives back", "GivesBackWhenShort", decide=never_gives_back, situation=_busy_morning),
    PlantedBug(
        "forgets whom it has signed out",
        "NobodySignedOutTwice",
        decide=forgets_whom_it_has_signed_out,
        situation=_nobody_leaves,
    ),
    PlantedBug(
        "empties a skipped host",
        "SkippedHostsLeftAlone",
        decide=empties_a_skipped_host,
        situation=_somebody_skips_a_host,
    ),
    PlantedBug("does not pin the version", "TargetPinned", execute=does_not_pin_the_version),
    PlantedBug(
        "makes another host when it tries again",
        "OnlyDecidedHosts",
        execute=makes_another_host_when_it_tries_again,
        situation=_answers_are_lost,
    ),
)
"""Every planted bug."""


def _drains(state: RolloutState, host: SessionHost) -> bool:
    progress = state.in_hand.get(host.name)
    return progress is not None and progress.stage is Stage.DRAINING
