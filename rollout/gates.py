"""Gates: what must hold, besides its host pools' success, before a ring has passed.

They open when the ring's host pools are done. Smoke test, soak and a person's approval run side by side; health and
queries are judged when all of them hold, because they may change as long as anybody waits. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from rollout.model import count_of
from rollout.policy import ApprovalGate, HealthGate, RingPolicy
from rollout.query_gate import QueryLook, judge_queries
from rollout.sign_ins import queries_of
from rollout.smoke_test import SmokeRun, judge_smoke_tests

LOOK_AGAIN = timedelta(minutes=15)
"""How often a ring's hosts are looked at until they are healthy: eight times in two hours, by default."""

LONGEST_REASON = 300
LONGEST_NAME = 100
MOST_ROLES = 50

FUNCTION_KEY = "FunctionKey"
"""The one role of a caller of whom nothing is known but a function key."""


class RingPhase(StrEnum):
    """Where a ring stands: before its turn, its pools at work, its gates open, or at its end."""

    WAITING = "Waiting"
    ROLLING = "Rolling"
    PROVING = "Proving"
    PASSED = "Passed"
    FAILED = "Failed"
    BLOCKED = "Blocked"


class Approval(Struct, frozen=True, omit_defaults=True):
    """A person's answer about a ring, as it is sent to the rollout. `roles` are those of the person.

    `at` is when the rollout has taken it in.
    """

    ring: str
    decision: Literal["approve", "reject"]
    by: str
    roles: tuple[str, ...] = ()
    reason: str = ""
    at: datetime | None = None


class AskedApproval(Struct, frozen=True, omit_defaults=True):
    """What people are asked: since when, until when (None: as long as it takes), who may answer and who may not."""

    ring: str
    since: datetime
    roles: tuple[str, ...]
    until: datetime | None = None
    not_by: str = ""


class Refusal(Struct, frozen=True):
    """Why an answer does not count: `code` for machines, `why` for people."""

    code: Literal["NoSuchRing", "NotAsked", "TooLate", "WrongRole", "SamePerson"]
    why: str


class HealthLook(Struct, frozen=True, omit_defaults=True):
    """The ring's hosts on the new version at a moment: how many run, which are unhealthy and why, what hid them."""

    at: datetime
    running: int = 0
    unhealthy: dict[str, str] = {}
    unreadable: str = ""


class GateState(Struct, frozen=True, omit_defaults=True):
    """What is known of a ring's gates since they opened.

    `smoke` holds each pool's smoke test. `first_look` is when its hosts were first looked at, `looked` the host pools
    that have answered since the last look was complete. `queries` holds the last look of each query.
    """

    opened_at: datetime
    answer: Approval | None = None
    smoke: dict[str, SmokeRun] = {}
    look: HealthLook | None = None
    first_look: datetime | None = None
    looked: dict[str, HealthLook] = {}
    queries: dict[str, QueryLook] = {}


class GateVerdict(Struct, frozen=True):
    """Whether the gates hold: a CamelCase code, one sentence, and when that may change without anybody's doing.

    `look`: the ring's hosts must be looked at now. `smoke`: pools whose smoke test is to be begun, or asked about, now.
    `queries`: those that are to be asked now.
    """

    state: Literal["open", "passed", "failed"]
    reason: str
    message: str
    wake_at: datetime | None = None
    look: bool = False
    smoke: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()


def judge_gates(ring: RingPolicy, pools: tuple[str, ...], state: GateState, now: datetime) -> GateVerdict:
    """Judge the gates of a ring whose host pools are done; `pools` are those that have got the version."""
    answer, approval = state.answer, ring.gates.approval
    if answer is not None and answer.decision == "reject":
        return GateVerdict("failed", "Rejected", f"rejected by {answer.by}{_because(answer)}")
    waits: list[GateVerdict] = []
    smoke_test = ring.gates.smoke_test
    if smoke_test is not None:
        tested = judge_smoke_tests(smoke_test, pools, state.smoke, state.opened_at, now)
        if tested.state == "failed":
            return GateVerdict("failed", tested.reason, tested.message)
        if tested.state == "open":
            waits.append(GateVerdict("open", tested.reason, tested.message, tested.wake_at, smoke=tested.ask))
    soaked_at = state.opened_at + ring.gates.soak
    if now < soaked_at:
        waits.append(GateVerdict("open", "Soaking", f"in use until {_time(soaked_at)}", soaked_at))
    if approval is not None and answer is None:
        asking = _without_answer(approval, state.opened_at, now)
        if asking.state == "failed":
            return asking
        if asking.state == "open":
            waits.append(asking)
    if waits:
        wake_at = min((wait.wake_at for wait in waits if wait.wake_at is not None), default=None)
        asks = tuple(pool for wait in waits for pool in wait.smoke)
        message = " and ".join(wait.message for wait in waits)
        return GateVerdict("open", waits[-1].reason, message, wake_at, smoke=asks)
    return _judge_measures(ring, state, now)


def _judge_measures(ring: RingPolicy, state: GateState, now: datetime) -> GateVerdict:
    """Health and queries, side by side."""
    judged = []
    if ring.gates.health is not None:
        judged.append(_judge_health(ring.gates.health, state, now))
    queries = queries_of(ring.gates)
    if queries:
        answers = judge_queries(queries, state.queries, now)
        judged.append(GateVerdict(answers.state, answers.reason, answers.message, answers.wake_at, queries=answers.ask))
    if not judged:
        return GateVerdict("passed", "GatesPassed", _passed(ring, state))
    failed = next((verdict for verdict in judged if verdict.state == "failed"), None)
    if failed is not None:
        return failed
    told = [verdict for verdict in judged if verdict.state == "open"] or judged
    return GateVerdict(
        told[0].state,
        told[-1].reason,
        " and ".join(verdict.message for verdict in told),
        min((verdict.wake_at for verdict in told if verdict.wake_at is not None), default=None),
        look=any(verdict.look for verdict in told),
        queries=tuple(name for verdict in told for name in verdict.queries),
    )


def _without_answer(approval: ApprovalGate, opened_at: datetime, now: datetime) -> GateVerdict:
    until = opened_at + approval.deadline
    roles = " or ".join(approval.roles)
    if now < until:
        then = {"wait": "", "reject": ", or else it is rejected", "approve": ", or else it goes on"}
        message = f"{roles} to approve by {_time(until)}{then[approval.on_timeout]}"
        return GateVerdict("open", "WaitingApproval", message, until)
    if approval.on_timeout == "reject":
        return GateVerdict("failed", "ApprovalTimedOut", f"rejected, as nobody has approved by {_time(until)}")
    if approval.on_timeout == "approve":
        return GateVerdict("passed", "ApprovalTimedOut", f"nobody has answered by {_time(until)}")
    return GateVerdict("open", "WaitingApproval", f"{roles} to approve, overdue since {_time(until)}")


def _judge_health(gate: HealthGate, state: GateState, now: datetime) -> GateVerdict:
    look = state.look
    if look is None or now - look.at >= LOOK_AGAIN:
        return GateVerdict("open", "JudgingHealth", "its hosts are looked at", look=True)
    share = 100 * len(look.unhealthy) / look.running if look.running else 100
    if look.running and not look.unreadable and share <= gate.max_unhealthy_percent:
        message = f"{count_of(look.running - len(look.unhealthy), 'healthy host')} of {look.running}"
        return GateVerdict("passed", "Healthy", message)
    why = _unhealthy(look)
    if now - (state.first_look or now) >= gate.within:
        return GateVerdict("failed", "Unhealthy" if look.unhealthy else "HealthUnknown", why)
    return GateVerdict("open", "Unhealthy" if look.unhealthy else "HealthUnknown", why, look.at + LOOK_AGAIN)


def _unhealthy(look: HealthLook) -> str:
    if look.unreadable:
        return f"its hosts cannot be judged: {look.unreadable}"
    if not look.running:
        return "none of its hosts on the new version runs, so nobody can say whether it is healthy"
    some = "; ".join(f"{host}: {why}" for host, why in list(look.unhealthy.items())[:3])
    return f"{len(look.unhealthy)} of {look.running} hosts on the new version are unhealthy ({some})"


def _passed(ring: RingPolicy, state: GateState) -> str:
    if state.answer is not None:
        return f"approved by {state.answer.by}{_because(state.answer)}"
    if ring.gates.approval is not None:
        return "nobody has objected in time"
    return "soaked" if ring.gates.soak else "its host pools are done"


# ---------------------------------------------------------------------------------------------------------- answers


def asked_of(ring: RingPolicy, state: GateState, started_by: str, now: datetime) -> AskedApproval | None:
    """What people are asked about a ring whose gates are open; None when nobody is (any more)."""
    approval = ring.gates.approval
    if approval is None or state.answer is not None:
        return None
    until = None if approval.on_timeout == "wait" else state.opened_at + approval.deadline
    if until is not None and now >= until:
        return None
    not_by = started_by if approval.other_than_starter else ""
    return AskedApproval(ring.name, state.opened_at, approval.roles, until, not_by)


def refusal_of(
    given: Approval, asked: AskedApproval | None, rings: Mapping[str, RingPhase], now: datetime
) -> Refusal | None:
    """Why an answer does not count, None when it does. `rings` tells where every ring of the rollout stands.

    An answer is judged by when the rollout takes it in (`now`), whatever time it bears.
    """
    if given.ring not in rings:
        known = ", ".join(rings) or "none"
        return Refusal("NoSuchRing", f"the rollout has no ring {given.ring[:LONGEST_NAME]!r}; it has {known}")
    if asked is None or asked.ring != given.ring:
        return Refusal("NotAsked", f"nobody is asked about ring {given.ring}: {_NOT_ASKED[rings[given.ring]]}")
    if asked.until is not None and now >= asked.until:
        return Refusal("TooLate", f"the answer about ring {given.ring} was due by {_time(asked.until)}")
    allowed = {role.lower() for role in asked.roles}
    if not allowed & {role.lower() for role in given.roles}:
        return Refusal("WrongRole", f"{given.by} is no {' or '.join(asked.roles)}")
    if asked.not_by and (not given.by or given.by.lower() == asked.not_by.lower()):
        return Refusal("SamePerson", f"{given.by} has started the rollout, and somebody else must answer")
    return None


_NOT_ASKED = {
    RingPhase.WAITING: "its turn has not come",
    RingPhase.ROLLING: "its host pools are not done yet",
    RingPhase.PROVING: "it has been answered, or needs no approval",
    RingPhase.PASSED: "it has passed already",
    RingPhase.FAILED: "it has failed already",
    RingPhase.BLOCKED: "a ring before it has failed",
}


def read_approval(raw: Any) -> Approval | None:
    """An answer as Durable hands it over: the object, or its JSON as text. None for anything else; never raises."""
    try:
        value = msgspec.json.decode(raw) if isinstance(raw, str) else raw
        given = msgspec.convert(value, Approval)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not given.by or (given.at is not None and given.at.tzinfo is None):
        return None
    return structs.replace(
        given,
        ring=given.ring[:LONGEST_NAME],
        by=given.by[:LONGEST_NAME],
        roles=given.roles[:MOST_ROLES],
        reason=given.reason[:LONGEST_REASON],
    )


def _because(answer: Approval) -> str:
    return f": {answer.reason}" if answer.reason else ""


def _time(moment: datetime) -> str:
    return f"{moment:%a} {moment.day} {moment:%b %H:%M} UTC"
