"""One random run: a rollout decided on turn by turn against the estate, with everything that may go wrong around it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import structs

from rollout import pool as core
from rollout.model import Phase, PoolSnapshot, RolloutState, Stage
from rollout.policy import PoolPolicy
from rollout.rolling_back import go_back
from rollout.steps import Decision, ReleaseHost, RemoveHost, Step, StepOutcome, StopDraining
from rollout.windows import is_open
from simulator.direct import DirectAzure, step_error
from simulator.errors import AzureError, ConnectionLost
from simulator.invariants import CHECKERS, Checker, Turn, Violation, Watch
from simulator.journal import Entry, Kind
from simulator.scene import ROLL_BACK_ID, Scene
from simulator.situations import CALM, Situation, Trouble
from simulator.troubles import COMMANDS, TROUBLES
from simulator.world import AZURE, PERSON

Decide = Callable[[RolloutState, PoolSnapshot, PoolPolicy, datetime], Decision]
Execute = Callable[[DirectAzure, Step], tuple[StepOutcome, ...]]

_HELD_UP_FOR = timedelta(hours=12)
"""So long people may hold up a quiet rollout before they are sent home."""

_SETTLING_IN = timedelta(hours=12)
"""What the bound grants once: for the canary, pauses that had grown, and people who drop in after being sent home."""

_STORY_LINES = 40


@dataclass(slots=True)
class Result:
    """What became of one run. `stuck`: it did not end within its bound. `story` holds its last lines."""

    seed: int
    phase: Phase
    reason: str
    turns: int
    steps: int
    faults: Counter[str]
    violations: list[Violation]
    stuck: bool
    took: timedelta
    forced_sign_outs: int
    signed_out_twice: int
    story: list[str] = field(default_factory=list)


def run(
    situation: Situation,
    *,
    decide: Decide = core.decide,
    execute: Execute = DirectAzure.execute,
    checkers: Sequence[type[Checker]] = CHECKERS,
) -> Result:
    """Run a situation to its end, or until an invariant breaks, or until its bound is over.

    `decide` and `execute` are parameters so that a test can plant a bug in them.
    """
    return _Run(situation, decide, execute, checkers).to_the_end()


class _Run:
    def __init__(
        self, situation: Situation, decide: Decide, execute: Execute, checkers: Sequence[type[Checker]]
    ) -> None:
        self.scene = Scene(situation)
        self.situation = situation
        self.rng = self.scene.rng
        self.clock = self.scene.clock
        self.decide = decide
        self.execute = execute
        self.loop = situation.loop
        self.story: deque[str] = deque(maxlen=_STORY_LINES)
        self.watch = Watch(self.scene, checkers)
        self.patience = _Patience(situation)
        self.turns = 0
        self.steps = 0
        self.stuck = False
        self.quiet_at = situation.starts_at + situation.quiet_after
        self.scene.listen(
            (Kind.HOST_DRAINED, Kind.HOST_UNDRAINED, Kind.MACHINE_DELETING, Kind.POOL_DELETED), self._tell_others
        )
        for trouble in situation.troubles:
            self._plan(trouble)

    def to_the_end(self) -> Result:
        decision = None
        while not self.stuck and not self.watch.violations:
            if self.clock() >= self.quiet_at:
                self._be_patient()
            decision = self._turn()
            if decision.done and not self._goes_back():
                break
        if decision is not None and decision.done and not self.watch.violations:
            self.watch.ended(decision)
        state, estate = self.scene.state, self.scene.estate
        return Result(
            seed=self.situation.seed,
            phase=state.phase,
            reason=state.reason,
            turns=self.turns,
            steps=self.steps,
            faults=Counter({site.value: count for site, count in estate.faults.counts.items()}),
            violations=self.watch.violations,
            stuck=self.stuck,
            took=self.clock() - self.situation.starts_at,
            forced_sign_outs=state.forced_sign_outs,
            signed_out_twice=estate.ledger.signed_out_twice,
            story=list(self.story),
        )

    def _goes_back(self) -> bool:
        """Whether a roll back follows: after a failure if the policy says so, or because an operator wants one."""
        ended, now = self.scene.state, self.clock()
        back = go_back(ended, self.scene.policy, now)
        if back is None and self.situation.goes_back and ended.previous and not ended.instead_of:
            is_whole = ended.phase in (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS, Phase.SUPERSEDED)
            size = 0 if is_whole else ended.desired
            back = core.start(ROLL_BACK_ID, ended.pool_id, ended.previous, now, instead_of=ended.target, size=size)
            back = structs.replace(back, last_number=ended.last_number)  # as the lease remembers it
        if back is None or self.watch.violations:
            return False
        self._tell(f"(it is rolled back after it was {ended.phase})")
        self.scene.roll_back(back)
        return True

    # ----------------------------------------------------------------------------------------------------- one turn

    def _turn(self) -> Decision:
        """Observe, decide, act, remember, sleep: as the orchestrator does, with its ways to fail."""
        self.turns += 1
        scene = self.scene
        if scene.superseded_by and not scene.state.superseded_by:
            scene.state = core.supersede(scene.state, scene.superseded_by)
        scene.state = core.tell(scene.state, scene.command, tuple(scene.told))
        before = scene.state
        decision = self._decide(before)
        if self._happens(self.loop.forgets) and not decision.done:
            self._tell("(the decision was lost before anything was done)")
            self._pass_time(5, 300)
            return decision
        scene.state = decision.state
        outcomes = self._carry_out(decision.steps)
        if self._happens(self.loop.reruns) and not decision.done:
            self._tell("(the turn is run again from the memory before it)")
            scene.forget_turn(before)
            self._pass_time(5, 300)
            return decision
        scene.state = core.record(scene.state, outcomes, self.clock())
        scene.letting_go.clear()
        if not decision.done:
            again_at = core.look_again_at(scene.state, outcomes, self.clock())
            self._sleep(decision, again_at)
        return decision

    def _decide(self, before: RolloutState) -> Decision:
        scene, now = self.scene, self.clock()
        snapshot = None
        try:
            fresh = core.deals_with_sessions(before, scene.policy, now)
            snapshot = scene.azure.observe(core.to_look_into(before, now), fresh_sessions=fresh)
        except (AzureError, ConnectionLost) as error:
            decision = core.decide_unreadable(before, step_error(error), now)
        else:
            decision = self.decide(before, snapshot, scene.policy, now)
        for line in decision.story:
            self._tell(line)
        self.watch.decided(Turn(self.turns, now, before, snapshot, decision))
        return decision

    def _carry_out(self, steps: Sequence[Step]) -> list[StepOutcome]:
        """Execute the steps, in any order and perhaps twice; the second answer is then the one that is remembered."""
        if not steps:
            return []
        self._pass_time(1, 20)
        for step in steps:
            if isinstance(step, RemoveHost) and self._happens(self.loop.slips_in):
                self.scene.let_somebody_in(step.host)
        shuffled = self.rng.sample(steps, len(steps))
        outcomes = [outcome for step in shuffled for outcome in self._execute(step)]
        if self._happens(self.loop.repeats):
            self._tell("(the steps are executed a second time)")
            self._pass_time(5, 200)
            outcomes = [outcome for step in shuffled for outcome in self._execute(step)]
        self._pass_time(0, 10)
        return outcomes

    def _execute(self, step: Step) -> tuple[StepOutcome, ...]:
        self.steps += 1
        self.scene.executing = step
        outcomes = self.execute(self.scene.azure, step)
        self.scene.executing = None
        for outcome in outcomes:
            self.watch.did(outcome)
            if outcome.error is not None:
                self._tell(f"({type(step).__name__} {step.host} failed: {outcome.error.code})")
            elif isinstance(step, StopDraining | ReleaseHost):
                self.scene.letting_go.add(step.host)
        return outcomes

    def _sleep(self, decision: Decision, again_at: datetime | None) -> None:
        wake_at = decision.wake_at or self.clock()
        wake_at = min(wake_at, again_at or wake_at)
        self.clock.advance_to(max(wake_at, self.clock()))
        self._pass_time(0, 5)
        if self._happens(self.loop.oversleeps):
            self._pass_time(300, 9000)
            self._tell("(the loop has overslept)")
            self.scene.azure.reader.refresh()

    # ------------------------------------------------------------------------------------------------ the quiet phase

    def _be_patient(self) -> None:
        """Faults have stopped: count the time that the rollout takes now, and who holds it up."""
        if self.loop is not CALM:
            self.loop = CALM
            self.scene.calm_down()
            self._tell("(the quiet phase begins)")
        held_up = not self.patience.people_are_home and _is_held_up_by_people(self.scene)
        self.patience.wait(self.clock(), held_up=held_up)
        if self.patience.held_up >= _HELD_UP_FOR and not self.patience.people_are_home:
            self._tell("(people are sent home)")
            self.scene.send_people_home()
            self.patience.send_people_home()
        elif self.patience.is_over:
            self.stuck = True
            self.watch.stuck()

    # ----------------------------------------------------------------------------------------------------- the rest

    def _plan(self, trouble: Trouble) -> None:
        act, by = (TROUBLES | COMMANDS)[trouble.name]

        def strike() -> None:
            if not self.scene.pool.deleted:
                self._tell(f"(trouble: {trouble.name})")
                act(self.scene)

        self.scene.estate.at(self.situation.starts_at + trouble.after, strike, by=by)

    def _tell_others(self, entry: Entry) -> None:
        if entry.by not in ("rollout", AZURE, PERSON):
            self._tell(f"({entry.by}: {entry.kind} {entry.subject.rsplit('/', 1)[1]})")

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def _pass_time(self, shortest: float, longest: float) -> None:
        self.clock.advance(timedelta(seconds=self.rng.uniform(shortest, longest)))

    def _tell(self, line: str) -> None:
        self.story.append(f"{self.clock():%a %H:%M:%S} {line}")


class _Patience:
    """How long a quiet rollout may take: time while its windows are shut and while people hold it up is not counted."""

    def __init__(self, situation: Situation) -> None:
        policy = situation.policy
        for_a_host = policy.drain.grace + policy.health.ready_within + policy.canary.bake + timedelta(minutes=45)
        self._bound = _SETTLING_IN + for_a_host * (situation.hosts + len(situation.troubles) + 2)
        self._windows = policy.windows
        self._last: datetime | None = None
        self._used = timedelta(0)
        self.held_up = timedelta(0)
        self.people_are_home = False

    @property
    def is_over(self) -> bool:
        """The bound is reached."""
        return self._used > self._bound

    def wait(self, now: datetime, *, held_up: bool) -> None:
        """Count what has passed since the last call."""
        passed = now - self._last if self._last else timedelta(0)
        self._last = now
        if held_up:
            self.held_up += passed
        elif is_open(self._windows, now):
            self._used += passed

    def send_people_home(self) -> None:
        """From now on nobody can hold anything up, and the bound counts from here."""
        self.people_are_home = True
        self._used = timedelta(0)


def _is_held_up_by_people(scene: Scene) -> bool:
    """People stay on draining hosts and the policy says to wait, or they need the slots that would be drained."""
    policy, pool = scene.policy, scene.pool
    waiting = any(host.stage is Stage.DRAINING for host in scene.state.in_hand.values())
    if waiting and (policy.drain.on_timeout == "wait" or policy.drain.sign_out_in_window_only):
        return True
    fullest = max((len(host.sessions) for host in pool.hosts.values()), default=0)
    slots = pool.max_session_limit * len(pool.hosts)
    return pool.free_slots < slots * policy.reserve / 100 + pool.max_session_limit + fullest
