"""The host's half of a replay, where the SDK cannot lead: odd histories and odd answers."""

from typing import Any

import pytest

from localhost.history import Event, EventType, event
from localhost.replay import ActionType, Answer, Outcome, Replay
from tests.localhost.building import MONDAY


class EveryFunction:
    """An app that has whatever is asked for."""

    def has_activity(self, name: str) -> bool:
        return True

    def has_orchestrator(self, name: str) -> bool:
        return True

    def has_entity(self, name: str) -> bool:
        return True


STARTED = [event(EventType.ORCHESTRATOR_STARTED, MONDAY), event(EventType.EXECUTION_STARTED, MONDAY)]
ANY, ALL = ActionType.WHEN_ANY, ActionType.WHEN_ALL


def replay(actions: list[dict[str, Any]], *history: Event, is_done: bool = False, error: str | None = None) -> Outcome:
    """Replay an execution that began and then saw `history`."""
    answer = Answer(actions, is_done, output="end", error=error)
    return Replay("flow", "it", "execution", answer, EveryFunction()).run([*STARTED, *history])


def activity(name: str = "act") -> dict[str, Any]:
    return {"actionType": 0, "functionName": name, "input": "null"}


def wait_for(name: str) -> dict[str, Any]:
    return {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}


def compound(kind: ActionType, *actions: dict[str, Any]) -> dict[str, Any]:
    return {"actionType": int(kind), "compoundActions": list(actions)}


def scheduled(sequence: int, name: str = "act") -> Event:
    return event(EventType.TASK_SCHEDULED, MONDAY, sequence, Name=name)


def completed(sequence: int) -> Event:
    return event(EventType.TASK_COMPLETED, MONDAY, TaskScheduledId=sequence, Result="1")


def raised(name: str) -> Event:
    return event(EventType.EVENT_RAISED, MONDAY, Name=name, Input="1")


def sequences(outcome: Outcome) -> list[int]:
    """The sequence numbers of what is to be scheduled."""
    return [each.sequence for each in outcome.scheduled]


def test_an_action_waits_for_the_one_before_it() -> None:
    assert sequences(replay([activity(), activity()])) == [0]
    assert sequences(replay([activity(), activity()], scheduled(0), completed(0))) == [1]


def test_a_compound_schedules_its_children_at_once() -> None:
    assert sequences(replay([compound(ALL, activity(), activity()), activity()])) == [0, 1]


def test_a_compound_whose_children_were_all_scheduled_before_holds_nothing_up() -> None:
    assert sequences(replay([compound(ANY), compound(ALL), activity()])) == [0]


def test_a_result_that_comes_twice_counts_once() -> None:
    outcome = replay([activity(), activity()], scheduled(0), completed(0), completed(0), scheduled(1))
    assert (sequences(outcome), outcome.open_tasks) == ([], 1)


def test_waiters_for_one_event_are_served_latest_first_and_without_regard_to_case() -> None:
    both = compound(ANY, wait_for("Word"), compound(ALL, wait_for("word"), activity()))
    assert sequences(replay([both, activity()], raised("WORD"))) == [0]
    assert sequences(replay([both, activity()], raised("word"), raised("word"))) == [0, 1]


def test_an_end_waits_for_open_tasks() -> None:
    race = compound(ANY, activity("fast"), activity("slow"))
    begun = [scheduled(0, "fast"), scheduled(1, "slow"), completed(0)]
    assert replay([race], *begun, is_done=True).completion is None
    ended = replay([race], *begun, completed(1), is_done=True).completion
    assert ended is not None
    assert ended.status == "Completed"


def test_a_failure_waits_for_open_tasks_too() -> None:
    race = compound(ANY, activity("fast"), activity("slow"))
    begun = [scheduled(0, "fast"), scheduled(1, "slow"), completed(0)]
    assert replay([race], *begun, error="oh").completion is None


@pytest.mark.parametrize(
    ("actions", "past", "text"),
    [
        ([], scheduled(0), "but the replay has not (yet) scheduled it"),
        ([activity("other")], scheduled(0), "with sequence ID 0 and name 'act', but the replay scheduled 'other'"),
        (
            [{"actionType": 5, "fireAt": "2026-03-02T09:00:00.000000Z", "isCanceled": False}],
            scheduled(0),
            "scheduled an activity task with sequence ID 0 and name 'act', but the replay scheduled a timer",
        ),
    ],
)
def test_a_history_that_does_not_fit_fails_at_once(actions: list[dict[str, Any]], past: Event, text: str) -> None:
    ended = replay(actions, past).completion
    assert ended is not None
    assert ended.status == "Failed"
    assert str(ended.output).startswith("Non-Deterministic workflow detected: ")
    assert text in ended.output


def test_names_in_history_compare_without_case() -> None:
    assert replay([activity("ACT")], scheduled(0, "act")).completion is None


def test_an_unknown_action_fails_the_execution() -> None:
    ended = replay([{"actionType": 99}]).completion
    assert ended is not None
    assert "unknown action type 99" in ended.output


def test_nothing_is_scheduled_while_suspended_and_everything_after() -> None:
    suspended, resumed = event(EventType.EXECUTION_SUSPENDED, MONDAY), event(EventType.EXECUTION_RESUMED, MONDAY)
    assert replay([wait_for("go"), activity()], suspended, raised("go")).scheduled == []
    assert sequences(replay([wait_for("go"), activity()], suspended, raised("go"), resumed)) == [0]
    assert sequences(replay([wait_for("go"), activity()], raised("go"), suspended)) == []
    assert sequences(replay([wait_for("go"), activity()], raised("go"), suspended, resumed)) == [0]
