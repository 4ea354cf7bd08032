"""Decides what a rollout does as a whole: ring after ring, each when its time has come and its regions are complete.

Only one ring is at work: the first that has not passed. It starts `after` its turn has come, in one of its windows,
when its regions hold the version; its pools run side by side up to its limit; then its gates must hold. A ring that
fails blocks every later one. Without rings in the policy all host pools are one ring, which starts each pool as soon
as that pool's own regions are complete, and stops none because of another.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from rollout import latest, supply
from rollout.assignments import ImageRollout
from rollout.gates import AskedApproval, GateState, RingPhase, judge_gates
from rollout.geography import regions_to_add
from rollout.instance_ids import digest
from rollout.latest import MarkState
from rollout.model import Phase, normalise_region, short_version
from rollout.policy import PoolPolicy, RingPolicy
from rollout.query_gate import QueryFacts, filled, span_of
from rollout.replicas import Footprint
from rollout.replication import RegionDecision, ReplicationReport, assess, decide_regions
from rollout.ring_state import RingState, RolloutProgress, asked, pools_to_judge, rings_of, with_ring
from rollout.ring_steps import (
    AddRegions,
    JudgeHosts,
    QueryLogs,
    ReadRegions,
    ReadVersion,
    RingStep,
    RollPool,
    SetReplicas,
    SmokeTest,
    VersionLook,
)
from rollout.sign_ins import queries_of
from rollout.status import LONGEST_MESSAGE, PoolStatus
from rollout.verdicts import Verdict
from rollout.windows import is_open, next_opening

SHORTEST_LOOK, LONGEST_LOOK, LATE_LOOK = timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=2)
"""How often replication is looked at: after a sixth of the time that it has taken so far, within these limits.

Six hours take about 35 looks: the history stays short without a new execution, which would lose events that arrive in
between."""

NOT_REPLICATED = "NotReplicated"
"""Reason of a pool that was given up because its region has not got the version: that says nothing about the image."""

REGION_MISSING = "RegionMissing"
"""Reason of a pool that was not started because the policy halts the rollout for some region."""

RING_BLOCKED = "RingBlocked"

_OPEN = (RingPhase.WAITING, RingPhase.ROLLING, RingPhase.PROVING)


class RingsDecision(Struct, frozen=True):
    """What to remember, what to set going, what to tell, and when to look again without news (None: only with news).

    `story` holds pairs of a host pool's name ("" for the rollout as a whole) and a sentence; `asked` is what people are
    asked.
    """

    progress: RolloutProgress
    steps: tuple[RingStep, ...] = ()
    story: tuple[tuple[str, str], ...] = ()
    wake_at: datetime | None = None
    asked: AskedApproval | None = None
    done: bool = False


def decide_rings(
    progress: RolloutProgress, rollout: ImageRollout, now: datetime, in_flight: Collection[str] = ()
) -> RingsDecision:
    """Decide what to do now. `in_flight` are the keys (see ring_steps.py) of steps that have been set going and run."""
    return _Turn(progress, rollout, now, frozenset(in_flight)).decide()


class _Turn:
    """One decision while it is made."""

    def __init__(
        self, progress: RolloutProgress, rollout: ImageRollout, now: datetime, in_flight: frozenset[str]
    ) -> None:
        self._progress = progress
        self._rollout = rollout
        self._rings = rings_of(rollout)
        self._pools = {pool.name: pool for pool in rollout.pools}
        self._version = short_version(rollout.version_id)
        self._now = now
        self._in_flight = in_flight
        self._steps: dict[str, RingStep] = {}
        self._story: list[tuple[str, str]] = []
        self._wakes: list[datetime] = []

    def decide(self) -> RingsDecision:
        if self._earns_latest and self._mark.wanted is None:
            self._set(mark=latest.want(self._mark, latest.hold_back()))
        command = self._progress.command
        if command is not None and command.kind == "abort":
            self._start_no_more(Phase.ABORTED, "AbortedByOperator", f"aborted {command.spoken}")
        elif command is not None and command.kind == "roll_back":
            self._start_no_more(Phase.ABORTED, "RollBackRequested", f"to be rolled back {command.spoken}")
        elif command is not None and command.kind == "supersede":
            self._start_no_more(Phase.SUPERSEDED, "NewerVersion", f"superseded {command.spoken}")
        elif command is not None:
            self._say(Phase.PAUSED, f"paused {command.spoken}")
        else:
            self._watch_extra_regions()
            for ring in self._rings:
                if not self._advance(ring):
                    break
        self._promote()
        self._write_mark()
        self._put_back_replicas()
        done = self._is_done
        return RingsDecision(
            self._progress,
            tuple(self._steps.values()),
            tuple(self._story),
            None if done else min(self._wakes, default=None),
            None if done else asked(self._progress, self._rollout, self._now),
            done,
        )

    @property
    def _is_done(self) -> bool:
        progress = self._progress
        undone = len(progress.ended) < len(self._pools) or any(ring.phase in _OPEN for ring in progress.rings.values())
        busy = bool(self._in_flight or self._steps)
        open_ends = progress.extra_open or bool(progress.supply.before)
        return not (undone or busy or open_ends) and self._mark.is_settled

    # -------------------------------------------------------------------------------------------------------- a ring

    def _advance(self, ring: RingPolicy) -> bool:
        """Move a ring on as far as it goes; True when it has passed and the next one has its turn."""
        if self._ring(ring).turn_at is None and self._ring(ring).phase is RingPhase.WAITING:
            self._set_ring(ring, turn_at=self._now)
        if self._ring(ring).phase is RingPhase.WAITING:
            self._wait_for_start(ring)
        if self._ring(ring).phase is RingPhase.ROLLING:
            self._roll(ring)
        if self._ring(ring).phase is RingPhase.PROVING:
            self._prove(ring)
        return self._ring(ring).phase is RingPhase.PASSED

    def _wait_for_start(self, ring: RingPolicy) -> None:
        """Wait for the time, then for the regions, then start: in a window, or not at all."""
        earliest = (self._ring(ring).turn_at or self._now) + ring.start.after
        if self._now < earliest or not is_open(ring.start.windows, self._now):
            self._wait_for_time(ring, earliest)
            return
        if self._ring(ring).due_at is None:
            self._set_ring(ring, due_at=self._now)
        # Without rings nobody waits for another pool's region.
        if not ring.name or self._regions_are_decided(ring):
            self._set_ring(ring, phase=RingPhase.ROLLING, started_at=self._now)
            if ring.name:
                self._tell(f"ring {ring.name} starts: {', '.join(ring.host_pools)}")

    def _wait_for_time(self, ring: RingPolicy, earliest: datetime) -> None:
        after = max(self._now, earliest)
        opens = after if is_open(ring.start.windows, after) else next_opening(ring.start.windows, after)
        if opens is None:
            # The policy check refuses such windows; should one come through, nothing starts and everybody is told.
            self._fail(ring, "NeverOpens", "none of its windows ever opens", None)
            return
        self._wakes.append(opens)
        message = f"ring {ring.name} starts on {opens:%A} {opens.day} {opens:%B} at {opens:%H:%M} UTC at the earliest"
        self._say(Phase.WAITING_WINDOW, message)
        self._tell_once(message, message)

    def _regions_are_decided(self, ring: RingPolicy) -> bool:
        """Every region of the ring has the version or was given up; sees that they are looked at."""
        if self._looks_for(ring):
            return False
        self._tell_replication(ring)
        return all(self._judged(ring, pool) is not None for pool in self._open_pools(ring))

    def _roll(self, ring: RingPolicy) -> None:
        """Start pools up to the limit; when all have ended the gates open."""
        if ring.name or not self._looks_for(ring):
            self._start_pools(ring)
        if any(name not in self._progress.ended for name in ring.host_pools):
            self._say_that_it_rolls(ring)
            return
        failure = self._failure(ring)
        if failure is not None:
            self._fail(ring, *failure)
            return
        self._set_ring(ring, phase=RingPhase.PROVING, gate=GateState(self._now))

    def _start_pools(self, ring: RingPolicy) -> None:
        if not ring.name and self._open_pools(ring):
            self._tell_replication(ring)
        ready = [pool for pool in self._open_pools(ring) if self._judged(ring, pool) == _READY]
        are_supplied = self._are_supplied(ring, ready)
        for pool in self._open_pools(ring):
            judged = self._judged(ring, pool)
            if judged is not None and judged[0] == REGION_MISSING:
                self._halt(judged[1])
                return
            if judged is not None and judged != _READY:
                self._end(pool, Phase.FAILED, *judged)
            elif ring.name and (failed := self._failure_so_far(ring)):
                self._end(pool, Phase.BLOCKED, RING_BLOCKED, failed)
            elif (
                judged == _READY
                and are_supplied
                and (ring.concurrency is None or self._at_work(ring) < ring.concurrency)
            ):
                policy = supply.policy_of(self._progress.supply, self._footprint(pool), self._rollout.image.replication)
                self._ask(RollPool(policy))
                self._set(running=(*self._progress.running, pool.name))

    def _say_that_it_rolls(self, ring: RingPolicy) -> None:
        waits_for_region = not ring.name and bool(self._open_pools(ring))
        if self._progress.running:
            self._say(Phase.ROLLING, self._progress.message if waits_for_region else "")

    def _prove(self, ring: RingPolicy) -> None:
        gate = self._ring(ring).gate or GateState(self._now)
        pools = pools_to_judge(self._progress, ring)
        verdict = judge_gates(ring, tuple(pools), gate, self._now)
        if verdict.state == "passed":
            self._set_ring(ring, phase=RingPhase.PASSED, reason=verdict.reason, why=verdict.message)
            if ring.name:
                self._tell(f"ring {ring.name} has passed: {verdict.message}")
        elif verdict.state == "failed":
            self._fail(ring, verdict.reason, verdict.message, _VERDICTS.get(verdict.reason))
        else:
            self._say(Phase.WAITING_GATE, f"ring {ring.name}: {verdict.message}")
            self._ask_queries(ring, gate, verdict.queries)
            if verdict.look:
                for name in pools:
                    if name not in gate.looked:
                        self._ask(JudgeHosts(self._pools[name]))
                return
            if (smoke_test := ring.gates.smoke_test) is not None:
                for name in verdict.smoke:
                    pool, run = self._pools[name], gate.smoke.get(name)
                    self._ask(SmokeTest(pool, smoke_test, self._smoke_test_name, run))
            if verdict.wake_at is not None:
                self._wakes.append(verdict.wake_at)
            self._tell_once(f"{ring.name}{verdict.message}", f"ring {ring.name}: {verdict.message}")

    def _ask_queries(self, ring: RingPolicy, gate: GateState, names: tuple[str, ...]) -> None:
        queries = queries_of(ring.gates)
        started = self._ring(ring).started_at or gate.opened_at
        pools = tuple(self._pools[name].host_pool_id for name in pools_to_judge(self._progress, ring))
        facts = QueryFacts(self._version, ring.name, pools, started, gate.opened_at, self._now)
        for name in names:
            query = queries[name]
            text = filled(query.query, facts)
            self._ask(QueryLogs(ring.name, name, query.workspace_id, text, *span_of(query, facts)))

    # ------------------------------------------------------------------------------------------------- how a ring ends

    def _failure_so_far(self, ring: RingPolicy) -> str:
        """Why no further pool of the ring is started, "" while all is well."""
        for name in ring.host_pools:
            status = self._progress.ended.get(name)
            if status is not None and _speaks_against(status):
                return f"host pool {name}, in the same ring, ended {status.phase}"
        return ""

    def _failure(self, ring: RingPolicy) -> tuple[str, str, Verdict | None] | None:
        """Why a ring whose pools have all ended has failed; None when its gates are to be asked."""
        statuses = [self._progress.ended[name] for name in ring.host_pools]
        halted = next((status for status in statuses if status.phase in (Phase.HALTED, Phase.ROLLED_BACK)), None)
        if halted is not None:
            # A region without a copy says nothing about the image.
            verdict = None if halted.reason == REGION_MISSING else Verdict.FAILED
            how = "halted" if halted.phase is Phase.HALTED else "was rolled back"
            return "RingHalted", f"host pool {halted.pool} {how}: {halted.message}", verdict
        against = next((status for status in statuses if _speaks_against(status)), None)
        if against is not None:
            return "RingFailed", f"host pool {against.pool} ended {against.phase}: {against.message}", None
        if not pools_to_judge(self._progress, ring):
            return "RingFailed", "no host pool of it has got the version", None
        return None

    def _fail(self, ring: RingPolicy, reason: str, why: str, verdict: Verdict | None) -> None:
        self._set_ring(ring, phase=RingPhase.FAILED, reason=reason, why=why)
        if self._extra_regions_since() is None:
            self._set(extra_open=False)  # the version goes nowhere else
        if ring.name:
            self._tell(f"ring {ring.name} has failed: {why}")
        for blocked in self._rings[self._rings.index(ring) :]:
            if blocked is not ring:
                self._set_ring(blocked, phase=RingPhase.BLOCKED, reason=RING_BLOCKED, why=f"ring {ring.name} failed")
            for pool in self._open_pools(blocked):
                self._end(pool, Phase.BLOCKED, RING_BLOCKED, f"ring {ring.name} has failed: {why}")
        if verdict is not None and self._earns_latest:
            gate = self._ring(ring).gate
            by = gate.answer.by if gate is not None and gate.answer is not None else self._progress.rollout_id
            self._set(mark=latest.want(self._mark, latest.refuse(verdict, by, why, self._now)))

    def _halt(self, why: str) -> None:
        """The policy halts the rollout for a region: no further pool is started, those that run come to their end."""
        self._tell_once(why, why)
        self._set(extra_open=False, halted=True)
        for pool in self._pools.values():
            if pool.name not in {*self._progress.running, *self._progress.ended}:
                self._end(pool, Phase.HALTED, REGION_MISSING, why)

    def _start_no_more(self, phase: Phase, reason: str, why: str) -> None:
        """Nothing more is started; pools at work come to their end by themselves. It says nothing about the image."""
        self._set(extra_open=False)
        for ring in self._rings:
            if self._ring(ring).phase in _OPEN:
                self._set_ring(ring, phase=RingPhase.BLOCKED, reason=reason, why=why)
            for pool in self._open_pools(ring):
                self._end(pool, phase, reason, why)
        self._say(Phase.ROLLING, f"{why}; it ends when its host pools have")

    def _end(self, pool: PoolPolicy, phase: Phase, reason: str, message: str) -> None:
        self._story.append((pool.name, f"{phase}: {message}"))
        status = PoolStatus(pool.name, self._version, phase, reason, message[:LONGEST_MESSAGE], since=self._now)
        self._set(ended={**self._progress.ended, pool.name: status})

    # --------------------------------------------------------------------------------------------------- replication

    def _adds_regions(self, ring: RingPolicy) -> bool:
        """See that the version is copied to the ring's regions if the policy says so; True while it is asked for.

        Once for each look: a region that was refused is asked for again when the version has been looked at again.
        """
        progress, look = self._progress, self._progress.look
        policy = self._rollout.image.replication
        if not policy.add_regions or look is None or look.version is None:
            return False
        if "add_regions" in self._in_flight:
            return True
        if progress.regions_added_at is not None and look.at <= progress.regions_added_at:
            return False
        if any(name not in {**progress.regions, **progress.unreadable} for name in ring.host_pools):
            return False
        regions = {region for name in ring.host_pools for region in progress.regions.get(name, ())}
        passed = self._extra_regions_since() is not None
        step = regions_to_add(look.version, regions, (), policy, first_ring_has_passed=passed)
        if step.order is None:
            return False
        self._tell_once(step.message, step.message)
        self._ask(AddRegions(step.order))
        return True

    def _extra_regions_since(self) -> datetime | None:
        """Since when the policy's regions without a host pool are waited for; None: not before a ring has passed."""
        if not self._rollout.image.replication.add_regions or len(self._rings) == 1:
            return self._progress.started_at
        return self._ring(self._rings[1]).turn_at

    def _looks_for(self, ring: RingPolicy) -> bool:
        """See that the version and the regions of a ring are looked at when that is due; True while that is done."""
        if self._adds_regions(ring):
            return True
        pools = self._open_pools(ring)
        undecided = any(self._judged(ring, pool) is None for pool in pools)
        return self._look_if_due(self._ring(ring).due_at or self._now, pools, needed=undecided)

    def _look_if_due(self, since: datetime, pools: list[PoolPolicy], *, needed: bool) -> bool:
        if self._in_flight & {"version", *(f"regions:{pool.name}" for pool in pools)}:
            return True
        if not needed:
            return False
        look = self._progress.look
        deadline = self._rollout.image.replication.deadline
        next_look = since if look is None or look.at < since else look.at + _pause(look.at - since, deadline)
        if self._now < next_look:
            self._wakes.append(next_look)
            return False
        self._ask(ReadVersion())
        for pool in pools:
            if pool.name not in self._progress.regions:
                self._ask(ReadRegions(pool.name, pool.host_pool_id))
        return True

    def _judged(self, ring: RingPolicy, pool: PoolPolicy) -> tuple[str, str] | None:
        """_READY when a pool can be started, reason and message when it is given up, None while it waits.

        As of the last look: an old one must not find a region late that may have arrived since.
        """
        since = self._ring(ring).due_at or self._now
        look, regions = self._progress.look, self._progress.regions.get(pool.name)
        if look is None or look.at < since:
            return None
        is_late = look.at - since >= self._rollout.image.replication.deadline
        if regions is None:
            why = self._progress.unreadable.get(pool.name, "")
            return ("NotReadable", f"host pool {pool.name} cannot be read: {why}") if is_late else None
        if look.error:
            return ("NotReadable", f"version {self._version} cannot be read: {look.error}") if is_late else None
        decision = self._decide_regions(regions, since, look)
        report = decision.report
        if decision.halted_because:
            return REGION_MISSING, decision.halted_because
        if report.version_gone:
            return "ImageVersionGone", report.message
        if all(region in report.ready for region in regions):
            return _READY
        missed = [why for region, why in report.given_up if region in regions]
        return (NOT_REPLICATED, missed[0]) if missed else None

    def _report(self, regions: Collection[str], since: datetime, look: VersionLook) -> ReplicationReport:
        return self._decide_regions(regions, since, look).report

    def _decide_regions(self, regions: Collection[str], since: datetime, look: VersionLook) -> RegionDecision:
        policy = self._rollout.image.replication
        report = assess(look.version, sorted(regions), since, policy.deadline, look.at)
        return decide_regions(report, self._rollout.version_id, policy)

    def _tell_replication(self, ring: RingPolicy) -> None:
        """Every percent is shown, but only what has arrived or is given up is told."""
        look, unreadable = self._progress.look, self._progress.unreadable
        if look is None:
            return
        hidden = [
            f"host pool {name} cannot be read: {unreadable[name]}" for name in ring.host_pools if name in unreadable
        ]
        if look.error:
            hidden.insert(0, f"version {self._version} cannot be read: {look.error}")
        known = {region for name in ring.host_pools for region in self._progress.regions.get(name, ())}
        report = self._report(known | set(self._extra_regions), self._ring(ring).due_at or self._now, look)
        message, news = (hidden[0], hidden[0]) if hidden else (report.message, f"{report.ready}{report.given_up}")
        self._say(Phase.ROLLING if self._progress.running else Phase.WAITING_REPLICATION, message)
        self._tell_once(f"{ring.name}{news}", message)

    @property
    def _extra_regions(self) -> frozenset[str]:
        return frozenset(normalise_region(region) for region in self._rollout.image.replication.regions)

    def _watch_extra_regions(self) -> None:
        """Regions of the policy are waited for beside the rings, also those without a host pool."""
        progress, look, since = self._progress, self._progress.look, self._extra_regions_since()
        if not progress.extra_open or since is None:
            return
        if look is not None and look.error:
            if look.at - since >= self._rollout.image.replication.deadline:
                self._set(extra_open=False, regions_missed=True)
        elif look is not None:
            decision = self._decide_regions(self._extra_regions, since, look)
            report = decision.report
            if decision.halted_because:
                self._halt(decision.halted_because)
                return
            missed = report.version_gone or bool(report.given_up)
            self._set(extra_open=bool(report.waiting), regions_missed=missed)
            if not progress.running:
                self._say(Phase.WAITING_REPLICATION, report.message)
        self._look_if_due(since, [], needed=self._progress.extra_open)

    # ------------------------------------------------------------------------------------------------------- replicas

    def _are_supplied(self, ring: RingPolicy, ready: list[PoolPolicy]) -> bool:
        """The version's replicas carry these pools together with those that run, or have been raised as far as may be.

        Raises them first where the policy allows it: nothing is started meanwhile, which takes seconds.
        """
        version = self._progress.look.version if self._progress.look else None
        if not ready or version is None:
            return True
        if "replicas" in self._in_flight:
            return False
        running = [self._pools[name] for name in ring.host_pools if name in self._progress.running]
        together = [self._footprint(pool) for pool in (*running, *ready)]
        policy = self._rollout.image.replication
        turn = supply.prepare(self._progress.supply, version, together, policy, ring.concurrency)
        self._set(supply=turn.state)
        for sentence in turn.story:
            self._tell(sentence)
        if turn.order is not None:
            self._ask(SetReplicas(turn.order, "raise"))
        return turn.order is None

    def _footprint(self, pool: PoolPolicy) -> Footprint:
        return Footprint(pool, self._progress.hosts.get(pool.name, {}))

    def _put_back_replicas(self) -> None:
        """Give back what was raised when every pool has ended, whatever the gates say then."""
        if len(self._progress.ended) < len(self._pools) or "replicas" in self._in_flight:
            return
        state = self._progress.supply
        order = supply.put_back(state, self._rollout.version_id, self._now).order
        if order is not None:
            self._ask(SetReplicas(order, "put_back"))
        elif state.before and state.retry_at is not None:
            self._wakes.append(state.retry_at)

    # --------------------------------------------------------------------------------------------------------- latest

    @property
    def _earns_latest(self) -> bool:
        return self._rollout.image.latest == "earned"

    @property
    def _mark(self) -> MarkState:
        return self._progress.mark

    def _promote(self) -> None:
        """A version that has passed its last ring is what the next one gets who asks for the latest."""
        if self._earns_latest and all(ring.phase is RingPhase.PASSED for ring in self._progress.rings.values()):
            last = self._rings[-1].name
            message = f"ring {last} has passed" if last else "its rollout has succeeded"
            self._set(mark=latest.want(self._mark, latest.promote(self._progress.rollout_id, message, self._now)))

    def _write_mark(self) -> None:
        if "mark" in self._in_flight:
            return
        mark = latest.due(self._mark, self._now)
        if mark is not None:
            self._ask(mark)
        elif not self._mark.is_settled and self._mark.retry_at is not None:
            self._wakes.append(self._mark.retry_at)

    # ------------------------------------------------------------------------------------------------------ small parts

    @property
    def _smoke_test_name(self) -> str:
        """Of every rollout its own, so that nobody takes an earlier run's result for this one's."""
        return f"goldroll-smoke-test-{digest(self._progress.rollout_id)}"

    def _ask(self, step: RingStep) -> None:
        if step.key not in self._in_flight:
            self._steps.setdefault(step.key, step)

    def _ring(self, ring: RingPolicy) -> RingState:
        return self._progress.rings[ring.name]

    def _open_pools(self, ring: RingPolicy) -> list[PoolPolicy]:
        """Pools that have neither been started nor ended."""
        gone = {*self._progress.running, *self._progress.ended}
        return [self._pools[name] for name in ring.host_pools if name not in gone]

    def _at_work(self, ring: RingPolicy) -> int:
        return sum(name in self._progress.running for name in ring.host_pools)

    def _set(self, **fields: Any) -> None:
        self._progress = structs.replace(self._progress, **fields)

    def _set_ring(self, ring: RingPolicy, **fields: Any) -> None:
        self._progress = with_ring(self._progress, ring.name, structs.replace(self._ring(ring), **fields))

    def _say(self, phase: Phase, message: str) -> None:
        self._set(phase=phase, message=message)

    def _tell(self, sentence: str) -> None:
        self._story.append(("", sentence))

    def _tell_once(self, news: str, sentence: str) -> None:
        if news != self._progress.told:
            self._tell(sentence)
            self._set(told=news)


_READY = ("", "")

_VERDICTS = {
    "Rejected": Verdict.VETOED,
    "ApprovalTimedOut": Verdict.VETOED,
    "SmokeTestFailed": Verdict.FAILED,
    "Unhealthy": Verdict.FAILED,
    "QueryBreached": Verdict.FAILED,
}
"""What gates that do not hold say about the image. Where nothing could be found out they say nothing."""


def _speaks_against(status: PoolStatus) -> bool:
    """The pool's end stops its ring and the later ones: a copy that never came says nothing about the image."""
    if status.phase is Phase.FAILED:
        return status.reason != NOT_REPLICATED
    return status.phase in (Phase.HALTED, Phase.ABORTED, Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.BLOCKED)


def _pause(waited: timedelta, deadline: timedelta) -> timedelta:
    return min(max(waited / 6, SHORTEST_LOOK), LONGEST_LOOK if waited < deadline else LATE_LOOK)
