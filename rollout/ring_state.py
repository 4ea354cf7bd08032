"""What a rollout as a whole remembers: where each ring and each host pool stands, and what has come back so far.

Plain data and pure functions. The orchestration keeps it while it runs and records what its steps came to; rings.py
decides on it.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, structs

from rollout.assignments import ImageRollout
from rollout.commands import Command, CommandKind, Refused, obey
from rollout.expected import compared
from rollout.gate_views import GateView, gates_of
from rollout.gates import Approval, AskedApproval, GateState, HealthLook, RingPhase, asked_of, refusal_of
from rollout.latest import MarkState
from rollout.model import Phase, normalise_region, short_version
from rollout.policy import RingPolicy
from rollout.query_gate import QueryLook, with_look
from rollout.ring_steps import FreezeLook, VersionLook
from rollout.smoke_test import SmokeRun
from rollout.status import PoolStatus
from rollout.steps import StepError
from rollout.supply import SupplyState


class RingState(Struct, frozen=True, omit_defaults=True):
    """What is remembered of a ring. `turn_at`: the ring before has passed; `due_at`: nothing but replication held it.

    `started_at`: its first pool was started, or given up. `reason` and `why` say how it has ended.
    """

    phase: RingPhase = RingPhase.WAITING
    turn_at: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    gate: GateState | None = None
    reason: str = ""
    why: str = ""


class RolloutProgress(Struct, frozen=True, omit_defaults=True):
    """All that a rollout as a whole remembers between decisions.

    `regions` are those of each pool, as far as they are known (none for a pool that is gone: its own rollout knows how
    to end); `unreadable` says of the others why not. `running` and `ended` are pools. `extra_open`: a region of the
    policy without a host pool is still waited for; `regions_missed`: one was given up; `regions_added_at`: when the
    version was last to be copied further. `told` is the last news about
    replication, `command` what an operator has told it, `freeze_look` whether there was a freeze when it last mattered.
    """

    rollout_id: str
    started_at: datetime
    rings: dict[str, RingState]
    regions: dict[str, tuple[str, ...]] = {}
    unreadable: dict[str, str] = {}
    look: VersionLook | None = None
    running: tuple[str, ...] = ()
    ended: dict[str, PoolStatus] = {}
    hosts: dict[str, dict[str, int]] = {}
    supply: SupplyState = SupplyState()
    halted: bool = False
    extra_open: bool = False
    regions_added_at: datetime | None = None
    regions_missed: bool = False
    mark: MarkState = MarkState()
    phase: Phase = Phase.SCHEDULED
    message: str = ""
    told: str = ""
    command: Command | None = None
    freeze_look: FreezeLook | None = None


_VERBS: dict[CommandKind, str] = {
    "pause": "pauses",
    "resume": "resumes",
    "abort": "aborts",
    "roll_back": "rolls back",
    "supersede": "supersedes",
    "thaw": "thaws",
}


def begin(rollout: ImageRollout, rollout_id: str, now: datetime) -> RolloutProgress:
    """A rollout of which nothing is done yet."""
    rings = {ring.name: RingState() for ring in rings_of(rollout)}
    extra = bool(rollout.image.replication.regions)
    message = f"waiting for version {short_version(rollout.version_id)} to be replicated"
    return RolloutProgress(rollout_id, now, rings, extra_open=extra, phase=Phase.WAITING_REPLICATION, message=message)


def rings_of(rollout: ImageRollout) -> tuple[RingPolicy, ...]:
    """The rings of the policy, or one without a name that holds every pool."""
    return rollout.image.rings or (RingPolicy(name="", host_pools=tuple(pool.name for pool in rollout.pools)),)


# ------------------------------------------------------------------------------------------------------ what came back


def record_regions(
    progress: RolloutProgress, pool: str, found: tuple[str, ...] | StepError, hosts: dict[str, int] | None = None
) -> RolloutProgress:
    """A pool's regions were found and how many hosts it has in each, or why not."""
    if isinstance(found, StepError) and found.code != "ResourceNotFound":
        return structs.replace(progress, unreadable={**progress.unreadable, pool: found.message})
    unreadable = {name: why for name, why in progress.unreadable.items() if name != pool}
    regions = () if isinstance(found, StepError) else found
    counted = {**progress.hosts, pool: hosts or {}}
    return structs.replace(progress, regions={**progress.regions, pool: regions}, unreadable=unreadable, hosts=counted)


def record_pool(progress: RolloutProgress, status: PoolStatus) -> RolloutProgress:
    """A pool's rollout has ended."""
    running = tuple(name for name in progress.running if name != status.pool)
    return structs.replace(progress, running=running, ended={**progress.ended, status.pool: status})


def record_health(progress: RolloutProgress, ring: RingPolicy, pool: str, look: HealthLook) -> RolloutProgress:
    """The hosts of one pool have been looked at; when those of every pool in question have, the look is complete."""
    state = progress.rings[ring.name]
    if state.gate is None:
        return progress
    looked = {**state.gate.looked, pool: look}
    gate = structs.replace(state.gate, looked=looked, first_look=state.gate.first_look or look.at)
    if all(name in looked for name in pools_to_judge(progress, ring)):
        gate = structs.replace(gate, look=_together(looked, look.at), looked={})
    return with_ring(progress, ring.name, structs.replace(state, gate=gate))


def record_smoke_test(progress: RolloutProgress, ring: RingPolicy, pool: str, run: SmokeRun) -> RolloutProgress:
    """What is known now of a pool's smoke test."""
    state = progress.rings[ring.name]
    if state.gate is None:
        return progress
    gate = structs.replace(state.gate, smoke={**state.gate.smoke, pool: run})
    return with_ring(progress, ring.name, structs.replace(state, gate=gate))


def record_query(progress: RolloutProgress, ring: str, name: str, look: QueryLook) -> RolloutProgress:
    """A query of a ring was asked."""
    state = progress.rings[ring]
    if state.gate is None:
        return progress
    gate = structs.replace(state.gate, queries=with_look(state.gate.queries, name, look))
    return with_ring(progress, ring, structs.replace(state, gate=gate))


def pools_to_judge(progress: RolloutProgress, ring: RingPolicy) -> list[str]:
    """The pools of a ring that have got the version."""
    got = (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS)
    return [name for name in ring.host_pools if name in progress.ended and progress.ended[name].phase in got]


def _together(looks: dict[str, HealthLook], at: datetime) -> HealthLook:
    unhealthy = {f"{pool}/{host}": why for pool, look in looks.items() for host, why in look.unhealthy.items()}
    unreadable = [f"host pool {pool}: {look.unreadable}" for pool, look in looks.items() if look.unreadable]
    return HealthLook(at, sum(look.running for look in looks.values()), unhealthy, "; ".join(unreadable)[:300])


def record_answer(
    progress: RolloutProgress, rollout: ImageRollout, given: Approval, now: datetime
) -> tuple[RolloutProgress, str]:
    """A person has answered: what is remembered then, and the sentence to tell. An answer that is refused changes
    nothing."""
    phases = {name: ring.phase for name, ring in progress.rings.items() if name}
    refusal = refusal_of(given, asked(progress, rollout, now), phases, now)
    if refusal is not None:
        return progress, f"an answer of {given.by} does not count: {refusal.why}"
    state = progress.rings[given.ring]
    gate = structs.replace(state.gate or GateState(now), answer=structs.replace(given, at=now))
    verb = "approves" if given.decision == "approve" else "rejects"
    because = f": {given.reason}" if given.reason else ""
    sentence = f"{given.by} {verb} ring {given.ring}{because}"
    return with_ring(progress, given.ring, structs.replace(state, gate=gate)), sentence


def record_command(progress: RolloutProgress, given: Command, now: datetime) -> tuple[RolloutProgress, str]:
    """An operator has told the rollout something: what is remembered then, and the sentence to tell.

    A command that changes nothing is told all the same. Its host pools learn of it by themselves, see lease.command.
    """
    if given.kind == "thaw":
        return structs.replace(progress, freeze_look=None), f"{given.by} ends the freeze: {given.reason}"
    standing = obey(progress.command, structs.replace(given, at=now))
    verb = _VERBS[given.kind]
    because = f": {given.reason}" if given.reason else ""
    if isinstance(standing, Refused):
        return progress, f"{given.by} {verb} the rollout, and it changes nothing: {standing.why}"
    return structs.replace(progress, command=standing), f"{given.by} {verb} the rollout{because}"


def asked(progress: RolloutProgress, rollout: ImageRollout, now: datetime) -> AskedApproval | None:
    """What people are asked now, if anything."""
    for ring in rings_of(rollout):
        state = progress.rings[ring.name]
        if state.phase is RingPhase.PROVING and state.gate is not None:
            return asked_of(ring, state.gate, rollout.started_by, now)
    return None


def gates_now(progress: RolloutProgress, rollout: ImageRollout, now: datetime) -> tuple[GateView, ...]:
    """The gates of the first ring that has not passed, as they stand; none when no ring has any."""
    ended = (RingPhase.PASSED, RingPhase.BLOCKED)
    for ring in rings_of(rollout):
        state = progress.rings[ring.name]
        if state.phase not in ended:
            return gates_of(ring, tuple(pools_to_judge(progress, ring)), state.gate, now)
    return ()


def phases_of(progress: RolloutProgress, rollout: ImageRollout) -> dict[str, Phase]:
    """Where each pool stands, as far as the rollout as a whole knows."""
    at_work = {
        pool for ring in rings_of(rollout) if progress.rings[ring.name].due_at is not None for pool in ring.host_pools
    }
    waits = {pool for pool in at_work if not all(r in _ready(progress) for r in progress.regions.get(pool, ("",)))}
    return {
        pool.name: progress.ended[pool.name].phase
        if pool.name in progress.ended
        else Phase.ROLLING
        if pool.name in progress.running
        else Phase.WAITING_REPLICATION
        if pool.name in waits
        else Phase.SCHEDULED
        for pool in rollout.pools
    }


def _ready(progress: RolloutProgress) -> frozenset[str]:
    version = progress.look.version if progress.look else None
    if version is None:
        return frozenset()
    return frozenset(
        normalise_region(name)
        for name, replica in version.regions.items()
        if replica.state.lower() == "completed" and not replica.excluded
    )


def with_ring(progress: RolloutProgress, name: str, state: RingState) -> RolloutProgress:
    """The progress with one ring in another state."""
    return structs.replace(progress, rings={**progress.rings, name: state})


def result_message(progress: RolloutProgress, counted: str) -> str:
    """The sentence that a rollout ends with: how many pools stand where, which ring failed and why."""
    failed = [f"ring {name}: {r.why}" for name, r in progress.rings.items() if name and r.phase is RingPhase.FAILED]
    unwritten = [f"the image version could not be marked: {progress.mark.error}"] if progress.mark.has_failed else []
    told = {"abort": "aborted", "roll_back": "to be rolled back", "supersede": "superseded"}
    command = progress.command
    ended = [f"{told[command.kind]} {command.spoken}"] if command is not None and command.kind in told else []
    return "; ".join([counted, *ended, *failed, *unwritten])


def smoke_tests_of(progress: RolloutProgress) -> dict[str, str]:
    """Where each pool's smoke test ran, and what came of it."""
    gates = [ring.gate for ring in progress.rings.values() if ring.gate is not None]
    return {pool: f"{run.host}: {run.message}" for gate in gates for pool, run in gate.smoke.items() if run.host}


def comparisons(progress: RolloutProgress, rollout: ImageRollout) -> tuple[str, ...]:
    """How each pool that was planned went against its plan, in sentences."""
    expected = rollout.expected
    return tuple(compared(expected[name], ended) for name, ended in progress.ended.items() if name in expected)


def was_aborted(progress: RolloutProgress) -> bool:
    """An operator has aborted the rollout as a whole, or rolls it back."""
    return progress.command is not None and progress.command.ends_it


def was_rejected(progress: RolloutProgress) -> bool:
    """A ring's gates have failed, although its host pools were well."""
    return any(ring.phase is RingPhase.FAILED and ring.gate is not None for ring in progress.rings.values())
