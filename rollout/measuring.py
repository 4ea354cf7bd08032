"""What is measured of rollouts: the table of all metrics, and what each turn, step and delivery adds to them.

Names and attributes are those that users of rollout controllers know. Where a figure is remembered by the rollout, its
total is told and never an increment: telling it again after an activity was run twice changes nothing. What happens at
a moment (a phase that ends, a host that is proven) is told in the turn that sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from rollout.health import judge_host
from rollout.instance_ids import whole_and_pool
from rollout.model import (
    HostProgress,
    Phase,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    Stage,
    normalise_region,
    short_version,
)
from rollout.orders import LEAVING
from rollout.policy import PoolPolicy, hosts_of
from rollout.recording import has_canary_failed
from rollout.retention import DeleteVersion, RetentionPlan
from rollout.steps import DEFERRED, Decision, ReleaseHost, Step, StopDraining

Kind = Literal["gauge", "counter", "histogram"]


class Metric(Struct, frozen=True):
    """One metric: how it is counted, its unit (UCUM), the attributes that it always has, and what it means.

    A gauge is the state at a moment, a counter the sum of what has happened, a histogram how long things took.
    """

    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    meaning: str


METRICS: dict[str, Metric] = {
    "rollout_info": Metric(
        "gauge",
        "1",
        ("rollout", "pool", "version", "region", "phase"),
        "1 for the phase that the pool's rollout is in, 0 for the one that it has just left",
    ),
    "rollout_hosts": Metric(
        "gauge",
        "{host}",
        ("pool", "state"),
        "hosts in each state: Outdated, Steered, Current, SetAside (skipped, quarantined) or a stage of those in hand",
    ),
    "rollout_hosts_desired": Metric("gauge", "{host}", ("pool",), "hosts that the pool shall have at the end"),
    "rollout_hosts_updated": Metric("gauge", "{host}", ("pool",), "hosts in service on the version"),
    "rollout_hosts_available": Metric(
        "gauge", "{host}", ("pool",), "hosts that are healthy by the policy and take new sessions"
    ),
    "rollout_hosts_unavailable": Metric(
        "gauge", "{host}", ("pool",), "registered hosts that are not: drained, switched off, unhealthy or not proven"
    ),
    "rollout_allowed_disruptions": Metric(
        "gauge", "{host}", ("pool",), "hosts that may be emptied or removed at a time, by the policy's `max_wave`"
    ),
    "rollout_hosts_consuming_budget": Metric(
        "gauge", "{host}", ("pool",), "hosts that are being emptied or removed now"
    ),
    "rollout_capacity_free_slots": Metric(
        "gauge", "{session}", ("pool",), "free session slots on hosts that take new sessions; may be negative"
    ),
    "rollout_capacity_reserve_slots": Metric(
        "gauge", "{session}", ("pool",), "session slots that shall stay free, by the policy's `reserve`"
    ),
    "rollout_sessions_signed_out_total": Metric(
        "gauge",
        "{session}",
        ("rollout", "pool", "kind"),
        "sessions that the rollout has ended so far: `forced` somebody was at work in, `disconnected` nobody was, "
        "`repeat` are those of `forced` whose person had been signed out before. The last value is the total",
    ),
    "fleet_version_hosts": Metric(
        "gauge", "{host}", ("pool", "version"), "hosts that run each image version; `unknown` where Azure names none"
    ),
    "image_version_age_days": Metric("gauge", "d", ("pool", "version"), "days since the version was published"),
    "image_versions_retained": Metric(
        "gauge", "{version}", ("image",), "versions of the image that its retirement does not delete"
    ),
    "rollout_phase_transitions_total": Metric(
        "counter", "{transition}", ("pool", "from", "to", "reason"), "changes of the phase, with the new reason"
    ),
    "rollout_blocked_seconds_total": Metric(
        "counter",
        "s",
        ("pool", "reason"),
        "time in which the pool's rollout could not go on, counted when it ends: for a window, for capacity, for a "
        "copy of the image, for another rollout of the pool",
    ),
    "rollout_retries_total": Metric(
        "counter", "{attempt}", ("pool", "op", "code"), "attempts at a step that failed, by activity and error code"
    ),
    "rollout_notifications_total": Metric(
        "counter", "{notification}", ("pool", "sink", "result"), "notifications by `delivered` and `failed` attempts"
    ),
    "rollout_gate_result": Metric(
        "counter",
        "{verdict}",
        ("pool", "gate", "verdict"),
        "verdicts `passed` and `failed` of the gates `canary` and `smoke_test`",
    ),
    "rollout_duration_seconds": Metric(
        "histogram",
        "s",
        ("rollout", "pool", "status"),
        "from the pool's turn in the rollout to its end, waiting and pauses included; the status is the last phase",
    ),
    "rollout_manual_pause_duration_seconds": Metric(
        "histogram", "s", ("pool",), "how long an operator or a freeze has held the rollout, each time"
    ),
    "rollout_host_provision_seconds": Metric(
        "histogram",
        "s",
        ("pool", "version"),
        "from ordering a new VM until it has registered with the host pool: made, joined, agent installed",
    ),
    "rollout_host_verify_seconds": Metric(
        "histogram",
        "s",
        ("pool", "version"),
        "from the registration of a new host, or the start of a restored one, until it is proven and put into service",
    ),
    "rollout_host_drain_seconds": Metric(
        "histogram", "s", ("pool",), "from the decision to empty a host until nobody is left and it may be removed"
    ),
}
"""Every metric by its name; docs/telemetry.md lists the same."""

PROVISIONING_STAGES = frozenset({Stage.PROVISIONING, Stage.JOINING})

BLOCKING_PHASES = frozenset({Phase.WAITING_REPLICATION, Phase.WAITING_WINDOW, Phase.WAITING_CAPACITY})

WAITS_FOR_POOL = "PoolInUse"
"""Reason of a rollout that waits for the one that has the pool; it is still Scheduled."""


class Measurement(Struct, frozen=True):
    """One value of a metric of METRICS, with all of the metric's attributes."""

    metric: str
    value: float
    attributes: dict[str, str]


def of_turn(
    before: RolloutState, decision: Decision, snapshot: PoolSnapshot | None, policy: PoolPolicy, now: datetime
) -> Iterator[Measurement]:
    """What one decision tells of a host pool. `snapshot` is what it was made on, None when the pool was unreadable."""
    after, pool = decision.state, {"pool": policy.name}
    yield from _of_phase(before, decision, snapshot, pool, now)
    signed_out = {
        "forced": after.forced_sign_outs,
        "disconnected": after.disconnected_sign_outs,
        "repeat": max(0, after.forced_sign_outs - len(after.signed_out)),
    }
    rollout = pool | {"rollout": whole_and_pool(after.rollout_id)[0]}
    for kind, count in signed_out.items():
        yield Measurement("rollout_sessions_signed_out_total", count, rollout | {"kind": kind})
    if after.canary_passed and not before.canary_passed:
        yield Measurement("rollout_gate_result", 1, pool | {"gate": "canary", "verdict": "passed"})
    if has_canary_failed(before, after):
        yield Measurement("rollout_gate_result", 1, pool | {"gate": "canary", "verdict": "failed"})
    yield from _of_hosts_on_their_way(before, after, decision.steps, pool, now)
    if snapshot is not None:
        yield from _of_pool(after, snapshot, policy, pool, now)


def of_failure(activity: str, pool: str, code: str) -> Iterator[Measurement]:
    """What an attempt at a step that has failed with this code tells. One that was put off was no attempt."""
    if code != DEFERRED:
        yield Measurement("rollout_retries_total", 1, {"pool": pool, "op": activity, "code": code})


def of_delivery(sink: str, pool: str, given: int, answer: Mapping[str, Any]) -> Iterator[Measurement]:
    """What one attempt to give so many notifications to a sink tells, by the activity's answer (see outbox.answered).

    Those that there was no time for count as neither, and none does once the sink has been switched off.
    """
    has_failed, is_off = "error" in answer, "off" in answer
    left = len(answer.get("left") or ()) or (given if has_failed else 0)
    for result, count in (("delivered", 0 if is_off else given - left), ("failed", left if has_failed else 0)):
        if count:
            attributes = {"pool": pool, "sink": sink, "result": result}
            yield Measurement("rollout_notifications_total", count, attributes)


def of_smoke_test(pool: str, state: str) -> Iterator[Measurement]:
    """What one look at a smoke test tells: nothing as long as it runs."""
    if state in ("passed", "failed"):
        yield Measurement("rollout_gate_result", 1, {"pool": pool, "gate": "smoke_test", "verdict": state})


def of_retirement(image: str, plan: RetentionPlan) -> Iterator[Measurement]:
    """What a whole plan of what becomes of an image's versions tells."""
    retained = sum(not isinstance(entry.step, DeleteVersion) for entry in plan.versions)
    yield Measurement("image_versions_retained", retained, {"image": image})


def _of_phase(
    before: RolloutState, decision: Decision, snapshot: PoolSnapshot | None, pool: dict[str, str], now: datetime
) -> Iterator[Measurement]:
    after = decision.state
    rollout = pool | {"rollout": whole_and_pool(after.rollout_id)[0]}
    known = rollout | {
        "version": short_version(after.target),
        "region": normalise_region(snapshot.pool.location) if snapshot is not None else "",
    }
    yield Measurement("rollout_info", 1, known | {"phase": str(after.phase)})
    if before.phase != after.phase:
        yield Measurement("rollout_info", 0, known | {"phase": str(before.phase)})
        moved = {"from": str(before.phase), "to": str(after.phase), "reason": after.reason}
        yield Measurement("rollout_phase_transitions_total", 1, pool | moved)
    if before.since is not None and (before.phase, before.reason) != (after.phase, after.reason):
        lasted = (now - before.since).total_seconds()
        if before.phase in BLOCKING_PHASES or before.reason == WAITS_FOR_POOL:
            yield Measurement("rollout_blocked_seconds_total", lasted, pool | {"reason": before.reason})
        if before.phase is Phase.PAUSED:
            yield Measurement("rollout_manual_pause_duration_seconds", lasted, pool)
    if decision.done:
        took = (now - after.started_at).total_seconds()
        yield Measurement("rollout_duration_seconds", took, rollout | {"status": str(after.phase)})


def _of_hosts_on_their_way(
    before: RolloutState, after: RolloutState, steps: Iterable[Step], pool: dict[str, str], now: datetime
) -> Iterator[Measurement]:
    version = pool | {"version": short_version(after.target)}
    for name, was in before.in_hand.items():
        progress = after.in_hand.get(name)
        stage = progress.stage if progress is not None else None
        if was.stage in PROVISIONING_STAGES and stage is Stage.VERIFYING:
            yield Measurement("rollout_host_provision_seconds", (now - was.since).total_seconds(), version)
        if was.stage is Stage.DRAINING and stage is Stage.REMOVING:
            began = was.entered or was.since
            yield Measurement("rollout_host_drain_seconds", (now - began).total_seconds(), pool)
    for step in steps:
        if (entered := _verified_since(after.in_hand.get(step.host), step)) is not None:
            yield Measurement("rollout_host_verify_seconds", (now - entered).total_seconds(), version)


def _verified_since(progress: HostProgress | None, step: Step) -> datetime | None:
    """Since when a host was verified that this step puts into service for the first time; None for any other step."""
    in_service = isinstance(step, StopDraining) or (isinstance(step, ReleaseHost) and not step.deallocate)
    if progress is None or progress.stage is not Stage.VERIFYING or progress.attempts or not in_service:
        return None
    return progress.entered


def _of_pool(
    after: RolloutState, snapshot: PoolSnapshot, policy: PoolPolicy, pool: dict[str, str], now: datetime
) -> Iterator[Measurement]:
    counts, in_hand = after.counts, after.in_hand
    stages = Counter(progress.stage for progress in in_hand.values())
    states = {
        "Outdated": counts.outdated,
        "Steered": counts.in_hand - len(in_hand) + stages.pop(Stage.STEERING, 0),
        "Current": counts.current,
        "SetAside": counts.set_aside,
    } | {str(stage): stages[stage] for stage in Stage if stage is not Stage.STEERING}
    for state, count in states.items():
        yield Measurement("rollout_hosts", count, pool | {"state": state})
    registered = [host for host in snapshot.hosts if host.registration]
    available = sum(
        host.allows_new_sessions and judge_host(host, policy.health, now, in_service=True).good for host in registered
    )
    desired = max(0, after.desired)
    yield Measurement("rollout_hosts_desired", desired, pool)
    yield Measurement("rollout_hosts_updated", counts.current, pool)
    yield Measurement("rollout_hosts_available", available, pool)
    yield Measurement("rollout_hosts_unavailable", len(registered) - available, pool)
    yield Measurement("rollout_allowed_disruptions", hosts_of(policy.max_wave, desired), pool)
    leaving = sum(progress.stage in LEAVING for progress in in_hand.values())
    yield Measurement("rollout_hosts_consuming_budget", leaving, pool)
    yield Measurement("rollout_capacity_free_slots", counts.free, pool)
    yield Measurement("rollout_capacity_reserve_slots", counts.reserve, pool)
    for version, count in _versions(after, snapshot.hosts).items():
        yield Measurement("fleet_version_hosts", count, pool | {"version": version})
    if snapshot.image is not None and snapshot.image.published_at is not None:
        age = (now - snapshot.image.published_at).total_seconds() / 86400
        yield Measurement("image_version_age_days", age, pool | {"version": short_version(after.target)})


def _versions(after: RolloutState, hosts: Iterable[SessionHost]) -> Mapping[str, int]:
    """How many hosts run each version; the rollout's own ones are told also when they have none (any more)."""
    found = Counter(short_version(host.image_version_id) or "unknown" for host in hosts if host.vm_id)
    own = [short_version(id) for id in (after.target, after.previous, after.instead_of) if id]
    return dict.fromkeys(own, 0) | found
