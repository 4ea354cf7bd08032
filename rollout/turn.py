"""One turn of a rollout in the making: the pool as it is, what is in hand, and the steps decided on so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from rollout.capacity import SlotCount, Slots, free_slots_of, sign_in_rate
from rollout.counting import count
from rollout.health import fallen_sick
from rollout.model import (
    QUARANTINE_TAG,
    HostProgress,
    HostShape,
    Phase,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    Stage,
    Vacancy,
    is_outdated,
)
from rollout.outcomes import LISTED_LATE
from rollout.policy import PoolPolicy, hosts_at_a_time, hosts_of, surge_of, unavailable_of
from rollout.steps import Decision, NotifySessions, Step

NEW_HOST_STAGES = frozenset({Stage.RESTORING, Stage.PROVISIONING, Stage.JOINING, Stage.VERIFYING})
LEAVING_STAGES = frozenset({Stage.DRAINING, Stage.REMOVING})
DRAINED_STAGES = frozenset({Stage.STEERING, Stage.DRAINING})
HELD_STAGES = DRAINED_STAGES | {Stage.GIVING_BACK}
"""Hosts in hand that would accept sign-ins if the rollout did not keep people off them."""

HOST_GONE = "HostGone"
"""Skip reason of a registration whose VM no longer exists. It is lifted when the VM is seen again."""

GRACE_ENDED = "GracePeriodEnded"
"""Skip reason of a host that people have not left in time."""

SOON = timedelta(seconds=60)
"""How soon to look again while a host is being removed, joined or verified, and after any step."""

LATER = timedelta(minutes=2)
"""How soon to look again while people sign out or Azure creates a VM, which takes minutes."""

LONGEST_UNSEEN = timedelta(minutes=15)
"""So long a host that has to stay good may go without a look, as when the pool cannot be read once or twice. After
more, nobody knows that it was well all the time."""

IDLE = timedelta(minutes=5)
"""How soon to look again when nothing is in hand: somebody may have changed the pool."""


BEFORE_A_PHASE = timedelta(minutes=15)
"""So long before a phase of the scaling plan begins its hosts are there, besides the time that a new one takes."""

_BUSY_PHASES = frozenset({"RampUp", "Peak"})

TOGETHER_AT_MOST, TOGETHER_AT_LEAST = timedelta(minutes=1), timedelta(seconds=24)
"""What is due so shortly after the first is looked at together with it. A look costs the same however many hosts it
serves: the fewer there are, the longer it waits for more."""

FEW, MANY = 5, 10
"""Hosts that are replaced at the moment: up to so few the longest time holds, from so many on the shortest."""

SMALL, LARGE = 100, 1000
"""Hosts of a pool. A look takes all of them in: in a large pool the longest time holds however many are replaced."""

LARGEST, MORE_IN_THE_LARGEST = 10_000, timedelta(minutes=1)
"""Hosts of the largest pool that is measured. There looks are so much further apart, in pools between accordingly."""

UNHURRIED = timedelta(minutes=5)
"""So much later new hosts and removals are looked at when they hold nothing up: every look is a handful of calls."""


class _Views(NamedTuple):
    """Hosts that nobody has in hand: all of them, and by what is to become of them."""

    settled: list[SessionHost]
    outdated: list[SessionHost]
    current: list[SessionHost]
    left_alone: list[SessionHost]


class _Steered(NamedTuple):
    """Steered hosts, and what they were found among."""

    of: _Views
    canary_passed: bool
    hosts: list[SessionHost]


def is_set_aside(host: SessionHost) -> bool:
    """The host is out of service and part of nothing: kept for investigation, or for a quick way back."""
    return QUARANTINE_TAG in host.tags or host.is_retained


def _is_in_the_pool(host: SessionHost) -> bool:
    """It has both halves, nobody takes it away, and it is not set aside."""
    return bool(host.vm_id and host.registration) and host.provisioning != "Deleting" and not is_set_aside(host)


class Turn:
    """A rollout's turn: mutable while it is decided, frozen into a Decision at the end.

    The views (`outdated`, `current`, ...) are computed from the snapshot and what is in hand, so they are always up to
    date with what has been decided so far.
    """

    def __init__(self, state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> None:
        """Copy what changes out of `state`; neither `state` nor `snapshot` is modified."""
        self.before = state
        self.pool, self.image, self.scaling = snapshot.pool, snapshot.image, snapshot.scaling
        self.names_in_use = snapshot.names_in_use
        self.policy, self.now = policy, now
        self.rollout_id, self.target, self.instead_of = state.rollout_id, state.target, state.instead_of
        self.previous = state.previous
        self.hosts = {host.name: host for host in snapshot.hosts}
        self.phase, self.reason, self.message = state.phase, state.reason, state.message
        self.desired = state.desired
        self.zones = dict(state.zones)
        self.owed = list(state.owed)
        self.due = [name for name in state.due if name in self.hosts]
        self.wave = state.wave
        self.canary, self.bake_until, self.canary_passed = state.canary, state.bake_until, state.canary_passed
        self.in_hand = dict(state.in_hand)
        self.quarantined = dict(state.quarantined)
        self.skipped = dict(state.skipped)
        self.sick = dict(state.sick)
        self.last_number = state.last_number
        self.shapes = list(state.shapes)
        self.blocked = state.blocked
        self.refused_by_reserve = ""
        self.out_of_time = self.wants_room = False
        self.signed_out_now: set[str] = set()
        self.moved = 0
        self.signed_out_before = frozenset(state.signed_out)
        self.steps: list[Step] = []
        self.story: list[str] = []
        self._wakes: list[datetime] = []
        self._unhurried_wakes: list[datetime] = []
        self.put_in_service, self.carried_out = 0, state.carried_out
        self._busy: set[str] = set()
        self.special: set[str] = set()
        """Names of hosts that somebody else switched off or into drain mode: their replacements end the same way."""
        self._serving: list[SessionHost] = []
        self._outdated_versions: frozenset[str] = frozenset()
        self._look_at(snapshot.hosts)
        self._by_stage: dict[frozenset[Stage], dict[str, HostProgress]] = {}
        self._number_in = Counter(progress.stage for progress in state.in_hand.values())
        self._number_there = Counter(host.stage for name, host in state.in_hand.items() if self._is_there(name))
        self._slot_count: tuple[bool, SlotCount] | None = None
        self._slots: tuple[bool, Slots] | None = None
        self._views: _Views | None = None
        self._taken: set[str] = set()
        self._there: tuple[dict[str, datetime], int] | None = None
        self._steered: _Steered | None = None
        self._rate: float | None = None
        self._zones_of_current: tuple[_Views, Counter[str]] | None = None

    def _look_at(self, hosts: Iterable[SessionHost]) -> None:
        """Find out at once what does not change in a turn: a pool has thousands of hosts, of a handful of versions."""
        one_of_each_version: dict[str, SessionHost] = {}
        for host in hosts:
            if _is_in_the_pool(host):
                self._serving.append(host)
            if (host.power != "running" or not host.allows_new_sessions) and self._is_special(host):
                self.special.add(host.name)
            one_of_each_version[host.image_version_id] = host
        self._outdated_versions = frozenset(
            version for version, host in one_of_each_version.items() if is_outdated(host, self.target, self.instead_of)
        )

    # -------------------------------------------------------------------------------------------------- the views

    @property
    def settled(self) -> list[SessionHost]:
        """Hosts in nobody's hands: in service, outdated or skipped. Not quarantined ones, nor what somebody deletes."""
        return self._sorted_out().settled

    @property
    def outdated(self) -> list[SessionHost]:
        """Hosts that still have to be replaced and are not in hand; steered ones are among them."""
        return self._sorted_out().outdated

    @property
    def current(self) -> list[SessionHost]:
        """Hosts in service on the target version."""
        return self._sorted_out().current

    @property
    def zones_of_current(self) -> Counter[str]:
        """How many hosts in service on the target version each zone has."""
        views, known = self._sorted_out(), self._zones_of_current
        if known is None or known[0] is not views:
            known = self._zones_of_current = views, Counter(host.zone for host in views.current)
        return known[1]

    @property
    def left_alone(self) -> list[SessionHost]:
        """Outdated hosts that the rollout has skipped."""
        return self._sorted_out().left_alone

    @property
    def steered(self) -> list[SessionHost]:
        """Outdated hosts that this rollout has put into drain mode, and whose people have not been asked to leave."""
        views = self._sorted_out()
        known = self._steered
        if known is None or known.of is not views or known.canary_passed != self.canary_passed:
            hosts = views.outdated if self.canary_passed else ()
            steered = [host for host in hosts if not host.allows_new_sessions and host.is_held_by(self.rollout_id)]
            known = self._steered = _Steered(views, self.canary_passed, steered)
        return known.hosts

    def is_steered(self, host: SessionHost) -> bool:
        """This rollout holds the host in drain mode. Before the canary has passed it holds none: see pool._strays."""
        return self.canary_passed and not host.allows_new_sessions and host.is_held_by(self.rollout_id)

    def is_outdated(self, host: SessionHost) -> bool:
        """The host must be replaced: it runs an older version than the target, or the one that is rolled back."""
        return host.image_version_id in self._outdated_versions

    def _sorted_out(self) -> _Views:
        """Every host looked at once for all views, and again only when a host has changed hands: pools are large."""
        if self._views is None:
            in_hand, quarantined, outdated_versions = self.in_hand, self.quarantined, self._outdated_versions
            settled = [host for host in self._serving if (name := host.name) not in in_hand and name not in quarantined]
            outdated = [host for host in settled if host.image_version_id in outdated_versions]
            self._views = _Views(
                settled,
                outdated=[host for host in outdated if host.name not in self.skipped] if self.skipped else outdated,
                current=[host for host in settled if host.image_version_id not in outdated_versions],
                left_alone=[host for host in outdated if host.name in self.skipped] if self.skipped else [],
            )
        elif self._taken:
            # Dozens of hosts are taken in hand one after the other: they leave the views together.
            self._views = _Views(*([host for host in view if host.name not in self._taken] for view in self._views))
        self._taken.clear()
        return self._views

    def _is_special(self, host: SessionHost) -> bool:
        return host.is_powered_off or self.is_drained_by_others(host)

    def in_stage(self, stages: Iterable[Stage]) -> Mapping[str, HostProgress]:
        """The hosts in hand that are in one of these stages."""
        wanted = frozenset(stages)
        found = self._by_stage.get(wanted)
        if found is None:
            found = {name: progress for name, progress in self.in_hand.items() if progress.stage in wanted}
            self._by_stage[wanted] = found
        return found

    def number_in(self, stages: Iterable[Stage]) -> int:
        """How many hosts in hand are in one of these stages."""
        return sum(self._number_in[stage] for stage in stages)

    @property
    def unfit(self) -> list[str]:
        """Hosts that have fallen sick since the rollout began, for so long that it is no single bad reading."""
        return fallen_sick(self.sick, self.before.started_at, self.policy.health.settle, self.now)

    @property
    def still_needed(self) -> int:
        """Hosts of the target version that have to be provisioned besides those that exist or are on their way."""
        on_their_way = self.number_in(NEW_HOST_STAGES) + self.coming_back
        return self.desired - len(self.left_alone) - len(self.current) - on_their_way

    @property
    def coming_back(self) -> int:
        """Hosts being given back that will stay: skipped ones, and current ones that an ended run had left drained."""
        returning = [self.hosts[name] for name in self.in_stage([Stage.GIVING_BACK]) if name in self.hosts]
        return sum(host.name in self.skipped or not self.is_outdated(host) for host in returning)

    @property
    def size(self) -> int:
        """Hosts that the pool will have when what is in hand is finished: in service, on their way, or given back."""
        going = (Stage.REMOVING, Stage.DISCARDING)
        return len(self.settled) + sum(progress.stage not in going for progress in self.in_hand.values())

    @property
    def surplus(self) -> int:
        """Hosts that the pool has too many, counting all in hand that are to be in service; negative: it lacks some."""
        return self.size - self.desired

    @property
    def to_shed(self) -> int:
        """Surplus hosts that are to leave. None any more once people have stayed on one of them: it may remain then."""
        current = {host.name for host in self.current}
        shed_in_vain = any(
            why == GRACE_ENDED and (name in current or self.before.ends_early) for name, why in self.skipped.items()
        )
        return 0 if shed_in_vain else max(0, self.surplus)

    @property
    def room(self) -> int:
        """VMs that may be created now without exceeding the pool's size and its surge."""
        return self.desired + self.surge - len(self.settled) - len(self.in_hand)

    @property
    def surge(self) -> int:
        """Extra hosts allowed during the rollout: none in place; at least enough for the canary otherwise."""
        return surge_of(self.policy, self.desired)

    @property
    def max_unavailable(self) -> int:
        """Hosts that may be missing from the pool's size at a time: in place at least one."""
        return unavailable_of(self.policy, self.desired)

    @property
    def at_a_time(self) -> int:
        """Hosts that are replaced at a time when nothing else holds them up."""
        return hosts_at_a_time(self.policy, self.desired)

    @property
    def most_in_a_wave(self) -> int:
        """Hosts that are emptied or removed at the same time at most."""
        return hosts_of(self.policy.max_wave, self.desired)

    @property
    def removable(self) -> int:
        """Hosts that may be removed now: so many are there beyond the pool's size less those that may be missing.

        A host that people are leaving is there until it is removed. Current hosts that have fallen sick do not count.
        """
        if self._there is None or self._there[0] is not self.sick:
            fit = len(self.current)
            if unfit := set(self.unfit):
                fit -= sum(host.name in unfit for host in self.current)
            drained = sum(self._number_there[stage] for stage in DRAINED_STAGES)
            self._there = self.sick, fit + len(self.outdated) + len(self.left_alone) + drained
        return self._there[1] - self.desired + self.max_unavailable

    @property
    def sign_ins_per_hour(self) -> float:
        """How fast people sign in now."""
        if self._rate is None:
            self._rate = sign_in_rate(self.hosts.values(), self.now)
        return self._rate

    def slots(self) -> Slots:
        """The pool's session slots now. A host that is to be drained offers none, even before drain mode shows."""
        if self._slots is None or self._slots[0] != self.canary_passed:
            self._slots = self.canary_passed, self._count_slots()
        return self._slots[1]

    def _count_slots(self) -> Slots:
        if self._slot_count is None or self._slot_count[0] != self.canary_passed:
            in_hand = self.in_stage(HELD_STAGES)
            held = [self.hosts[name] for name, host in in_hand.items() if name in self.hosts and not host.stays_drained]
            count = SlotCount(self.pool)
            count.add(self.settled, [*self.steered, *held])
            self._slot_count = self.canary_passed, count
        forecast = self.sign_ins_per_hour * self.policy.expected_provisioning.total_seconds() / 3600
        slots = self._slot_count[1].slots(self.policy.reserve, forecast)
        return structs.replace(slots, least_accepting=self._least_accepting())

    def _count_anew(self, name: str, times: int) -> None:
        """Take a host out of the count of slots (-1) before it changes hands, and in again (1) after it has."""
        if self._slot_count is None or (host := self.hosts.get(name)) is None:
            return
        count = self._slot_count[1]
        if (progress := self.in_hand.get(name)) is not None:
            if progress.stage in HELD_STAGES and not progress.stays_drained:
                count.add(drained=[host], times=times)
        elif name not in self.quarantined and _is_in_the_pool(host):
            is_steered = self.is_steered(host) and self.is_outdated(host) and name not in self.skipped
            count.add([host], [host] if is_steered else (), times=times)

    def _least_accepting(self) -> int:
        """Hosts that must accept sign-ins by the pool's scaling plan: its minimum in RampUp and Peak, and soon before.

        Autoscale does not see to that itself: hosts in drain mode, and those with its exclusion tag, count in its
        minimum, so what a rollout drains would be all that is left of it.
        """
        if self.scaling is None:
            return 0
        soon = self.now + self.policy.expected_provisioning + BEFORE_A_PHASE
        phases = [phase for phase in (self.scaling.phase, self.scaling.next_phase) if phase and phase.begins_at <= soon]
        percent = max((phase.minimum_percent for phase in phases if phase.kind in _BUSY_PHASES), default=0)
        # Never so many that no host could be replaced at all.
        return min(math.ceil(self.desired * percent / 100), self.desired + self.surge - max(1, self.max_unavailable))

    def asked_to_leave(self) -> int:
        """People at work who are asked to leave: they will need a slot elsewhere."""
        asked = (name for name, progress in self.in_stage([Stage.DRAINING]).items() if progress.asked)
        return sum(self.hosts[name].at_work for name in asked if name in self.hosts)

    def slots_on_current_hosts(self) -> int:
        """Free session slots on hosts that will not be replaced: who is signed out shall find a place there."""
        return sum(free_slots_of(host, self.pool) for host in self.current)

    # ------------------------------------------------------------------------------------------------ the changes

    def do(self, step: Step, story: str = "") -> None:
        """Decide on a step; `story` is told when it differs from the reason of the step itself."""
        self.redo(step)
        self.tell(story or step.reason)

    def redo(self, step: Step) -> None:
        """Decide on a step that the story has already told."""
        self.steps.append(step)
        if not isinstance(step, NotifySessions):
            self._busy.add(step.host)

    def is_busy(self, name: str) -> bool:
        """A step that changes this host has been decided on in this turn already."""
        return name in self._busy

    @property
    def unseen(self) -> timedelta:
        """How long the pool had not been looked at when this turn did, where that is too long to say what happened."""
        seen_at = self.before.seen_at
        span = timedelta() if seen_at is None else self.now - seen_at
        return span if span > LONGEST_UNSEEN else timedelta()

    def tell(self, sentence: str) -> None:
        """Add a sentence to the story of this turn."""
        self.story.append(sentence)

    def wake(self, at: datetime | None) -> None:
        """Look again at this moment at the latest; moments in the past count as soon."""
        if at is not None:
            self._wakes.append(self._no_sooner_than_possible(at))

    def wake_unhurried(self, at: datetime) -> None:
        """Look again at this moment; some minutes later will do when nothing waits for it: see `is_hurried`."""
        self._unhurried_wakes.append(self._no_sooner_than_possible(at))

    def _no_sooner_than_possible(self, at: datetime) -> datetime:
        return max(at, self.now + timedelta(seconds=15))

    def put(self, name: str, progress: HostProgress) -> None:
        """Remember what is being done with a host."""
        before = self.in_hand.get(name)
        if before is None and name in self.hosts:
            self._taken.add(name)
        if before is not None and (before.stage, before.stays_drained) == (progress.stage, progress.stays_drained):
            self._sort_in(name, before, progress)
            self.in_hand[name] = progress
        else:
            with self._changing_hands(name):
                self._sort_in(name, before, progress)
                self.in_hand[name] = progress

    def enter(self, name: str, stage: Stage, reason: str = "") -> HostProgress:
        """Move a host in hand to another stage: its attempts start anew."""
        progress = structs.replace(
            self.in_hand[name],
            stage=stage,
            attempts=0,
            retry_at=None,
            good_since=None,
            proven_from=None,
            reason=reason,
            entered=self.now,
        )
        self.put(name, progress)
        return progress

    def drop(self, name: str) -> HostProgress:
        """The host is no longer in hand: it is in service, given back, or gone."""
        if name in self.hosts:
            self._views = None
        with self._changing_hands(name):
            dropped = self.in_hand.pop(name)
            self._sort_in(name, dropped, None)
        return dropped

    def _sort_in(self, name: str, before: HostProgress | None, after: HostProgress | None) -> None:
        """Keep what is known of the hosts in each stage: hundreds of hosts change in a turn, each a little.

        What somebody may be going through is never made longer or shorter, and stays in the order of `in_hand`.
        """
        for progress, times in ((before, -1), (after, 1)):
            if progress is not None:
                self._number_in[progress.stage] += times
                self._number_there[progress.stage] += times * self._is_there(name)
        for stages, found in list(self._by_stage.items()):
            was, will = before is not None and before.stage in stages, after is not None and after.stage in stages
            if was and after is not None and will:
                self._by_stage[stages][name] = after
            elif before is None and after is not None and will:
                self._by_stage[stages] = {**found, name: after}
            elif was or will:
                del self._by_stage[stages]

    def _is_there(self, name: str) -> bool:
        """The host is listed, and nobody is deleting it."""
        host = self.hosts.get(name)
        return host is not None and host.provisioning != "Deleting"

    def skip(self, name: str, code: str) -> None:
        """The rollout leaves this outdated host alone, for the reason of this code."""
        self._views = None
        with self._changing_hands(name):
            self.skipped[name] = code

    def take_up_again(self, name: str) -> None:
        """A host that was skipped is to be replaced after all."""
        self._views = None
        with self._changing_hands(name):
            del self.skipped[name]

    def take_back(self, name: str, progress: HostProgress) -> None:
        """A host that was set aside is to be proven, or taken away, once more."""
        with self._changing_hands(name):
            del self.quarantined[name]
        self.put(name, progress)

    def quarantine(self, name: str, code: str) -> None:
        """A failed host is set aside for investigation, for the reason of this code."""
        self._views = None
        with self._changing_hands(name):
            self.quarantined[name] = code

    @contextmanager
    def _changing_hands(self, name: str) -> Iterator[None]:
        """Around a change of what becomes of this host: what was counted of the hosts changes with it."""
        self._count_anew(name, -1)
        yield
        self._count_anew(name, 1)
        self._there = self._slots = None

    def is_due(self, progress: HostProgress) -> bool:
        """The next attempt at this host's step may be made now."""
        if progress.retry_at is not None and progress.retry_at > self.now:
            self.wake_unhurried(progress.retry_at)
            return False
        return True

    def shape_index(self, shape: HostShape) -> int:
        """Where this shape stands among the remembered ones; hosts of a pool mostly share one."""
        if shape not in self.shapes:
            self.shapes.append(shape)
        return self.shapes.index(shape)

    def vacancy_of(self, host: SessionHost) -> Vacancy:
        """What a replacement of this host must take over."""
        return Vacancy(
            replaces=host.name,
            shape=self.shape_index(host.shape),
            zone=host.zone,
            stays_off=host.is_powered_off,
            stays_drained=self.is_drained_by_others(host),
        )

    def is_drained_by_others(self, host: SessionHost) -> bool:
        """Somebody else has put the host into drain mode, and no late list makes it look so."""
        if host.allows_new_sessions or host.is_tagged:
            return False
        given_back = self.before.given_back.get(host.name)
        return given_back is None or self.now - given_back >= LISTED_LATE

    def halt(self, reason: str, message: str) -> None:
        """Stop by a verdict: nothing new starts, what is drained is given back. The first verdict stays."""
        if self.phase is not Phase.HALTED:
            self.phase, self.reason, self.message = Phase.HALTED, reason, message
            self.tell(f"halted: {message}")

    def say(self, phase: Phase, reason: str, message: str) -> None:
        """Set the phase, its reason code and the one sentence that says why the rollout is where it is."""
        self.phase, self.reason, self.message = phase, reason, message

    # ------------------------------------------------------------------------------------------------- the result

    def decision(self, *, done: bool = False) -> Decision:
        """Freeze the turn."""
        same = (self.phase, self.reason) == (self.before.phase, self.before.reason)
        if not same and not any(self.message in sentence for sentence in self.story):
            self.tell(f"{self.phase}: {self.message}")
        shapes = self._keep_needed_shapes()
        state = structs.replace(
            self.before,
            phase=self.phase,
            reason=self.reason,
            message=self.message,
            since=self.before.since if same else self.now,
            desired=self.desired,
            previous=self.previous,
            settled=len(self.settled),
            zones=self.zones,
            owed=tuple(self.owed),
            due=tuple(self.due),
            wave=self.wave,
            canary=self.canary,
            bake_until=self.bake_until,
            canary_passed=self.canary_passed,
            in_hand=self.in_hand,
            quarantined=self.quarantined,
            skipped=self.skipped,
            sick=self.sick,
            last_number=self.last_number,
            shapes=shapes,
            blocked=self.blocked,
            unreadable=0,
            queued=(),
            carried_out=self.carried_out,
            signed_out=tuple(sorted(self.signed_out_before | self.signed_out_now)),
            counts=count(self),
        )
        return Decision(
            state=state,
            steps=tuple(self.steps),
            story=tuple(self.story),
            wake_at=None if done else self._next_look(),
            done=done,
        )

    def _next_look(self) -> datetime:
        """The first of the moments to look again; those shortly after it are seen in the same look.

        Every look costs a handful of list calls, and in a large pool something is due nearly every minute.
        """
        if self.is_hurried:
            moments, latest = [*self._wakes, *self._unhurried_wakes], self.now + IDLE
        else:
            moments, latest = self._wakes, min([self.now + IDLE, *(at + UNHURRIED for at in self._unhurried_wakes)])
        first = min([*moments, latest])
        last = first + self._together
        return max(moment for moment in [*moments, first] if moment <= last)

    @property
    def _together(self) -> timedelta:
        """What is due so shortly after the first moment is looked at together with it."""
        replaced = self.number_in([*NEW_HOST_STAGES, Stage.REMOVING])
        for_few = _between(MANY, replaced, FEW)
        for_large = _between(SMALL, self.desired, LARGE)
        longer = max(for_few, for_large) * (TOGETHER_AT_MOST - TOGETHER_AT_LEAST)
        return TOGETHER_AT_LEAST + longer + _between(LARGE, self.desired, LARGEST) * MORE_IN_THE_LARGEST

    @property
    def is_hurried(self) -> bool:
        """Whether the rollout would be over later if new hosts came later.

        It would not as long as people have to leave first: every drained host that is empty is being replaced already,
        there are others to come, and nobody could be asked to leave if there were more room.
        """
        if not self.canary_passed or self.phase is Phase.HALTED or self.before.ends_early or self.wants_room:
            return True
        draining = (self.hosts.get(name) for name in self.in_stage([Stage.DRAINING]))
        to_empty = [*self.steered, *(host for host in draining if host is not None)]
        return len(to_empty) <= self.at_a_time or any(not host.load or host.is_powered_off for host in to_empty)

    def _keep_needed_shapes(self) -> tuple[HostShape, ...]:
        """The shapes that a host in hand or owed still needs, renumbered; one at least, so that a host can be made.

        Without this, a pool whose hosts all differ (in a tag, say) would be remembered whole in the end.
        """
        in_use = {progress.shape for progress in self.in_hand.values()} | {vacancy.shape for vacancy in self.owed}
        needed = sorted(in_use) or [0]
        place = {shape: index for index, shape in enumerate(needed)}
        self.in_hand = {n: structs.replace(p, shape=place[p.shape]) for n, p in self.in_hand.items()}
        self.owed = [structs.replace(vacancy, shape=place[vacancy.shape]) for vacancy in self.owed]
        return tuple(self.shapes[shape] for shape in needed if shape < len(self.shapes))


def _between(none: int, number: int, whole: int) -> float:
    """How far a number is on the way from one to another: 0 at `none` or before it, 1 at `whole` or behind it."""
    return min(max((number - none) / (whole - none), 0), 1)
