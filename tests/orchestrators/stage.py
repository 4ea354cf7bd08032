"""A stage on which an orchestration is played by the real Durable SDK: one episode after the other, all of it replayed.

Activities and sub-orchestrations are answered by plain functions, entities by the real entity function. Time stands
still until nothing but timers (and sub-orchestrations that take their time) is left, then jumps to the next of them. In
every episode the actions of the episodes before must come out the same again.

As in Azure an action is carried out when the one before it is done, of a compound one all children at once; a
`task_any` is done when one of the tasks is that it has introduced.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ACTIVITY, SUB_ORCHESTRATION, CONTINUE_AS_NEW, TIMER, EVENT, ENTITY, WHEN_ANY = 0, 2, 4, 5, 6, 7, 11
MOST_EPISODES, MOST_EXECUTIONS = 2000, 200


class Crash(Exception):
    """The activity died, with its worker."""


@dataclass
class Later:
    """An answer of an activity or a sub-orchestration that comes after `takes`."""

    takes: timedelta
    result: Any


@dataclass
class Played:
    """How it went: output, or error; every custom status in its order; the longest history; what was called."""

    output: Any = None
    error: str = ""
    statuses: list[Any] = field(default_factory=list)
    longest_history: int = 0
    executions: int = 1
    ended_at: datetime = START
    calls: list[tuple[datetime, str, Any]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What was called, in order, but for the question for a freeze: it comes before whatever begins."""
        return [name for _, name, _ in self.calls if name != "freeze.read"]

    def called(self, name: str) -> list[Any]:
        """The inputs of all calls of this name, in order."""
        return [given for _, called, given in self.calls if called == name]


class Play:
    """Plays one orchestration. `answers` maps names of activities and sub-orchestrations to functions of the input.

    `events` are the external events that will be raised: when, their name, and what they bear, which arrives as JSON
    text in a string, as the client sends it.
    """

    def __init__(
        self, name: str, answers: dict[str, Callable[[Any], Any]], instance_id: str = "image-x:office"
    ) -> None:
        module = importlib.import_module(f"orchestrators.{name}")
        self._orchestrator = getattr(module, name)._function.get_user_function()
        self._answers = answers
        self._instance_id = instance_id
        self.entities: dict[str, Any] = {}
        self.events: list[tuple[datetime, str, Any]] = []
        self.now = START
        self.played = Played()

    @property
    def lease(self) -> str:
        """The only host pool's lease, as it is stored."""
        ((_, state),) = (entity for entity in self.entities.items() if entity[0].startswith("@host_pool@"))
        return str(state)

    def play(self, given: Any) -> Played:
        """Play from the start to the end, through all executions."""
        for _ in range(MOST_EXECUTIONS):
            again = self._execution(given)
            if again is None:
                self.played.ended_at = self.now
                return self.played
            given = again
            self.played.executions += 1
        raise AssertionError("the orchestration goes on and on")

    # ------------------------------------------------------------------------------------------------- one execution

    def _execution(self, given: Any) -> Any:
        self._history: list[dict[str, Any]] = []
        self._open: dict[int, tuple[datetime, dict[str, Any]]] = {}
        self._done: set[int] = set()
        self._raised: Counter[str] = Counter()
        news = [{"EventType": 0, "Name": "o", "Version": "", "Input": json.dumps(given), "Tags": None}]
        actions: list[Any] = []
        for _ in range(MOST_EPISODES):
            state = self._episode(news, given)
            if state is None:
                return None
            before, actions = actions, self._carried_out(state["actions"])
            self._drop_cancelled(actions)
            same = [_as_scheduled(action) for action in actions[: len(before)]]
            assert same == [_as_scheduled(action) for action in before], "a replay took other actions than before"
            self.played.statuses.append(state.get("customStatus"))
            if actions and actions[-1]["actionType"] == CONTINUE_AS_NEW:
                assert not self._open, "something is still open when the execution ends"
                return json.loads(actions[-1]["input"])
            if state["isDone"]:
                assert actions == _flat(state["actions"]), "something is held back that was asked for"
                assert not self._open, "something is still open at the end"
                self.played.output = state.get("output")
                return None
            for sequence, action in list(enumerate(actions))[len(before) :]:
                self._schedule(sequence, action)
            news = self._next_news()
        raise AssertionError("the orchestration does not come to an end")

    def _episode(self, news: list[dict[str, Any]], given: Any) -> Any:
        self._add({"EventType": 12})
        for event in news:
            self._add(event)
        self.played.longest_history = max(self.played.longest_history, len(self._history))
        context = {
            "history": self._history,
            "input": json.dumps(given),
            "instanceId": self._instance_id,
            "isReplaying": False,
            "parentInstanceId": "",
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
        }
        try:
            state = json.loads(self._orchestrator(json.dumps(context)))
        except Exception as error:
            # That is how the SDK hands a failed orchestration over: its message, then the state with a label.
            if "$OutOfProcData$" not in str(error):
                raise
            self.played.error = str(error).split("\n")[0]
            return None
        return state

    def _carried_out(self, episodes: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The actions as far as each is done before the next, in the order of their sequence numbers."""
        found: list[dict[str, Any]] = []
        waits: Counter[str] = Counter()
        for action in [action for episode in episodes for action in episode]:
            done = []
            for child in action.get("compoundActions", [action]):
                if child["actionType"] == EVENT:
                    waits[child["externalEventName"]] += 1
                    done.append(self._raised[child["externalEventName"]] >= waits[child["externalEventName"]])
                else:
                    done.append(len(found) in self._done or bool(child.get("isCanceled")))
                    found.append(child)
            if not (any(done) if action["actionType"] == WHEN_ANY else all(done)):
                break
        return found

    def _drop_cancelled(self, actions: list[dict[str, Any]]) -> None:
        """A cancelled timer is no longer open. (Durable lets it fire all the same, and nobody listens.)"""
        for sequence, action in enumerate(actions):
            if action.get("isCanceled"):
                self._open.pop(sequence, None)

    def _add(self, event: dict[str, Any]) -> None:
        defaults = {"EventId": -1, "IsPlayed": False, "Timestamp": _text(self.now)}
        self._history.append({**defaults, **event})

    # --------------------------------------------------------------------------------------------- what is scheduled

    def _schedule(self, sequence: int, action: dict[str, Any]) -> None:
        kind = action["actionType"]
        name, given = action.get("functionName", ""), json.loads(action.get("input") or "null")
        if kind == TIMER:
            fire_at = datetime.fromisoformat(action["fireAt"])
            self._add({"EventType": 10, "EventId": sequence, "FireAt": action["fireAt"]})
            self._open[sequence] = (
                max(fire_at, self.now),
                {"EventType": 11, "TimerId": sequence, "FireAt": action["fireAt"]},
            )
        elif kind == ACTIVITY:
            self._add({"EventType": 4, "EventId": sequence, "Name": name, "Version": "", "Input": action["input"]})
            event = self._answer(name, given, sequence, 5, 6)
            takes = event.pop("takes", timedelta(0))
            self._open[sequence] = (self.now + takes, event)
        elif kind == SUB_ORCHESTRATION:
            self._add(
                {"EventType": 7, "EventId": sequence, "Name": name, "Version": "", "InstanceId": action["instanceId"]}
            )
            event = self._answer(name, {"id": action["instanceId"], **given}, sequence, 8, 9)
            takes = event.pop("takes", timedelta(0))
            self._open[sequence] = (self.now + takes, event)
        elif kind == ENTITY:
            request = f"request-{len(self._history)}"
            self._add({"EventType": 14, "EventId": sequence, "Name": "op", "Input": json.dumps({"id": request})})
            result = self._ask_entity(action["instanceId"], action["operation"], given)
            self._open[sequence] = (self.now, {"EventType": 15, "Name": request, "Input": json.dumps(result)})
        else:
            raise AssertionError(f"an action that this stage does not know: {action}")

    def _answer(self, name: str, given: Any, sequence: int, done: int, failed: int) -> dict[str, Any]:
        self.played.calls.append((self.now, name, given))
        try:
            result = self._answers[name](given)
        except Crash as crash:
            why = f"function '{name}' failed: {crash}"
            return {"EventType": failed, "TaskScheduledId": sequence, "Reason": why, "Details": "a stack"}
        takes = {}
        if isinstance(result, Later):
            takes, result = {"takes": result.takes}, result.result
        if isinstance(result, Crash):
            why = f"function '{name}' failed: {result}"
            return {"EventType": failed, "TaskScheduledId": sequence, "Reason": why, "Details": "a stack", **takes}
        return {"EventType": done, "TaskScheduledId": sequence, "Result": json.dumps(result), **takes}

    def _ask_entity(self, entity_id: str, operation: str, given: Any) -> Any:
        _, name, key = entity_id.split("@")
        self.played.calls.append((self.now, f"{name}.{operation}", given))
        module = importlib.import_module(f"entities.{name}")
        batch = [{"name": operation, "input": json.dumps(json.dumps(given)), "isSignal": False}]
        state = self.entities.get(entity_id)
        context = {"self": {"name": name, "key": key}, "exists": state is not None, "state": state, "batch": batch}
        function = getattr(module, name)._function.get_user_function()
        answer = json.loads(function(json.dumps(context)))
        self.entities[entity_id] = answer["entityState"]
        (result,) = answer["results"]
        assert not result["isError"], result
        return {"result": result["result"]}

    # -------------------------------------------------------------------------------------------------- what happens

    def _next_news(self) -> list[dict[str, Any]]:
        """The events of the next moment at which anything happens; time moves there."""
        assert self._open, "the orchestration waits for nothing"
        self._add({"EventType": 13})
        moments = [at for at, _ in self._open.values()] + [at for at, _, _ in self.events]
        self.now = max(self.now, min(moments)) + timedelta(milliseconds=10)
        raised = [(name, given) for at, name, given in self.events if at <= self.now]
        self.events = [event for event in self.events if event[0] > self.now]
        due = [sequence for sequence, (at, _) in self._open.items() if at <= self.now]
        self._done.update(due)
        self._raised.update(name for name, _ in raised)
        return [
            *({"EventType": 15, "Name": name, "Input": json.dumps(json.dumps(given))} for name, given in raised),
            *(self._open.pop(sequence)[1] for sequence in due),
        ]


def _flat(actions: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The actions in the order of their sequence numbers; compound ones stand for their children.

    Waits for external events have no number and are left out.
    """
    flat: list[dict[str, Any]] = []
    for action in [action for episode in actions for action in episode]:
        flat += action.get("compoundActions", [action])
    return [action for action in flat if action["actionType"] != EVENT]


def _as_scheduled(action: dict[str, Any]) -> dict[str, Any]:
    return {**action, "isCanceled": False} if action["actionType"] == TIMER else action


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def gaps(moments: list[datetime]) -> list[timedelta]:
    """The spans between moments."""
    return [later - earlier for earlier, later in pairwise(moments)]
