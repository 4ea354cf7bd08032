"""Checkers of the decisions themselves: what may start when, and that every decision explains itself."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from rollout import pool as core
from rollout.model import (
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    Phase,
    RolloutState,
    SessionHost,
    Stage,
    is_outdated,
)
from rollout.steps import NotifySessions, ReleaseHost, SignOutSessions, StopDraining
from rollout.windows import is_open
from simulator.checks.watch import Checker, Turn
from simulator.journal import Entry, Kind

_EVERY = 5
"""Deciding twice doubles the cost of a turn: every fifth one is enough to find what is not pure."""


class CanaryFirst(Checker):
    """Nothing beyond the canary is touched before canaries have been well for the bake time."""

    rule = "S5"
    kinds = (Kind.HOST_STATUS, Kind.MACHINE_DELETING)

    def begin(self) -> None:
        self._well_since: dict[str, datetime] = {}
        self._outdated = -1
        self._passed = False

    def saw(self, entry: Entry) -> None:
        name = _name(entry.subject)
        well = entry.kind is Kind.HOST_STATUS and entry.detail in ("Available", "NeedsAssistance")
        if well and self.scene.made(name):
            self._well_since.setdefault(name, entry.at)
        elif entry.kind is Kind.MACHINE_DELETING or self._runs(name):
            self._well_since.pop(name, None)  # one that was switched off, as its forerunner was, stays proven

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None or turn.before.ends_early:
            return
        if self._outdated < 0:
            self._outdated = sum(is_outdated(host, self.scene.target) for host in turn.snapshot.hosts)
        policy = self.scene.policy
        proven = [name for name, since in self._well_since.items() if turn.now - since >= policy.canary.bake]
        replaceable = self._outdated - self.scene.others[Kind.MACHINE_DELETING] - len(turn.before.skipped)
        self._passed = self._passed or len(proven) >= max(1, min(policy.canary.hosts, replaceable))
        if self._passed:
            return
        touched = [host.name for host in turn.snapshot.hosts if self._is_touched(host, turn)]
        allowed = policy.canary.hosts if policy.strategy == "in_place" else 0
        if len(touched) > allowed:
            self.fail(f"{', '.join(touched)} drain before the canary has passed, and {allowed} may")

    def _runs(self, name: str) -> bool:
        machine = self.scene.estate.machines.find(self.scene.office.machine_id(name))
        return machine is not None and machine.running

    def _is_touched(self, host: SessionHost, turn: Turn) -> bool:
        """An outdated host that drains, or is about to, at the hands of this rollout."""
        in_hand = turn.decision.state.in_hand.get(host.name)
        leaves = in_hand is not None and in_hand.stage is not Stage.GIVING_BACK
        return leaves and not self.scene.made(host.name) and is_outdated(host, self.scene.target)


class NothingStartsOutsideWindows(Checker):
    """Outside every window no drain begins and no host is made, other than one that the pool is short of in place."""

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        policy = self.scene.policy
        started = [step.host for step in turn.new_drains]
        if policy.strategy == "surge" and not turn.before.ends_early:
            started += [step.host for step in turn.new_hosts]
        if started and not is_open(policy.windows, turn.now):
            self.fail(f"work starts on {', '.join(started)} outside every window")


class NothingStartsAfterHalt(Checker):
    """Once the rollout is halted nothing new starts; once it ends early only what restores the pool's size."""

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        drained = [step.host for step in turn.new_drains]
        if turn.decision.phase is Phase.HALTED and (drained or turn.new_hosts):
            started = drained + [step.host for step in turn.new_hosts]
            self.fail(f"work starts on {', '.join(started)} although the rollout is halted")
        elif turn.before.ends_early:
            hosts, drained_too_many = len(self.scene.in_service()), len(drained)
            if drained_too_many and hosts - drained_too_many < self.scene.size - self.scene.doubtful:
                self.fail(f"{', '.join(drained)} begin to drain although the rollout ends early")


class NobodyDisturbedWhilePaused(Checker):
    """As long as the rollout is paused no drain begins, nobody is asked to leave and nobody at work is signed out."""

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        if not turn.before.is_paused or turn.decision.phase is Phase.HALTED:
            return
        drained = [step.host for step in turn.new_drains]
        asked = [step.host for step in turn.decision.steps if isinstance(step, NotifySessions) and self._asks(step)]
        ended = [step.host for step in turn.decision.steps if isinstance(step, SignOutSessions)]
        if disturbed := [*drained, *asked, *ended]:
            self.fail(f"people on {', '.join(disturbed)} are disturbed although the rollout is paused")

    def _asks(self, step: NotifySessions) -> bool:
        return step.title != self.scene.policy.drain.notice.withdrawn_title


class SkippedHostsLeftAlone(Checker):
    """A host that an operator has told the rollout to skip is given back, and nothing else is done with it.

    One that nobody has touched is skipped in the turn in which the rollout learns of it.
    """

    rule = "S6"

    def decided(self, turn: Turn) -> None:
        after = turn.decision.state
        skipped = {name for name, why in after.skipped.items() if why.startswith("SkippedByOperator")}
        for step in turn.decision.steps:
            withdraws = (
                isinstance(step, NotifySessions) and step.title == self.scene.policy.drain.notice.withdrawn_title
            )
            if step.host in skipped and not (withdraws or isinstance(step, StopDraining | ReleaseHost)):
                self.fail(f"{type(step).__name__} for {step.host}, which an operator wants to be left alone")
        last = {command.host: command.kind for command in turn.before.queued}
        for name in [name for name, kind in last.items() if kind == "skip" and name not in skipped]:
            if self._is_untouched(name, turn):
                self.fail(f"{name} is not skipped, although nobody has touched it")

    def _is_untouched(self, name: str, turn: Turn) -> bool:
        host = next((h for h in (turn.snapshot.hosts if turn.snapshot else ()) if h.name == name), None)
        if host is None or turn.before.ends_early or turn.decision.phase is Phase.HALTED or turn.decision.done:
            return False
        is_whole = bool(host.vm_id and host.registration) and host.provisioning != "Deleting"
        is_marked = bool({ROLLOUT_TAG, QUARANTINE_TAG, RETAINED_TAG} & host.tags.keys())
        known = {*turn.before.in_hand, *turn.before.skipped, *turn.before.quarantined}
        return is_whole and name not in known and is_outdated(host, self.scene.target) and not is_marked


class FailureBudgetRespected(Checker):
    """More failed hosts than the policy tolerates halt the rollout in the same turn, and so does a failed canary.

    What has failed before a roll back begins is why it does, and none of its own failures.
    """

    rule = "S4"

    def begin(self) -> None:
        self._failed_before: set[str] = set()

    def decided(self, turn: Turn) -> None:
        if turn.before.instead_of and turn.before.desired < 0:
            self._failed_before = set(turn.before.quarantined)
        if turn.decision.phase is Phase.HALTED or self.scene.pool.deleted:
            return
        state = turn.decision.state
        hosts = turn.snapshot.hosts if turn.snapshot is not None and state.instead_of else ()
        refused = {host.name for host in hosts if is_outdated(host, state.target, state.instead_of)}
        failed = {name: why for name, why in state.quarantined.items() if name not in refused | self._failed_before}
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
    decide = staticmethod(core.decide)

    def decided(self, turn: Turn) -> None:
        if turn.snapshot is None or turn.number % _EVERY:
            return
        memory = msgspec.json.decode(msgspec.json.encode(turn.before), type=RolloutState)
        again = self.decide(memory, turn.snapshot, self.scene.policy, turn.now)
        once = self.decide(turn.before, turn.snapshot, self.scene.policy, turn.now)
        if again != once:
            self.fail("the same input gives another decision once the memory has been written as JSON and read")
        if once != self.decide(turn.before, turn.snapshot, self.scene.policy, turn.now):
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


def _name(subject: str) -> str:
    """The bare host name of a machine id or of `pool/host`."""
    return subject.rsplit("/", 1)[1].split(".", 1)[0].lower()
