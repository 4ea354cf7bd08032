"""What the record says of a rollout: one event for each thing that a decision has changed.

Pure comparisons of what was remembered before and after. An event's message is the very sentence of the story where
the story has one. No event names a person who works on a host: the story does not either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, structs

from rollout.commands import Command, CommandKind
from rollout.gates import AskedApproval
from rollout.model import Phase, RolloutState, SessionHost, Stage, code_of, count_of, is_outdated, short_version
from rollout.retirement import StepResult
from rollout.ring_state import RolloutProgress
from rollout.ring_steps import RingStep, RollPool
from rollout.steps import (
    DEFERRED,
    Decision,
    NotifySessions,
    ProvisionHost,
    SignOutSessions,
    Step,
    StepError,
    StepOutcome,
)

LONGEST_SENTENCE = 1000
"""Characters of a message; a rollout that ends may name hundreds of hosts."""

TOLD_FAILURES = (1, 3)
"""Which failed attempts at one step are recorded: the first, and the one from which on the status speaks of it."""

HOSTS_OWN_KINDS = frozenset(
    {"HostStageChanged", "PeopleAsked", "WaveEnded", "PeopleNotified", "SignedOut", "StepFailed", "Noted"}
)
"""Kinds that a list of what has run on a pool or of an image leaves out: they are in the rollout's own record."""


class Event(Struct, frozen=True, omit_defaults=True):
    """One line of the record. `kind` and `reason` are CamelCase codes, `message` one sentence, `by` who did it.

    `number` orders the events of one orchestration and never changes; it is given by `outbox.note`. `stage` is
    where a host is now: a Stage, or Outdated, Steered, Current, Quarantined, Skipped, Retained, Removed. `resource` is
    the id of the VM that a notification about its alerts names.
    """

    at: datetime
    kind: str
    message: str
    reason: str = ""
    host: str = ""
    ring: str = ""
    pool: str = ""
    phase: str = ""
    stage: str = ""
    by: str = ""
    number: int = 0
    resource: str = ""

    @property
    def is_milestone(self) -> bool:
        """It belongs into the list of what has run on a pool, or of what has become of an image."""
        return self.kind not in HOSTS_OWN_KINDS


# ----------------------------------------------------------------------------------------------------- a host pool


def of_decision(
    before: RolloutState, decision: Decision, hosts: Mapping[str, SessionHost], now: datetime
) -> tuple[Event, ...]:
    """What one decision has changed. `hosts` are those that it was made on, none when the pool could not be read."""
    after = decision.state
    told = _Sentences(decision.story)
    events = []
    if before.desired < 0 <= after.desired:
        reason = "RollBack" if after.instead_of else ""
        events.append(Event(now, "RolloutStarted", told.take_first(), reason, phase=after.phase))
        events += [
            Event(now, "HostStageChanged", f"{host.name} is on {_image_of(host)}", host=host.name, stage="Outdated")
            for host in hosts.values()
            if host.vm_id and host.registration and is_outdated(host, after.target, after.instead_of)
        ]
    events += _of_commands(before, after, told, now)
    for name in _touched(before, after):
        stage, reason = _where(after, name)
        was, _ = _where(before, name)
        if not stage:
            stage = _settled_stage(hosts.get(name), after) if hosts else ""
        if stage and stage != was:
            sentence = told.about(name) or f"{name} {_SENTENCES.get(stage, f'is {stage}')}"
            events.append(Event(now, "HostStageChanged", sentence, reason, name, stage=stage))
    events += _of_canary_and_people(before, after, hosts, told, now)
    events += _of_steps(decision.steps, told, now)
    if (before.phase, before.reason) != (after.phase, after.reason) or decision.done:
        kind = "RolloutEnded" if decision.done else _kind_of_phase(before, after)
        events.append(Event(now, kind, after.message, after.reason, phase=after.phase))
        told.leave_out(after.message)
    events += [Event(now, "Noted", sentence, host=host) for sentence, host in told.rest({*hosts, *after.in_hand})]
    return tuple(_short(event) for event in events)


def of_outcomes(
    before: RolloutState, after: RolloutState, outcomes: Iterable[StepOutcome], now: datetime
) -> tuple[Event, ...]:
    """What the steps of a decision came to, by what was remembered before and after `outcomes.record`."""
    events = []
    for outcome in outcomes:
        name, error = outcome.step.host, outcome.error
        was, _ = _where(before, name)
        stage, _ = _where(after, name)
        if error is None:
            if was and not stage:
                now_in = "Current" if was == Stage.VERIFYING else "Outdated"
                sentence = f"{name} is in service" if now_in == "Current" else f"{name} serves people again"
                events.append(Event(now, "HostStageChanged", sentence, host=name, stage=now_in))
            continue
        if was and stage != was:
            stage = stage or "Removed"
            why = _why(name, outcome.step, error)
            events.append(Event(now, "HostStageChanged", why, error.code, name, stage=stage))
        elif error.code != DEFERRED and _attempts(after, name) in TOLD_FAILURES:
            events.append(Event(now, "StepFailed", _why(name, outcome.step, error), error.code, name))
    return tuple(_short(event) for event in events)


def of_waves(before: RolloutState, after: RolloutState, now: datetime) -> tuple[dict[str, int], tuple[Event, ...]]:
    """What is to be remembered after a decision as `RolloutState.waves`, and the waves that are over by it.

    A wave are the hosts whose people are asked to leave together. It is over when the last of them is in nobody's hands
    any more: each has one end, if not the end of the rollout.
    """
    waves = dict(before.waves)
    if after.wave > before.wave:
        waves |= {
            name: after.wave
            for name, progress in after.in_hand.items()
            if progress.asked and not (name in before.in_hand and before.in_hand[name].asked)
        }
    going_on = {wave for name, wave in waves.items() if name in after.in_hand}
    over: dict[int, list[str]] = {}
    for name, wave in waves.items():
        if wave not in going_on:
            over.setdefault(wave, []).append(name)
    events = tuple(Event(now, "WaveEnded", _end_of_wave(wave, names, after)) for wave, names in sorted(over.items()))
    return {name: wave for name, wave in waves.items() if wave in going_on}, events


def _end_of_wave(wave: int, names: Sequence[str], state: RolloutState) -> str:
    stay = sum(name in state.given_back or name in state.skipped for name in names)
    gone, stayed = len(names) - stay, ""
    if stay:
        stayed = f", {stay} serve{'s' if stay == 1 else ''} people again"
    return f"wave {wave} is done: {count_of(gone, 'host')} {'is' if gone == 1 else 'are'} out of service{stayed}"


REASON_OF: dict[CommandKind, str] = {
    "pause": "Paused",
    "resume": "Resumed",
    "abort": "Aborted",
    "roll_back": "RolledBack",
    "supersede": "Superseded",
    "thaw": "Thawed",
    "skip": "Skipped",
    "retry": "Retried",
}
"""The reason codes of commands."""


def of_command(before: Command | None, after: Command | None, now: datetime) -> tuple[Event, ...]:
    """What an operator has told a host pool's rollout since the last turn."""
    if before == after:
        return ()
    if after is None:
        return (Event(now, "CommandTaken", "it goes on", "Resumed"),)
    done = {"pause": "paused", "abort": "aborted", "roll_back": "to be rolled back"}.get(after.kind, after.kind)
    return (Event(now, "CommandTaken", f"{done} {after.spoken}", REASON_OF[after.kind], by=after.by),)


def _of_commands(before: RolloutState, after: RolloutState, told: _Sentences, now: datetime) -> Iterator[Event]:
    """What the decision was told to carry out once; where that could not be done, the story's sentence says why."""
    for command in before.queued:
        if before.carried_out < command.number <= after.carried_out:
            sentence = f"told to {command.kind}{command.host and f' {command.host}'} {command.spoken}"
            told_of = told.beginning(sentence) or sentence
            yield Event(now, "CommandTaken", told_of, REASON_OF[command.kind], command.host, by=command.by)


class _Sentences:
    """The story of a decision, found by the hosts that it names; each sentence is recorded once as a note at most."""

    def __init__(self, story: Sequence[str]) -> None:
        self._all = story
        self._unused = dict.fromkeys(story)
        self._by_word: dict[str, str] = {}
        for sentence in story:
            for word in _words(sentence):
                self._by_word.setdefault(word, sentence)

    def take_first(self) -> str:
        first = next(iter(self._unused), "")
        self._unused.pop(first, None)
        return first

    def take(self, sentence: str) -> None:
        self._unused.pop(sentence, None)

    def about(self, host: str) -> str:
        sentence = self._by_word.get(host, "")
        self._unused.pop(sentence, None)
        return sentence

    def beginning(self, start: str) -> str:
        """The sentence that begins so, "" when there is none."""
        sentence = next((one for one in self._all if one.startswith(start)), "")
        self._unused.pop(sentence, None)
        return sentence

    def leave_out(self, message: str) -> None:
        self._unused = {sentence: None for sentence in self._unused if not message or message not in sentence}

    def rest(self, hosts: set[str]) -> Iterator[tuple[str, str]]:
        for sentence in self._unused:
            yield sentence, host_named_in(sentence, hosts)


def host_named_in(sentence: str, hosts: Collection[str]) -> str:
    """The one of these hosts that a sentence is about; "" when it names none or several."""
    named = {word for word in _words(sentence) if word in hosts}
    return named.pop() if len(named) == 1 else ""


def _words(sentence: str) -> list[str]:
    return [word.rstrip(".") for word in re.findall(r"[\w.-]+", sentence.lower())]


def _of_canary_and_people(
    before: RolloutState, after: RolloutState, hosts: Mapping[str, SessionHost], told: _Sentences, now: datetime
) -> Iterator[Event]:
    if after.canary_passed and not before.canary_passed:
        passed = f"the canary {', '.join(after.canary)} has passed"
        yield Event(now, "CanaryPassed", told.beginning(passed) or passed)
    asked = [
        name
        for name, progress in after.in_hand.items()
        if progress.asked and name in hosts and hosts[name].at_work
        if not (name in before.in_hand and before.in_hand[name].asked)
    ]
    if asked:
        sentence = told.beginning(f"wave {after.wave}: asking") or f"people on {', '.join(asked)} are asked to leave"
        yield Event(now, "PeopleAsked", sentence)


def _kind_of_phase(before: RolloutState, after: RolloutState) -> str:
    if after.phase is not Phase.HALTED:
        return "PhaseChanged"
    return "CanaryFailed" if has_canary_failed(before, after) else "Halted"


def has_canary_failed(before: RolloutState, after: RolloutState) -> bool:
    """This decision has halted the rollout because a canary has failed."""
    is_verdict = after.phase is Phase.HALTED and before.phase is not Phase.HALTED
    failed = after.quarantined.keys() - before.quarantined.keys()
    return is_verdict and not after.canary_passed and bool(failed & {*before.canary, *after.canary})


def _of_steps(steps: Iterable[Step], told: _Sentences, now: datetime) -> Iterator[Event]:
    for step in steps:
        if isinstance(step, NotifySessions | SignOutSessions):
            kind = "PeopleNotified" if isinstance(step, NotifySessions) else "SignedOut"
            told.take(step.reason)
            yield Event(now, kind, step.reason, host=step.host)


def _touched(before: RolloutState, after: RolloutState) -> list[str]:
    known = (state for s in (before, after) for state in (s.in_hand, s.quarantined, s.skipped))
    return list(dict.fromkeys(name for names in known for name in names))


def _where(state: RolloutState, name: str) -> tuple[str, str]:
    """Where a host is by what is remembered, and why; "" when it is in nobody's hands."""
    if (progress := state.in_hand.get(name)) is not None:
        return _WORDS.get(progress.stage, str(progress.stage)), ""
    if name in state.quarantined:
        return "Quarantined", state.quarantined[name]
    return ("Skipped", code_of(state.skipped[name])) if name in state.skipped else ("", "")


_WORDS = {Stage.STEERING: "Steered"}
"""Hosts are steered from the moment at which it is decided: what the step comes to is seen in the next turn."""

_SENTENCES = {
    "Verifying": "is registered and must prove that it is well",
    "Removing": "is empty and is being removed",
    "Removed": "is gone",
    "Retained": "is kept, switched off, for a roll back",
    "Current": "is in service",
    "Outdated": "serves people again",
    "GivingBack": "is being given back",
    "Draining": "takes no new sign-ins",
}
"""What is said of a host whose change the story passes over."""


def _settled_stage(host: SessionHost | None, state: RolloutState) -> str:
    """Where a host is that the rollout has let go of, by what Azure shows."""
    if host is None or not host.vm_id or not host.registration:
        return "Removed"
    if host.is_retained and not host.is_tagged:
        return "Retained"
    if not is_outdated(host, state.target, state.instead_of):
        return "Current"
    return "Steered" if not host.allows_new_sessions and host.is_held_by(state.rollout_id) else "Outdated"


def _image_of(host: SessionHost) -> str:
    return short_version(host.image_version_id) if host.image_version_id else "an image that Azure does not name"


def _attempts(state: RolloutState, name: str) -> int:
    progress = state.in_hand.get(name)
    return progress.attempts if progress is not None else 0


def _why(name: str, step: Step, error: StepError) -> str:
    what = "cannot be made" if isinstance(step, ProvisionHost) else f"{type(step).__name__} fails"
    return f"{name}: {what}: {error.code}: {error.message}"


def _short(event: Event) -> Event:
    if len(event.message) <= LONGEST_SENTENCE:
        return event
    return structs.replace(event, message=event.message[: LONGEST_SENTENCE - 3] + "...")


# ------------------------------------------------------------------------------------------------ a rollout as a whole


def of_progress(
    before: RolloutProgress, after: RolloutProgress, steps: Iterable[RingStep], now: datetime
) -> tuple[Event, ...]:
    """What one decision about a rollout as a whole has changed, besides what its story tells."""
    events = []
    for name, ring in after.rings.items():
        was = before.rings.get(name)
        if name and was is not None and was.phase != ring.phase:
            sentence = f"ring {name}: {ring.why or ring.phase}"
            events.append(Event(now, "RingPhaseChanged", sentence, ring.reason, ring=name, phase=ring.phase))
    if before.phase != after.phase:
        events.append(Event(now, "PhaseChanged", after.message or f"it is {after.phase}", phase=after.phase))
    events += [
        Event(now, "PoolStarted", f"host pool {step.policy.name} is rolled", pool=step.policy.name)
        for step in steps
        if isinstance(step, RollPool)
    ]
    events += [
        Event(now, "PoolEnded", status.message or status.phase, status.reason, pool=name, phase=status.phase)
        for name, status in after.ended.items()
        if name not in before.ended
    ]
    return tuple(_short(event) for event in events)


def of_retirement(results: Iterable[StepResult], message: str, by: str, now: datetime) -> tuple[Event, ...]:
    """What a run that retires image versions has come to: one event, none when it changed nothing and nothing failed.

    `message` says it in one sentence; a run that could not even be planned has no results, and is a failure.
    """
    results = tuple(results)
    done = [f"{result.version} {result.told}" for result in results if result.outcome == "done"]
    failed = [f"{result.version}: {result.detail}" for result in results if result.outcome == "failed"]
    if results and not done and not failed:
        return ()
    kind = "RetirementFailed" if failed or not results else "VersionsRetired"
    sentence = "; ".join([message, *failed, *done])
    return (_short(Event(now, kind, sentence, by=by)),)


def of_asking(before: AskedApproval | None, after: AskedApproval | None, now: datetime) -> tuple[Event, ...]:
    """That people are asked to approve a ring, once for each time that they begin to be."""
    if after is None or (before is not None and (before.ring, before.since) == (after.ring, after.since)):
        return ()
    roles = " or ".join(after.roles)
    until = after.until
    by = f" by {until:%a} {until.day} {until:%b %H:%M} UTC, or else it is rejected" if until is not None else ""
    sentence = f"ring {after.ring} waits for an approval of {roles}{by}"
    return (Event(now, "ApprovalAsked", sentence, ring=after.ring),)
