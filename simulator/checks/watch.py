"""What a checker is, and who feeds them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rollout.model import PoolSnapshot, RolloutState
from rollout.steps import Decision, ProvisionHost, StartDraining, StepOutcome
from simulator.journal import Entry, Kind

if TYPE_CHECKING:
    from simulator.pool_scene import PoolScene


class Violation(NamedTuple):
    """A broken invariant: which, its code, when, and what happened in one sentence."""

    checker: str
    rule: str
    at: datetime
    sentence: str

    def __str__(self) -> str:
        """One line for a report."""
        return f"{self.checker} ({self.rule}) at {self.at:%a %d %H:%M:%S}: {self.sentence}"


class Turn(NamedTuple):
    """One decision with what it was made from; `snapshot` is None when the pool could not be read."""

    number: int
    now: datetime
    before: RolloutState
    snapshot: PoolSnapshot | None
    decision: Decision

    @property
    def new_drains(self) -> list[StartDraining]:
        """Drains that begin with this decision: of hosts that the rollout has not had in hand before."""
        return [s for s in self.decision.steps if isinstance(s, StartDraining) and s.host not in self.before.in_hand]

    @property
    def new_hosts(self) -> list[ProvisionHost]:
        """Hosts whose making begins with this decision."""
        return [s for s in self.decision.steps if isinstance(s, ProvisionHost) and s.host not in self.before.in_hand]


class Checker:
    """One invariant. Override what it needs to see; `fail` reports a violation."""

    rule: ClassVar[str] = ""
    kinds: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self, scene: PoolScene, report: Callable[[Violation], None]) -> None:
        self.scene = scene
        self._report = report
        self.begin()

    def begin(self) -> None:
        """The scene is built, and nothing has happened yet."""

    def saw(self, entry: Entry) -> None:
        """A journal entry of one of `kinds` was written."""

    def decided(self, turn: Turn) -> None:
        """A decision was made; nothing of it is done yet."""

    def did(self, outcome: StepOutcome) -> None:
        """A step was executed."""

    def ended(self, decision: Decision) -> None:
        """The rollout has ended with this decision."""

    def stuck(self) -> None:
        """The rollout has not ended within its bound."""

    def fail(self, sentence: str) -> None:
        """Report that the invariant is broken now."""
        self._report(Violation(type(self).__name__, self.rule, self.scene.clock(), sentence))


class Watch:
    """Feeds every checker and collects the violations, the first of each checker."""

    def __init__(self, scene: PoolScene, checkers: Sequence[type[Checker]]) -> None:
        self.violations: list[Violation] = []
        self._checkers = [kind(scene, self._report) for kind in checkers]
        self._deciding = [c for c in self._checkers if type(c).decided is not Checker.decided]
        self._doing = [c for c in self._checkers if type(c).did is not Checker.did]
        for checker in self._checkers:
            scene.listen(checker.kinds, checker.saw)

    def decided(self, turn: Turn) -> None:
        """Show a decision to every checker that looks at decisions."""
        for checker in self._deciding:
            checker.decided(turn)

    def did(self, outcome: StepOutcome) -> None:
        """Show the outcome of a step."""
        for checker in self._doing:
            checker.did(outcome)

    def ended(self, decision: Decision) -> None:
        """Show the end."""
        for checker in self._checkers:
            checker.ended(decision)

    def stuck(self) -> None:
        """Tell that the run has not ended within its bound."""
        for checker in self._checkers:
            checker.stuck()

    def _report(self, violation: Violation) -> None:
        if all(known.checker != violation.checker for known in self.violations):
            self.violations.append(violation)
