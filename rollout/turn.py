"""One turn of a rollout in the making: the pool as it is, what is in hand, and the steps decided on so far."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import structs

from rollout.capacity import Slots, count_slots
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
from rollout.policy import PoolPolicy, hosts_of
from rollout.steps import Decision, NotifySessions, Step

NEW_HOST_STAGES = frozenset({Stage.PROVISIONING, Stage.JOINING, Stage.VERIFYING})
LEAVING_STAGES = frozenset({Stage.DRAINING, Stage.REMOVING})

HOST_GONE = "HostGone"
"""Skip reason of a registration whose VM no longer exists. It is lifted when the VM is seen again."""

GRACE_ENDED = "GracePeriodEnded"
"""Skip reason of a host that people have not left in time."""

SOON = timedelta(seconds=60)
"""How soon to look again while a host is being removed, joined or verified, and after any step."""

LATER = timedelta(minutes=2)
"""How soon to look again while people sign out or Azure creates a VM, which takes minutes."""

IDLE = timedelta(minutes=5)
"""How soon to look again when nothing is in hand: somebody may have changed the pool."""


class Turn:
    """A rollout's turn: mutable while it is decided, frozen into a Decision at the end.

    The views (`outdated`, `current`, ...) are computed from the snapshot and what is in hand, so they are always up to
    date with what has been decided so far.
    """

    def __init__(self, state: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, now: datetime) -> None:
        """Copy what changes out of `state`; neither `state` nor `snapshot` is modified."""
        self.before = state
        self.pool = snapshot.pool
        self.image = snapshot.image
        self.names_in_use = snapshot.names_in_use
        self.policy = policy
        self.now = now
        self.rollout_id = state.rollout_id
        self.target = state.target
        self.hosts = {host.name: host for host in snapshot.hosts}
        self.phase = state.phase
        self.reason = state.reason
        self.message = state.message
        self.desired = state.desired
        self.zones = dict(state.zones)
        self.owed = list(state.owed)
        self.due = [name for name in state.due if name in self.hosts]
        self.wave = state.wave
        self.canary = state.canary
        self.bake_until = state.bake_until
        self.canary_passed = state.canary_passed
        self.in_hand = dict(state.in_hand)
        self.quarantined = dict(state.quarantined)
        self.skipped = dict(state.skipped)
        self.sick = dict(state.sick)
        self.last_number = state.last_number
        self.shapes = list(state.shapes)
        self.blocked = state.blocked
        self.refused_by_reserve = ""
        self.out_of_time = False
        self.signed_out = 0
        self.steps: list[Step] = []
        self.story: list[str] = []
        self._wakes: list[datetime] = []

    # -------------------------------------------------------------------------------------------------- the views

    @property
    def settled(self) -> list[SessionHost]:
        """Hosts in nobody's hands: in service, outdated or skipped. Not quarantined ones, nor what somebody deletes."""
        return [
            host
            for host in self.hosts.values()
            if host.vm_id
            and host.provisioning != "Deleting"
            and host.registration
            and host.name not in self.in_hand
            and host.name not in self.quarantined
            and QUARANTINE_TAG not in host.tags
        ]

    @property
    def outdated(self) -> list[SessionHost]:
        """Hosts that still have to be replaced and are not in hand."""
        return [h for h in self.settled if is_outdated(h, self.target) and h.name not in self.skipped]

    @property
    def current(self) -> list[SessionHost]:
        """Hosts in service on the target version."""
        return [h for h in self.settled if not is_outdated(h, self.target)]

    @property
    def left_alone(self) -> list[SessionHost]:
        """Outdated hosts that the rollout has skipped."""
        return [h for h in self.settled if is_outdated(h, self.target) and h.name in self.skipped]

    def in_stage(self, stages: Iterable[Stage]) -> dict[str, HostProgress]:
        """The hosts in hand that are in one of these stages."""
        wanted = frozenset(stages)
        return {name: progress for name, progress in self.in_hand.items() if progress.stage in wanted}

    @property
    def unfit(self) -> list[str]:
        """Hosts that have fallen sick since the rollout began, for so long that it is no single bad reading."""
        return fallen_sick(self.sick, self.before.started_at, self.policy.health.settle, self.now)

    @property
    def still_needed(self) -> int:
        """Hosts of the target version that have to be provisioned besides those that exist or are on their way."""
        on_their_way = len(self.in_stage(NEW_HOST_STAGES)) + self._coming_back()
        return self.desired - len(self.left_alone) - len(self.current) - on_their_way

    def _coming_back(self) -> int:
        """Hosts being given back that will stay: skipped ones, and current ones that an ended run had left drained."""
        returning = [self.hosts[name] for name in self.in_stage([Stage.GIVING_BACK]) if name in self.hosts]
        return sum(host.name in self.skipped or not is_outdated(host, self.target) for host in returning)

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
            why == GRACE_ENDED and (name in current or self.before.superseded_by) for name, why in self.skipped.items()
        )
        return 0 if shed_in_vain else max(0, self.surplus)

    @property
    def room(self) -> int:
        """VMs that may be created now without exceeding the pool's size and its surge."""
        return self.desired + self.surge - len(self.settled) - len(self.in_hand)

    @property
    def surge(self) -> int:
        """Extra hosts allowed during the rollout: none in place; at least enough for the canary otherwise."""
        if self.policy.strategy == "in_place":
            return 0
        return max(hosts_of(self.policy.surge, self.desired), self.policy.canary.hosts)

    def slots(self) -> Slots:
        """The pool's session slots now. A host that is to be drained offers none, even before drain mode shows."""
        return count_slots(self.pool, self.settled, self.policy.reserve)

    def people_leaving(self) -> int:
        """Sessions on draining hosts: these people will need a slot elsewhere."""
        return sum(self.hosts[name].load for name in self.in_stage(LEAVING_STAGES) if name in self.hosts)

    def people_at_work_leaving(self) -> int:
        """Those of them who sit in front of their session: they will need the slot at once."""
        return sum(self.hosts[name].at_work for name in self.in_stage(LEAVING_STAGES) if name in self.hosts)

    # ------------------------------------------------------------------------------------------------ the changes

    def do(self, step: Step, story: str = "") -> None:
        """Decide on a step; `story` is told when it differs from the reason of the step itself."""
        self.steps.append(step)
        self.tell(story or step.reason)

    def redo(self, step: Step) -> None:
        """Decide on a step that the story has already told."""
        self.steps.append(step)

    def is_busy(self, name: str) -> bool:
        """A step that changes this host has been decided on in this turn already."""
        return any(step.host == name and not isinstance(step, NotifySessions) for step in self.steps)

    def tell(self, sentence: str) -> None:
        """Add a sentence to the story of this turn."""
        self.story.append(sentence)

    def wake(self, at: datetime | None) -> None:
        """Look again at this moment at the latest; moments in the past count as soon."""
        if at is not None:
            self._wakes.append(max(at, self.now + timedelta(seconds=15)))

    def put(self, name: str, progress: HostProgress) -> None:
        """Remember what is being done with a host."""
        self.in_hand[name] = progress

    def enter(self, name: str, stage: Stage, reason: str = "") -> HostProgress:
        """Move a host in hand to another stage: its attempts start anew."""
        progress = structs.replace(
            self.in_hand[name], stage=stage, attempts=0, retry_at=None, good_since=None, reason=reason
        )
        self.put(name, progress)
        return progress

    def drop(self, name: str) -> HostProgress:
        """The host is no longer in hand: it is in service, given back, or gone."""
        return self.in_hand.pop(name)

    def is_due(self, progress: HostProgress) -> bool:
        """The next attempt at this host's step may be made now."""
        if progress.retry_at is not None and progress.retry_at > self.now:
            self.wake(progress.retry_at)
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
            stays_drained=not host.allows_new_sessions and not host.is_tagged,
        )

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
        )
        return Decision(
            state=state,
            steps=tuple(self.steps),
            story=tuple(self.story),
            wake_at=None if done else min([*self._wakes, self.now + IDLE]),
            done=done,
        )

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
