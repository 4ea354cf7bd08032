"""Notifications of a whole rollout: one for each transition, whatever happens to those who are told."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from demo.run import Run
from demo.scenario import Scenario, Stage
from localhost import LogLine
from rollout.notifying import NAMES
from simulator.builders import Office
from simulator.errors import ConnectionLost
from simulator.images import Flaws
from simulator.receivers import TOPIC, WEBHOOK, Receiver, Topic
from tests.scenarios.small import small_rollout
from tests.scenarios.test_ring_faults import TWO_RINGS
from tests.test_record_whole import at

Event = dict[str, Any]


class Told(Run):
    """A run whose notifications go to a topic and a webhook."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.topic, self.webhook = Topic(TOPIC), Receiver(WEBHOOK)
        super().__init__(
            scenario or small_rollout(), receivers={"GOLDROLL_TOPIC": self.topic, "GOLDROLL_WEBHOOK": self.webhook}
        )
        self.lost: list[str] = []
        self.logged: list[str] = []
        self.met: dict[int, int] = {}

    def play_out(self) -> Told:
        result = asyncio.run(self.play())
        problems = [problem for problem in result.problems if "are given up" not in problem]
        self.lost = [problem for problem in result.problems if "are given up" in problem]
        assert not problems, problems
        return self

    def _hear(self, event: Any) -> None:
        if isinstance(event, LogLine):
            self.logged.append(event.message)
        super()._hear(event)

    def between(self, start: str, end: str, receiver: Receiver, answers: int) -> Told:
        """`met` tells how many requests have met with each answer."""

        def begin() -> None:
            receiver.answers = answers
            self.met[answers] = -receiver.calls

        def finish() -> None:
            receiver.answers = None
            self.met[answers] += receiver.calls

        self.clock.call_at(at(start), begin)
        self.clock.call_at(at(end), finish)
        return self


def keys(events: list[Event]) -> list[tuple[str, str]]:
    return [(event["source"], event["id"]) for event in events]


def names(events: list[Event]) -> list[str]:
    return [event["type"].removeprefix("Goldroll.") for event in events]


def waits(stage: Stage, office: Office) -> None:
    """The run goes on into the night, so that what was handed over is delivered."""
    stage.at("20:40", lambda: None)


@pytest.fixture(scope="module")
def undisturbed() -> Told:
    return Told().play_out()


def test_each_transition_of_a_rollout_is_told_once(undisturbed: Told) -> None:
    counted = Counter(names(undisturbed.topic.taken))

    assert len(set(keys(undisturbed.topic.taken))) == len(undisturbed.topic.taken)
    assert {name: count for name, count in counted.items() if not name.startswith("Host")} == {
        "RolloutStarted": 1,
        "PoolStarted": 1,
        "CanaryPassed": 1,
        "PeopleAskedToLeave": counted["PeopleAskedToLeave"],
        "WaveCompleted": counted["PeopleAskedToLeave"],
        "PoolCompleted": 1,
        "RolloutCompleted": 1,
    }
    assert 1 <= counted["PeopleAskedToLeave"] <= 3
    assert names(undisturbed.topic.taken)[0] == "RolloutStarted"
    assert names(undisturbed.topic.taken)[-1] == "RolloutCompleted"


def test_topic_and_webhook_are_told_the_same(undisturbed: Told) -> None:
    assert sorted(keys(undisturbed.topic.taken)) == sorted(keys(undisturbed.webhook.taken))
    assert undisturbed.topic.calls < undisturbed.webhook.calls == len(undisturbed.webhook.taken)


def replaced(events: list[Event]) -> dict[str, list[str]]:
    """For each VM the beginnings and ends of its replacement, by time."""
    found: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: (event["time"], int(event["id"]))):
        if event["type"].startswith("Goldroll.HostReplacement"):
            found.setdefault(event["subject"], []).append(event["type"].removeprefix("Goldroll.HostReplacement"))
    return found


def test_alerts_of_every_vm_that_is_replaced_are_suppressed_and_no_longer(undisturbed: Told) -> None:
    found = replaced(undisturbed.topic.taken)

    assert len(found) == 6
    assert all(id.startswith("/subscriptions/") and "/virtualMachines/" in id for id in found)
    assert set(map(tuple, found.values())) == {("Started", "Ended")}


BAD = Flaws(unhealthy=True)


@pytest.mark.parametrize(
    "scenario",
    [
        lambda: small_rollout(phase="Halted", flaws=BAD),
        lambda: small_rollout(phase="Aborted", disturbed_by=lambda stage, office: aborts(stage)),
    ],
    ids=["halted with its canary in quarantine", "aborted by an operator"],
)
def test_every_suppression_ends_whatever_the_end_of_the_rollout_is(scenario: Callable[[], Scenario]) -> None:
    run = Told(scenario()).play_out()

    assert replaced(run.topic.taken)
    assert set(map(tuple, replaced(run.topic.taken).values())) == {("Started", "Ended")}


def aborts(stage: Stage) -> None:
    stage.answer("09:12", "abort", "printing is broken", day=0, roles=("Operator",))


def test_a_canary_that_fails_is_told_with_its_reason() -> None:
    run = Told(small_rollout(phase="Halted", flaws=BAD)).play_out()

    (failed,) = [event for event in run.topic.taken if event["type"] == "Goldroll.CanaryFailed"]
    assert failed["data"]["severity"] == "error"
    assert "the canary" in failed["data"]["message"]
    assert failed["data"]["pool"] == "office"
    assert names(run.topic.taken).count("HostQuarantined") == 1
    assert names(run.topic.taken)[-2:] == ["PoolFailed", "RolloutFailed"]


@pytest.mark.parametrize("sink", ["topic", "webhook"])
def test_an_outage_of_one_loses_nothing_and_holds_nothing_up(undisturbed: Told, sink: str) -> None:
    run = Told(small_rollout(disturbed_by=waits))
    receiver: Receiver = getattr(run, sink)
    server_error, hangs_up, throttles = 503, 0, 429
    run.between("9:05", "9:30", receiver, server_error).between("9:30", "10:00", receiver, hangs_up)
    run.between("10:00", "10:30", receiver, throttles).play_out()

    assert run.met.keys() == {server_error, hangs_up, throttles}
    assert min(run.met.values()) >= 1
    assert set(keys(run.topic.taken)) == set(keys(run.webhook.taken)) == set(keys(undisturbed.topic.taken))
    other = run.webhook if sink == "topic" else run.topic
    assert len(other.taken) == len(set(keys(other.taken)))
    assert told_story(run) == told_story(undisturbed)
    assert any("notifications cannot be delivered to the " + sink in line for line in run.logged)


def told_story(run: Run) -> list[tuple[Any, str]]:
    return [(line.at, line.sentence) for line in run.story.lines]


@pytest.mark.parametrize("sink", ["topic", "webhook"])
def test_an_answer_that_is_lost_is_sent_again_with_the_same_id(undisturbed: Told, sink: str) -> None:
    run = Told()
    receiver: Receiver = getattr(run, sink)
    take, lose = receiver._take, iter([True])

    def take_and_lose(url: str, headers: Any, text: str) -> None:
        take(url, headers, text)
        if next(lose, False):
            raise ConnectionLost("the answer was lost")

    receiver._take = take_and_lose  # type: ignore[method-assign]
    run.play_out()

    assert len(receiver.taken) > len(set(keys(receiver.taken)))
    assert set(keys(receiver.taken)) == set(keys(undisturbed.topic.taken))


def test_a_receiver_that_is_gone_for_good_is_given_up_and_stops_nothing(undisturbed: Told) -> None:
    run = Told(small_rollout(disturbed_by=waits))
    run.webhook.answers = 410
    run.play_out()

    assert set(keys(run.topic.taken)) == set(keys(undisturbed.topic.taken))
    assert told_story(run) == told_story(undisturbed)
    lost = [line for line in run.logged if line.startswith("notifications for the webhook are given up")]
    assert sum(int(line.split(": ")[1].split(",")[0]) for line in lost) == len(undisturbed.topic.taken)


def test_one_notification_that_is_refused_for_good_holds_no_other_up(undisturbed: Told) -> None:
    run = Told(small_rollout(disturbed_by=waits))
    run.webhook.refuses = run.topic.refuses = "Goldroll.CanaryPassed"
    run.play_out()

    others = {key for key, name in zip(keys(undisturbed.topic.taken), names(undisturbed.topic.taken), strict=True)}
    for receiver in (run.webhook, run.topic):
        assert "CanaryPassed" not in names(receiver.taken)
        assert len(set(keys(receiver.taken))) == len(others) - 1
    assert len(run.lost) == 2


def test_the_webhooks_address_is_a_secret_everywhere(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = Told(small_rollout(disturbed_by=waits))
    run._store = tmp_path / "store.sqlite"
    run.between("9:05", "9:40", run.webhook, 0).between("9:40", "10:00", run.webhook, 401).play_out()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"roll_host_pool" in stored
    assert b"s3cret" not in stored
    assert any("the webhook cannot be reached" in line for line in run.logged)
    assert any("the webhook answers 401" in line for line in run.logged)
    assert not [line for line in [*run.logged, caplog.text] if "s3cret" in line or "1c2d" in line]
    assert "s3cret" not in repr(run.tables.rows("goldroll"))


def test_without_settings_nobody_is_told_and_nothing_is_called() -> None:
    run = Run(small_rollout())
    called: list[str] = []
    run._activity_faults = lambda moment, call: called.append(call.name) if moment == "before" else None
    result = asyncio.run(run.play())

    assert not result.problems
    assert "write_record" in called
    assert "send_notifications" not in called


def test_notifications_change_nothing_of_a_story(undisturbed: Told) -> None:
    run = Run(small_rollout())
    asyncio.run(run.play())

    assert told_story(run) == told_story(undisturbed)


def test_histories_and_states_stay_small_through_an_outage_of_both() -> None:
    run = Told(small_rollout(disturbed_by=waits))
    run.topic.answers = run.webhook.answers = 503
    result = asyncio.run(run.play())

    assert result.phase == "Succeeded"
    assert result.host["longest_history"] < 500
    assert timedelta(hours=10) < result.simulated


def test_every_name_that_is_told_is_a_documented_one(undisturbed: Told) -> None:
    assert {*names(undisturbed.topic.taken)} <= {*NAMES}


def test_a_rollout_with_rings_is_told_in_a_handful_of_notifications_for_each_ring() -> None:
    run = Told(TWO_RINGS).play_out()

    whole = [event for event in run.topic.taken if "%3A" not in event["source"]]
    told = [(event["type"].removeprefix("Goldroll."), event["data"].get("ring", "")) for event in whole]
    assert len(told) == len(set(told)) == len(whole)
    assert [name for name, _ in told if name.startswith(("Rollout", "Appro"))] == [
        "RolloutStarted",
        "ApprovalRequested",
        "Approved",
        "RolloutCompleted",
    ]
    rings = [ring for name, ring in told if name == "RingStarted"]
    assert rings == [ring for name, ring in told if name == "RingPassed"] == ["validation", "people"]
    (asked,) = [event for event in whole if event["type"] == "Goldroll.ApprovalRequested"]
    (approved,) = [event for event in whole if event["type"] == "Goldroll.Approved"]
    assert asked["data"]["ring"] == approved["data"]["ring"] == "validation"
    assert approved["data"]["by"] == "andrea@contoso.com"
    assert len(set(keys(run.topic.taken))) == len(run.topic.taken)
    assert set(map(tuple, replaced(run.topic.taken).values())) == {("Started", "Ended")}


def test_a_pause_says_who_and_why_once_for_the_rollout_and_once_for_its_pool() -> None:
    def pauses(stage: Stage, office: Office) -> None:
        stage.answer("09:12", "pause", "the town hall", day=0, roles=("Operator",))
        stage.answer("10:12", "resume", "it is over", day=0, roles=("Operator",))

    run = Told(small_rollout(disturbed_by=pauses)).play_out()

    told = [event for event in run.topic.taken if event["type"].endswith(("Paused", "Resumed"))]
    assert Counter(names(told)) == {"RolloutPaused": 1, "PoolPaused": 1, "RolloutResumed": 1, "PoolResumed": 1}
    for event in told:
        if event["type"].endswith("Paused"):
            assert event["data"]["by"] == "andrea@contoso.com"
            assert "the town hall" in event["data"]["message"]


def test_a_roll_back_says_who_and_why_when_it_begins_and_tells_its_end_once() -> None:
    def rolls_back(stage: Stage, office: Office) -> None:
        stage.answer("09:50", "rollback", "printing is broken", day=0, roles=("Operator",))

    scenario = small_rollout(phase="RolledBack", disturbed_by=rolls_back)
    run = Told(replace(scenario, outcome=replace(scenario.outcome, rollouts=2))).play_out()

    back = [event for event in run.topic.taken if "/back-" in event["source"] and "%3A" not in event["source"]]
    assert names(back) == ["RolloutRollBackStarted", "RolloutRolledBack"]
    assert back[0]["data"]["by"] == "andrea@contoso.com"
    assert "rolled back by andrea@contoso.com: printing is broken" in back[0]["data"]["message"]
    counted = Counter(names(run.topic.taken))
    assert (counted["PoolRollBackStarted"], counted["PoolRolledBack"]) == (1, 1)
    assert len(set(keys(run.topic.taken))) == len(run.topic.taken)
