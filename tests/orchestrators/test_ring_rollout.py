"""Rings and gates in the real Durable SDK: events early, twice and together, cancelled timers, short histories."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.commands import Command
from rollout.gates import RingPhase
from rollout.model import Phase
from rollout.policy import (
    ApprovalGate,
    HealthGate,
    QueryGate,
    ReplicationPolicy,
    SignInFailuresGate,
    SmokeTestGate,
    hours,
    minutes,
)
from tests.orchestrators.stage import START, Crash, Later, Play, Played
from tests.rollout.ring_world import VERSION, a_ring, a_rollout, approves, rejects

INSTANCE = "image-desktops-office-2.0.0-abc123"
DAY = timedelta(days=1)
READY = {"version": {"id": VERSION, "regions": {"westeurope": {"state": "Completed"}}}}
HEALTHY = {"running": 4, "unhealthy": {}}


def play(*rings: Any, events: Any = (), **answers: Any) -> Played:
    """Play a rollout over these rings. `events` are answers by the time since the start."""

    def roll(given: Any) -> Any:
        pool = given["policy"]["name"]
        return Later(hours(1), {"pool": pool, "version": "2.0.0", "phase": Phase.SUCCEEDED, "message": ""})

    image = {key: answers.pop(key) for key in ("latest", "started_by", "replication") if key in answers}
    stage = Play(
        "roll_out_image",
        {
            "read_image_version": lambda _: READY,
            "read_pool_regions": lambda _: {"regions": ["westeurope"]},
            "roll_host_pool": roll,
            "judge_hosts": lambda _: HEALTHY,
            "mark_version": lambda _: {"ok": True},
            **answers,
        },
        INSTANCE,
    )
    stage.events = [(START + at, _event_of(answer), _as_sent(answer)) for at, answer in events]
    return stage.play(msgspec.to_builtins(a_rollout(*rings, **image)))


def _event_of(answer: Any) -> str:
    return "command" if isinstance(answer, Command) else "approval"


def _as_sent(answer: Any) -> Any:
    return msgspec.to_builtins(answer)


def starts(played: Played) -> dict[str, timedelta]:
    """When each pool was started, whole minutes after the start."""
    return {
        given["policy"]["name"]: timedelta(minutes=round((at - START) / minutes(1)))
        for at, name, given in played.calls
        if name == "roll_host_pool"
    }


ASKED = a_ring("validation", "test", approval=ApprovalGate(deadline=3 * DAY, on_timeout="reject"))
PEOPLE = a_ring("people", "office", "branch")


def test_an_approval_lets_the_next_ring_start() -> None:
    played = play(ASKED, PEOPLE, events=[(DAY, approves("validation"))])

    assert starts(played) == {"test": hours(0), "office": DAY, "branch": DAY}
    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.output["rings"] == {"validation": RingPhase.PASSED, "people": RingPhase.PASSED}


def test_an_approval_that_comes_too_early_is_told_and_a_later_one_counts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "goldroll.story")
    too_early = approves("validation", "raj@contoso.com")
    played = play(
        ASKED, PEOPLE, events=[(minutes(0), too_early), (minutes(20), too_early), (DAY, approves("validation"))]
    )

    assert starts(played)["office"] == DAY
    assert sum("its host pools are not done yet" in told for told in caplog.messages) >= 1
    assert sum("approves ring validation" in told for told in caplog.messages) == 1


def test_two_approvals_in_one_moment_count_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "goldroll.story")
    both = [(DAY, approves("validation")), (DAY, approves("validation", "raj@contoso.com"))]
    played = play(ASKED, PEOPLE, events=both)

    assert starts(played) == {"test": hours(0), "office": DAY, "branch": DAY}
    assert sum("raj@contoso.com does not count" in told for told in caplog.messages) == 1


def test_a_refused_answer_does_not_use_up_the_gate() -> None:
    events = [
        (hours(5), approves("validation", "raj@contoso.com", roles=("Reader",))),
        (hours(6), "no answer at all"),
        (hours(7), approves("people")),
        (DAY, approves("validation")),
    ]
    assert starts(play(ASKED, PEOPLE, events=events))["office"] == DAY


def test_a_rejection_ends_the_rollout() -> None:
    played = play(ASKED, PEOPLE, events=[(DAY, rejects("validation"))])

    assert played.output["phase"] == Phase.HALTED
    assert played.output["rings"] == {"validation": "Failed", "people": "Blocked"}
    assert {pool["pool"]: pool.get("reason", "") for pool in played.output["pools"]} == {
        "test": "",
        "office": "RingBlocked",
        "branch": "RingBlocked",
    }
    assert played.output["message"].endswith("ring validation: rejected by andrea@contoso.com: printing is broken")


def test_a_paused_rollout_begins_nothing_until_it_is_resumed_and_takes_answers_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "goldroll.story")
    events = [
        (minutes(30), Command("pause", "raj", "the town hall")),
        (minutes(31), Command("pause", "andrea")),
        (hours(2), approves("validation")),
        (hours(30), Command("resume", "raj")),
        (hours(31), "no answer at all"),
    ]
    played = play(ASKED, PEOPLE, events=events)

    # The answer came before the gates had opened, as the pause kept them shut: it is asked for again.
    assert starts(played) == {"test": hours(0)}
    assert any((status or {}).get("phase") == Phase.PAUSED for status in played.statuses)
    assert any(
        "andrea pauses the rollout, and it changes nothing: it has been paused by raj" in t for t in caplog.messages
    )


@pytest.mark.parametrize(
    ("answer", "started", "phase"),
    [
        (approves("validation"), {"test", "office", "branch"}, Phase.SUCCEEDED),
        (rejects("validation"), {"test"}, "Halted"),
    ],
)
def test_an_answer_in_a_pause_counts_when_the_gate_was_open_and_takes_effect_afterwards(
    answer: Any, started: set[str], phase: str
) -> None:
    pause, resume = (hours(5), Command("pause", "raj")), (hours(30), Command("resume", "raj"))
    played = play(ASKED, PEOPLE, events=[pause, (hours(7), answer), resume])

    assert set(starts(played)) == started
    assert {at for pool, at in starts(played).items() if pool != "test"} <= {hours(30)}
    assert played.ended_at - START >= hours(30)
    assert played.output["phase"] == phase


def test_a_deadline_goes_on_in_a_pause() -> None:
    pause, resume = (hours(5), Command("pause", "raj")), (5 * DAY, Command("resume", "raj"))
    played = play(ASKED, PEOPLE, events=[pause, resume])

    assert timedelta(0) <= played.ended_at - START - 5 * DAY < minutes(1)
    assert "rejected, as nobody has approved by" in played.output["message"]


def test_a_pause_between_two_rings_holds_the_second_one_back() -> None:
    events = [(minutes(30), Command("pause", "raj")), (hours(30), Command("resume", "raj"))]
    played = play(a_ring("first", "test"), PEOPLE, events=events)

    assert starts(played) == {"test": hours(0), "office": hours(30), "branch": hours(30)}
    assert played.output["phase"] == Phase.SUCCEEDED


def test_an_abort_starts_nothing_more_and_waits_for_what_runs() -> None:
    played = play(a_ring("first", "test"), PEOPLE, events=[(minutes(30), Command("abort", "raj", "a wrong build"))])

    assert starts(played) == {"test": hours(0)}
    assert played.ended_at - START >= hours(1)
    assert played.output["phase"] == Phase.ABORTED
    assert "aborted by raj: a wrong build" in played.output["message"]
    assert {pool["pool"]: pool["phase"] for pool in played.output["pools"]} == {
        "test": Phase.SUCCEEDED,
        "office": Phase.ABORTED,
        "branch": Phase.ABORTED,
    }


def test_a_superseded_rollout_starts_nothing_more_and_says_by_which() -> None:
    newer = Command("supersede", "image-gal-office-3.0.0-abc123", "version 3.0.0 has been published")
    soaking = a_ring("first", "test", soak=DAY)
    played = play(soaking, PEOPLE, events=[(hours(5), newer)])

    assert starts(played) == {"test": hours(0)}
    assert played.ended_at - START < hours(6)
    assert played.output["phase"] == Phase.SUPERSEDED
    assert "version 3.0.0 has been published" in played.output["message"]


def test_a_paused_rollout_can_be_aborted_and_says_nothing_about_the_image() -> None:
    marks: list[Any] = []

    def mark(order: Any) -> Any:
        marks.append(order["mark"]["kind"])
        return {"ok": True}

    events = [(minutes(30), Command("pause", "raj")), (hours(3), Command("abort", "raj"))]
    played = play(a_ring("first", "test"), PEOPLE, latest="earned", mark_version=mark, events=events)

    assert played.output["phase"] == Phase.ABORTED
    assert marks == ["hold_back"]


# ------------------------------------------------------------------------------------- region after region


class Copies:
    """A version that is published in West Europe only, and copied further in ten minutes when it is asked for."""

    def __init__(self, *refusals: str) -> None:
        self.asked: list[list[str]] = []
        self._refusals = list(refusals)
        self._looks = 0
        self._regions = {"westeurope": -1}

    def read(self, _: Any) -> Any:
        self._looks += 1
        states = {
            region: {"state": "Completed" if since < 0 or self._looks - since > 2 else "Replicating"}
            for region, since in self._regions.items()
        }
        return {"version": {"id": VERSION, "regions": states}}

    def add(self, order: Any) -> Any:
        self.asked.append(sorted(order["replicas"]))
        if self._refusals:
            return {"error": {"code": self._refusals.pop(), "message": "not now"}}
        self._regions |= dict.fromkeys(order["replicas"], self._looks)
        return {"added": list(order["replicas"])}


def in_two_regions(copies: Copies, *rings: Any, regions: tuple[str, ...] = (), **answers: Any) -> Played:
    """The office is in North Europe, everything else in West Europe."""
    return play(
        *rings,
        replication=ReplicationPolicy(add_regions=True, regions=regions),
        read_image_version=copies.read,
        add_target_regions=copies.add,
        read_pool_regions=lambda pool: {"regions": ["northeurope" if pool.endswith("office") else "westeurope"]},
        **answers,
    )


def test_a_version_is_copied_to_a_rings_region_when_its_turn_comes() -> None:
    copies = Copies()
    first, second = a_ring("first", "test", soak=hours(5)), a_ring("second", "office", "branch")
    played = in_two_regions(copies, first, second, regions=("japaneast",))

    assert copies.asked == [["japaneast", "northeurope"]]
    begun = starts(played)
    assert begun["test"] == hours(0)
    assert begun["office"] == begun["branch"] > hours(6)
    assert played.output["phase"] == Phase.SUCCEEDED


def test_a_first_ring_that_fails_leaves_the_version_where_it_is() -> None:
    copies = Copies()
    halted = {"pool": "test", "version": "2.0.0", "phase": Phase.HALTED, "message": "sick"}
    first, second = a_ring("first", "test"), a_ring("second", "office")
    played = in_two_regions(
        copies, first, second, regions=("japaneast",), roll_host_pool=lambda _: Later(hours(1), halted)
    )

    assert copies.asked == []
    assert played.output["phase"] == Phase.HALTED
    assert played.ended_at - START < hours(2)


def test_a_region_that_azure_refuses_is_asked_for_again_after_the_next_look(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "goldroll.story")
    copies = Copies("Conflict", "Conflict")
    played = in_two_regions(copies, a_ring("first", "office"))

    assert copies.asked == [["northeurope"]] * 3
    assert sum("the version cannot be copied further: not now" in told for told in caplog.messages) == 2
    assert played.output["phase"] == Phase.SUCCEEDED


def test_nobody_answers_until_the_deadline() -> None:
    played = play(ASKED, PEOPLE)

    assert played.output["phase"] == Phase.HALTED
    assert timedelta(0) <= played.ended_at - START - hours(1) - 3 * DAY < minutes(5)


def test_an_answer_after_four_weeks_finds_a_short_history() -> None:
    waiting = a_ring("validation", "test", approval=ApprovalGate(deadline=DAY))
    played = play(waiting, PEOPLE, events=[(28 * DAY, approves("validation"))])

    assert starts(played)["office"] == 28 * DAY
    assert played.longest_history < 120
    assert played.executions == 1


def test_a_limit_lets_a_pool_start_when_another_has_ended() -> None:
    def roll(given: Any) -> Any:
        pool = given["policy"]["name"]
        takes = {"a": hours(5), "b": hours(1), "c": hours(7), "d": hours(1)}[pool]
        return Later(takes, {"pool": pool, "version": "2.0.0", "phase": Phase.SUCCEEDED, "message": ""})

    played = play(a_ring("all", "a", "b", "c", "d", concurrency=2), roll_host_pool=roll)

    assert starts(played) == {"a": hours(0), "b": hours(0), "c": hours(1), "d": hours(5)}


def test_the_status_tells_what_people_are_asked_and_until_when() -> None:
    played = play(ASKED, PEOPLE, events=[(DAY, approves("validation"))], started_by="raj@contoso.com")

    told = [status for status in played.statuses if status and "asked" in status]
    assert told[0]["asked"]["ring"] == "validation"
    assert told[0]["asked"]["roles"] == ["Approver"]
    assert told[0]["phase"] == Phase.WAITING_GATE
    assert told[0]["rings"] == {"validation": "Proving", "people": "Waiting"}
    assert "asked" not in played.statuses[-1]


def test_the_status_of_twenty_rings_and_pools_fits_into_what_durable_keeps() -> None:
    gate = ApprovalGate(roles=tuple(f"role-{n}" for n in range(5)))
    rings = [a_ring(f"ring-{n:035}", f"pool-{n:035}", approval=gate) for n in range(20)]
    played = play(*rings, events=[(n * DAY, approves(ring.name, roles=("role-1",))) for n, ring in enumerate(rings, 1)])

    assert played.output["phase"] == Phase.SUCCEEDED
    assert max(2 * len(json.dumps(status)) for status in played.statuses) < 16_000
    assert played.longest_history < 900


def test_hosts_are_judged_by_an_activity_and_one_that_dies_is_asked_again() -> None:
    calls: list[Any] = []

    def judge(given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise Crash("out of memory")
        return HEALTHY

    played = play(a_ring("validation", "test", health=HealthGate()), PEOPLE, judge_hosts=judge)

    assert len(calls) == 2
    assert played.output["phase"] == Phase.SUCCEEDED
    assert any("out of memory" in (status or {}).get("message", "") for status in played.statuses)


WORKSPACE = "11111111-2222-3333-4444-555555555555"


def test_queries_are_asked_by_an_activity_until_they_hold_and_errors_are_told() -> None:
    asked: list[Any] = []
    answers = [
        {"error": {"code": "TooManyRequests", "message": "too many", "retry_after": 5400.0}},
        {"no_data": "it gives no row"},
        {"number": 9.0},
        {"number": 0.0},
    ]

    def query(given: Any) -> Any:
        asked.append(given)
        if len(asked) == 2:
            raise Crash("out of memory")
        return answers.pop(0)

    gate = QueryGate(workspace_id=WORKSPACE, query="Errors | count", at_most=1, within=hours(5))
    played = play(a_ring("validation", "test", queries={"errors": gate}), PEOPLE, query_logs=query)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert {given["workspace_id"] for given in asked} == {WORKSPACE}
    told = [status["message"] for status in played.statuses if status and "query errors" in status["message"]]
    assert list(dict.fromkeys(text.strip() for text in told)) == [
        "ring validation: query errors is asked",
        "ring validation: query errors was not answered: too many",
        "ring validation: query errors was not answered: function 'query_logs' failed: out of memory",
        "ring validation: query errors has no data: it gives no row",
        "ring validation: query errors gives 9, more than 1",
    ]
    calls = [at for at, name, _ in played.calls if name == "query_logs"]
    assert calls[1] - calls[0] >= hours(1.5)


def test_a_broken_query_ends_the_rollout_and_says_so_in_the_result() -> None:
    error = {"error": {"code": "QueryBroken", "message": "Failed to resolve table 'Errrs'"}}
    gate = QueryGate(workspace_id=WORKSPACE, query="Errrs | count", at_most=1)
    played = play(a_ring("validation", "test", queries={"errors": gate}), PEOPLE, query_logs=lambda _: error)

    assert played.output["phase"] == Phase.HALTED
    assert played.output["message"].endswith("cannot be used as it stands: Failed to resolve table 'Errrs'")


def test_as_many_queries_as_a_ring_may_have_and_no_data_for_weeks_leave_a_short_history() -> None:
    """All that the policy check lets through: three queries and the ready-made one, ten looks, then waiting."""
    queries = {
        f"query-{n}": QueryGate(
            workspace_id=WORKSPACE, query="E", at_most=1, within=hours(10), every=hours(1), on_no_data="wait"
        )
        for n in range(3)
    }
    sign_ins = SignInFailuresGate(workspace_id=WORKSPACE, on_no_data="wait")

    def query(given: Any) -> Any:
        late = given["end"] > (START + timedelta(days=14)).isoformat()
        return {"number": 0.0} if late else {"no_data": "it gives no row"}

    ring = a_ring("validation", "test", queries=queries, sign_in_failures=sign_ins)
    played = play(ring, PEOPLE, query_logs=query)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.longest_history < 500


def test_a_smoke_test_is_asked_about_until_it_has_ended_and_its_output_is_in_the_result() -> None:
    orders: list[Any] = []

    def smoke(order: Any) -> Any:
        orders.append(order)
        if len(orders) == 2:
            raise Crash("out of memory")
        run = {"at": order["now"], "host": "avd-001", "vm_id": "/vm/avd-001"}
        if len(orders) < 4:
            return {"run": {**run, "state": "running"}}
        return {"run": {**run, "state": "passed", "message": "exit code 0: all is well"}}

    gate = SmokeTestGate(script="exit 0")
    played = play(a_ring("validation", "test", smoke_test=gate), PEOPLE, run_smoke_test=smoke)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.output["smoke_tests"] == {"test": "avd-001: exit code 0: all is well"}
    assert [order["run"] and order["run"]["vm_id"] for order in orders] == [None, *["/vm/avd-001"] * 3]
    assert {order["gate"]["script"] for order in orders} == {"exit 0"}


def test_latest_is_earned_and_a_refusal_of_azure_is_met_with_patience() -> None:
    marks: list[Any] = []

    def mark(given: Any) -> Any:
        marks.append(given["mark"])
        return {"error": {"code": "Conflict", "message": "busy"}} if len(marks) == 1 else {"ok": True}

    played = play(a_ring("all", "test"), latest="earned", mark_version=mark)

    assert [mark["kind"] for mark in marks] == ["hold_back", "hold_back", "promote"]
    assert marks[-1]["finding"]["verdict"] == "good"
    assert played.output["phase"] == Phase.SUCCEEDED


def test_a_policy_edited_in_the_middle_changes_nothing_for_a_rollout_that_runs() -> None:
    # What a rollout uses is in its input: there is no call by which it could learn of an edit.
    played = play(ASKED, PEOPLE, events=[(DAY, approves("validation"))])
    assert set(played.names) == {"read_image_version", "read_pool_regions", "roll_host_pool"}
