"""A world for decisions about rings: copies arrive, pools' rollouts end, people answer, and time jumps in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from rollout.assignments import ImageRollout
from rollout.gates import Approval, HealthLook
from rollout.latest import recorded
from rollout.model import ImageVersion, Phase, RegionReplica
from rollout.policy import (
    ApprovalGate,
    GatesPolicy,
    HealthGate,
    ImagePolicy,
    QueryGate,
    RingPolicy,
    RingStart,
    SignInFailuresGate,
    SmokeTestGate,
    Window,
)
from rollout.query_gate import QueryLook
from rollout.ring_state import (
    RolloutProgress,
    begin,
    record_answer,
    record_health,
    record_pool,
    record_query,
    record_regions,
    record_smoke_test,
    rings_of,
)
from rollout.ring_steps import (
    JudgeHosts,
    MarkVersion,
    QueryLogs,
    ReadRegions,
    ReadVersion,
    RollPool,
    SmokeTest,
    VersionLook,
)
from rollout.rings import RingsDecision, decide_rings
from rollout.smoke_test import SmokeRun
from rollout.status import PoolStatus
from rollout.steps import StepError
from tests.rollout.builders import POOL_ID, a_policy, version_id

VERSION = version_id("2.0.0")
TUESDAY = datetime(2026, 11, 10, 20, 0, tzinfo=UTC)
"""Patch Tuesday of November 2026, in the evening."""

MOST_TURNS = 3000
REGION = "westeurope"


def a_ring(
    name: str,
    *pools: str,
    concurrency: int | None = None,
    after: timedelta = timedelta(0),
    windows: Iterable[Window] = (),
    soak: timedelta = timedelta(0),
    approval: ApprovalGate | None = None,
    health: HealthGate | None = None,
    smoke_test: SmokeTestGate | None = None,
    sign_in_failures: SignInFailuresGate | None = None,
    queries: Mapping[str, QueryGate] | None = None,
) -> RingPolicy:
    """A ring of these pools; by default it starts at once and asks nothing."""
    return RingPolicy(
        name=name,
        host_pools=pools,
        concurrency=concurrency,
        start=RingStart(after=after, windows=tuple(windows)),
        gates=GatesPolicy(
            soak=soak,
            approval=approval,
            health=health,
            smoke_test=smoke_test,
            sign_in_failures=sign_in_failures,
            queries=dict(queries or {}),
        ),
    )


def weekly(day: str, start: str = "09:00", hours: float = 8, zone: str = "UTC") -> Window:
    """A window on one day of each week."""
    return Window(zone=zone, recurrence=f"FREQ=WEEKLY;BYDAY={day}", start=start, duration=timedelta(hours=hours))


def a_rollout(*rings: RingPolicy, pools: Iterable[str] = (), started_by: str = "", **image: Any) -> ImageRollout:
    """A rollout of version 2.0.0 over the pools of these rings; without rings over `pools`."""
    names = [name for ring in rings for name in ring.host_pools] or list(pools)
    policy = ImagePolicy(name="office", definition_id=VERSION.rpartition("/versions/")[0], rings=rings, **image)
    policies = tuple(a_policy(name=name, host_pool_id=f"{POOL_ID}-{name}") for name in names)
    return ImageRollout(VERSION, policy, policies, started_by)


def approves(ring: str, by: str = "andrea@contoso.com", **fields: Any) -> Approval:
    """A person's yes, by default an approver's."""
    return Approval(ring, "approve", by, **{"roles": ("Approver",), "reason": "it works", **fields})


def rejects(ring: str, by: str = "andrea@contoso.com", **fields: Any) -> Approval:
    """A person's no, by default an approver's."""
    return structs.replace(approves(ring, by, **fields), decision="reject", reason="printing is broken")


@dataclass
class RingWorld:
    """Plays a rollout from `begins` on.

    `takes` says how long each pool's rollout takes (an hour unless it says otherwise), `ends` how it ends, `copied`
    when a region's copy is complete (at once unless it says otherwise; None for never), `region_of` where a pool is.
    `answers` are people's, `health` looks at a pool, `smoke` runs a smoke test, `logs` answers a query, `marking`
    says what Azure answers to a mark.
    """

    rollout: ImageRollout
    begins: datetime = TUESDAY
    takes: Mapping[str, timedelta] = field(default_factory=dict)
    ends: Mapping[str, Phase] = field(default_factory=dict)
    copied: Mapping[str, datetime | None] = field(default_factory=dict)
    region_of: Mapping[str, str] = field(default_factory=dict)
    answers: list[tuple[datetime, Approval]] = field(default_factory=list)
    health: Callable[[str, datetime], HealthLook] = lambda pool, at: HealthLook(at, running=4)
    smoke: Callable[[SmokeTest, datetime], SmokeRun] = lambda step, at: SmokeRun(at, "passed", "avd-001", "vm")
    logs: Callable[[QueryLogs, datetime], QueryLook] = lambda step, at: QueryLook(at, number=0)
    marking: Callable[[MarkVersion, datetime], StepError | None] = lambda mark, at: None

    def __post_init__(self) -> None:
        self.now = self.begins
        self.progress: RolloutProgress = begin(self.rollout, "image-x", self.begins)
        self.started: dict[str, datetime] = {}
        self.ended: dict[str, datetime] = {}
        self.story: list[tuple[datetime, str]] = []
        self.looks: list[datetime] = []
        self.marks: list[tuple[datetime, MarkVersion]] = []
        self.smoke_steps: list[tuple[datetime, SmokeTest]] = []
        self.queries: list[tuple[datetime, QueryLogs]] = []
        self.turns = 0
        self._due: dict[str, datetime] = {}

    def play(self, until: timedelta = timedelta(days=60)) -> RingWorld:
        """Play until all has ended, or so much time has passed; the decisions must never ask for nothing."""
        while self.now - self.begins < until:
            self.turns += 1
            assert self.turns < MOST_TURNS, "the rollout looks all the time and never ends"
            decision = decide_rings(self.progress, self.rollout, self.now, [f"pool:{name}" for name in self._due])
            self.progress = decision.progress
            self.story += [(self.now, f"{pool}: {told}" if pool else told) for pool, told in decision.story]
            if decision.done:
                return self
            if not self._carry_out(decision):
                self._move_on(decision)
        return self

    @property
    def told(self) -> list[str]:
        """The sentences of the story."""
        return [sentence for _, sentence in self.story]

    def phase_of(self, ring: str) -> str:
        """Where a ring stands."""
        return self.progress.rings[ring].phase

    def status_of(self, pool: str) -> PoolStatus:
        """How a pool has ended."""
        return self.progress.ended[pool]

    def _carry_out(self, decision: RingsDecision) -> bool:
        """Carry the steps out; True when something has come back at once."""
        came_back = False
        for step in decision.steps:
            if isinstance(step, RollPool):
                name = step.policy.name
                assert name not in self.started, f"{name} is rolled twice"
                self.started[name] = self.now
                self._due[name] = self.now + self.takes.get(name, timedelta(hours=1))
                continue
            came_back = True
            if isinstance(step, ReadRegions):
                self.progress = record_regions(self.progress, step.pool, (self.region_of.get(step.pool, REGION),))
            elif isinstance(step, ReadVersion):
                self.looks.append(self.now)
                self.progress = structs.replace(self.progress, look=VersionLook(self.now, self._version()))
            elif isinstance(step, JudgeHosts):
                ring = next(ring for ring in rings_of(self.rollout) if step.policy.name in ring.host_pools)
                look = self.health(step.policy.name, self.now)
                self.progress = record_health(self.progress, ring, step.policy.name, look)
            elif isinstance(step, SmokeTest):
                self.smoke_steps.append((self.now, step))
                ring = next(ring for ring in rings_of(self.rollout) if step.policy.name in ring.host_pools)
                run = self.smoke(step, self.now)
                self.progress = record_smoke_test(self.progress, ring, step.policy.name, run)
            elif isinstance(step, QueryLogs):
                self.queries.append((self.now, step))
                answer = self.logs(step, self.now)
                self.progress = record_query(self.progress, step.ring, step.name, answer)
            elif isinstance(step, MarkVersion):
                self.marks.append((self.now, step))
                mark = recorded(self.progress.mark, step.kind, self.marking(step, self.now), self.now)
                self.progress = structs.replace(self.progress, mark=mark)
        return came_back

    def _version(self) -> ImageVersion:
        regions = {self.region_of.get(pool.name, REGION) for pool in self.rollout.pools} | {REGION, *self.copied}
        return ImageVersion(id=VERSION, regions={region: self._replica(region) for region in regions})

    def _replica(self, region: str) -> RegionReplica:
        at = self.copied.get(region, self.begins)
        return RegionReplica("Completed" if at is not None and at <= self.now else "Replicating")

    def _move_on(self, decision: RingsDecision) -> None:
        """Let time pass to whatever comes first, and let it happen."""
        moments = [*self._due.values(), *(at for at, _ in self.answers)]
        if decision.wake_at is not None:
            assert decision.wake_at > self.now, "the rollout wants to look again at once"
            moments.append(decision.wake_at)
        assert moments, f"the rollout waits for nothing: {self.progress.message}"
        self.now = max(self.now, min(moments))
        for name in [name for name, at in self._due.items() if at <= self.now]:
            del self._due[name]
            self.ended[name] = self.now
            phase = self.ends.get(name, Phase.SUCCEEDED)
            self.progress = record_pool(self.progress, PoolStatus(name, "2.0.0", phase, message=f"{name} {phase}"))
        for answer in [answer for answer in self.answers if answer[0] <= self.now]:
            self.answers.remove(answer)
            self.progress, sentence = record_answer(self.progress, self.rollout, answer[1], self.now)
            self.story.append((self.now, sentence))
