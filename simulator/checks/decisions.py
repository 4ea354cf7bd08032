"""Checkers of the decisions themselves: what may start when, and that every decision explains itself."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from rollout import pool as core
from rollout.model import Phase, RolloutState, SessionHost, is_outdated
from rollout.steps import NotifySessions
from rollout.windows import is_open
from simulator.checks.watch import Checker, Turn
from simulator.direct import ROLLOUT
from simulator.journal import Entry, Kind

_EVERY = 5
"""Deciding twice doubles the cost of a turn: every fifth one is enough to find what is not pure."""


class CanaryFirst(Checker):
    """Nothing beyond the canary is touched before canaries have been in service for the bake time."""

    rule = "S5"
    kinds = (Kind.HOST_UNDRAINED, Kind.MACHINE_TAGGED, Kind.MACHINE_DELETING)

    def begin(self) -> None:
        self._in_service_since: dict[str, datetime] = {}
        self._passed = False

    def saw(self, entry: Entry) -> None:
        machine_gone = entry.kind is Kind.MACHINE_DELETING
        name = entry.subject.rsplit("/", 1)[1].split(".")[0].lower()
        if machine_gone:
            self._in_service_since.pop(name, None)
        elif entry.by == ROLLOUT and self.scene.office.machine_id(name).lower() in self.scene.created:
            self._in_service_since.setdefault(name, entry.at)

    def decided(self, turn: Turn) -> None:
        self._passed = self._passed or self._has_passed(turn)
        if self._passed or turn.snapshot is None:
            return
        policy = self.scene.policy
        touched = [host for host in turn.snapshot.hosts if self._is_touched(host, turn)]
        allowed = policy.canary.hosts if policy.strategy == "in_place" else 0
        if len(touched) > allowed:
            names = ", ".join(host.name for host in touched)
            self.fail(f"{names} are drained before the canary has passed, and {allowed} may be")

    def _has_passed(self, turn: Turn) -> bool:
        canary = self.scene.policy.canary
        proven = [name for name, since in self._in_service_since.items() if turn.now - since >= canary.bake]
        few = turn.decision.state.desired <= canary.hosts
        return len(proven) >= canary.hosts or (few and bool(proven))

    def _is_touched(self, host: SessionHost, turn: Turn) -> bool:
        """An outdated host that drains, or is about to, at the hands of this rollout."""
        in_hand = turn.decision.state.in_hand.get(host.name)
        return (
            in_hand is not None
            and self.scene.office.machine_id(host.name).lower() not in self.scene.created
            and in_hand.stage != "GivingBack"
            and is_outdated(host, self.scene.target)
        )


class NothingStartsOutsideWindows(Checker):
    """Outside every window no drain begins and no host is made."""

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        policy = self.scene.policy
        started = [step.host for step in (*turn.new_drains, *turn.new_hosts)]
        if started and not is_open(policy.windows, turn.now) and not turn.before.superseded_by:
            self.fail(f"work starts on {', '.join(started)} outside every window")


class NothingStartsAfterHalt(Checker):
    """Once the rollout is halted nothing new starts; once it is superseded no drain begins."""

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        drained = [step.host for step in turn.new_drains]
        if turn.decision.phase is Phase.HALTED and (drained or turn.new_hosts):
            started = drained + [step.host for step in turn.new_hosts]
            self.fail(f"work starts on {', '.join(started)} although the rollout is halted")
        elif turn.before.superseded_by and drained:
            self.fail(f"{', '.join(drained)} begin to drain although a newer version waits")


class FailureBudgetRespected(Checker):
    """More failed hosts than the policy tolerates halt the rollout in the same turn, and so does a failed canary."""

    rule = "S4"

    def decided(self, turn: Turn) -> None:
        if turn.decision.phase is Phase.HALTED:
            return
        failed = turn.decision.state.quarantined
        if len(failed) > self.scene.policy.health.max_failed_hosts:
            self.fail(f"{', '.join(failed)} have failed, and the rollout is {turn.decision.phase}")
        new = failed.keys() - turn.before.quarantined.keys()
        if not turn.before.canary_passed and new & set(turn.before.canary):
            self.fail(f"the canary {', '.join(sorted(new))} has failed, and the rollout is {turn.decision.phase}")


class OneChangePerHost(Checker):
    """A decision holds at most one step that changes a given host."""

    rule = "S12"

    def decided(self, turn: Turn) -> None:
        if len(turn.decision.steps) < 2:
            return
        changes = Counter(s.host for s in turn.decision.steps if not isinstance(s, NotifySessions))
        for host, count in changes.items():
            if count > 1:
                steps = ", ".join(type(step).__name__ for step in turn.decision.steps if step.host == host)
                self.fail(f"{count} steps change {host} at once: {steps}")


class SameInputSameDecision(Checker):
    """Deciding again from the same input gives the same decision, also after the memory has travelled as JSON."""

    rule = "D1"

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None or turn.number % _EVERY:
            return
        memory = msgspec.json.decode(msgspec.json.encode(turn.before), type=RolloutState)
        again = core.decide(memory, turn.snapshot, self.scene.policy, turn.now)
        once = core.decide(turn.before, turn.snapshot, self.scene.policy, turn.now)
        if again != once:
            self.fail("the same input gives another decision once the memory has been written as JSON and read")
        if once != core.decide(turn.before, turn.snapshot, self.scene.policy, turn.now):
            self.fail("the same input gives two decisions")


class SaysWhyAndWhen(Checker):
    """Every step has a reason, every state a sentence, and every decision looks again later unless it is the last."""

    rule = "A1"

    def decided(self, turn: Turn) -> None:
        decision = turn.decision
        silent = [type(step).__name__ for step in decision.steps if not step.reason]
        if silent:
            self.fail(f"no reason is given for {', '.join(silent)}")
        if not decision.state.message:
            self.fail(f"the rollout is {decision.phase} and does not say why")
        if decision.done != (decision.wake_at is None):
            self.fail("a decision is the last one exactly when it says no moment to look again")
        if decision.wake_at is not None and decision.wake_at <= turn.now:
            self.fail(f"the next look is at {decision.wake_at}, which is not later than {turn.now}")
        if decision.done and decision.steps:
            self.fail("the last decision holds steps, and nobody will see what becomes of them")
