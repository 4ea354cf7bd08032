"""A host pool's rollout as an orchestration: the lease, the turns, what is remembered and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from rollout.assignments import PoolRollout
from rollout.instance_ids import host_pool_key
from rollout.model import HostProgress, Phase, RolloutState, SessionProgress, Stage
from rollout.steps import Decision, NotifySessions, RemoveHost, StartDraining, Step
from rollout.travelling import pack, pack_decision, unpack
from tests.orchestrators.stage import START, Crash, Later, Play, Played
from tests.rollout.builders import POOL_ID, a_policy, registration_of, version_id, vm_id

DIGEST = "abc123"
OLDER, MINE, NEWER = (f"image-desktops-office-{number}-{DIGEST}:office" for number in ("1.5.0", "2.0.0", "3.0.0"))


class Turns:
    """Scripted decisions: each entry is what one turn decides, the last one also ends the rollout."""

    def __init__(self, *turns: Sequence[Step] | str, minutes: float = 5) -> None:
        self._turns = list(turns)
        self._minutes = minutes
        self.seen: list[RolloutState] = []

    def __call__(self, turn: Any) -> Any:
        state = unpack(turn["state"])
        now = msgspec.convert(turn["now"], datetime)
        self.seen.append(state)
        current = self._turns.pop(0)
        if current == "died":
            raise Crash("the worker was restarted")
        done = not self._turns
        state = structs.replace(
            state,
            phase=Phase.SUCCEEDED if done else Phase.ROLLING,
            message=f"turn {len(self.seen)}",
            carried_out=max([state.carried_out, *(command.number for command in state.queued)]),
            queued=(),
        )
        decision = Decision(
            state=state,
            steps=tuple(current),  # type: ignore[arg-type]
            wake_at=None if done else now + timedelta(minutes=self._minutes),
            done=done,
        )
        return {"decision": pack_decision(decision)}


def draining(name: str) -> StartDraining:
    return StartDraining(name, vm_id(name), registration_of(name), "a test")


def removing(name: str) -> RemoveHost:
    return RemoveHost(name, vm_id(name), registration_of(name), "a test")


def fine(_: Any) -> Any:
    return {"ok": True}


def roll(turns: Turns, stage: Play | None = None, state: RolloutState | None = None, **answers: Any) -> Played:
    activities = {
        "decide_turn": turns,
        "start_draining": fine,
        "remove_host": fine,
        "notify_sessions": fine,
        **answers,
    }
    stage = stage or Play("roll_host_pool", {}, MINE)
    stage._answers.update(activities)
    rollout = PoolRollout(version_id("2.0.0"), a_policy(), pack(state) if state else "")
    return stage.play(msgspec.to_builtins(rollout))


def a_stage_where(rollout: str, version: str, on_newer: str = "supersede") -> Play:
    """A stage on which another rollout has taken the pool's lease just now."""
    stage = Play("roll_host_pool", {}, MINE)
    ask(stage, "acquire", rollout=rollout, target=version_id(version), on_newer=on_newer)
    return stage


def ask(stage: Play, operation: str, **request: Any) -> Any:
    """Ask the pool's lease as another rollout would."""
    given = {"now": stage.now.isoformat(), **request}
    return stage._ask_entity(f"@host_pool@{host_pool_key(POOL_ID)}", operation, given)


def holder(stage: Play) -> str:
    """Who holds the pool's lease, "" for nobody."""
    lease = msgspec.json.decode(stage.lease)
    return str(lease.get("holder", ""))


# --------------------------------------------------------------------------------------------------------- the turns


def test_a_rollout_decides_acts_and_waits_until_it_is_done() -> None:
    turns = Turns([draining("avd-001")], [removing("avd-001")], [])

    played = roll(turns)

    assert played.names == [
        "host_pool.acquire",
        "host_pool.check_in",
        "decide_turn",
        "start_draining",
        "host_pool.check_in",
        "decide_turn",
        "remove_host",
        "host_pool.check_in",
        "decide_turn",
        "host_pool.release",
    ]
    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.ended_at - START < timedelta(minutes=11)


def test_the_steps_of_a_turn_are_carried_out_at_once() -> None:
    played = roll(Turns([draining("avd-001"), draining("avd-002"), draining("avd-003")], []))

    starts = [at for at, name, _ in played.calls if name == "start_draining"]
    assert len(starts) == 3
    assert len(set(starts)) == 1


def test_a_step_that_failed_is_remembered_for_the_next_turn() -> None:
    turns = Turns([removing("avd-001")], [])
    in_hand = {"avd-001": HostProgress(stage=Stage.REMOVING, since=START)}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)

    roll(turns, state=state, remove_host=lambda _: {"error": {"code": "Conflict", "message": "busy"}})

    progress = turns.seen[1].in_hand["avd-001"]
    assert progress.attempts == 1
    assert progress.retry_at is not None
    assert "Conflict" in progress.reason


def test_people_whom_a_message_did_not_reach_are_told_again_and_the_others_are_not() -> None:
    notice = NotifySessions("avd-001", registration_of("avd-001"), ("1", "2"), "t", "b", "a test")
    told = SessionProgress(deadline=START + timedelta(hours=1), notices=1)
    in_hand = {"avd-001": HostProgress(stage=Stage.DRAINING, since=START, sessions={"1": told, "2": told})}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)
    turns = Turns([notice], [])

    roll(
        turns,
        state=state,
        notify_sessions=lambda _: {"error": {"code": "ConnectionLost", "message": "x"}, "left": ["2"]},
    )

    assert list(turns.seen[1].in_hand["avd-001"].sessions) == ["1"]


def test_an_activity_that_dies_counts_as_a_failed_step_and_the_rollout_goes_on() -> None:
    def dies(_: Any) -> Any:
        raise Crash("the worker was restarted")

    in_hand = {"avd-001": HostProgress(stage=Stage.REMOVING, since=START)}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)
    turns = Turns([removing("avd-001")], [])

    played = roll(turns, state=state, remove_host=dies)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert "ActivityDied" in turns.seen[1].in_hand["avd-001"].reason


def test_a_turn_that_dies_is_taken_again() -> None:
    turns = Turns("died", "died", [])

    played = roll(turns)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert [state.unreadable for state in turns.seen] == [0, 1, 2]
    assert any("cannot be read" in status.get("message", "") for status in played.statuses if status)


def test_the_status_says_where_the_rollout_stands_and_when_it_looks_again() -> None:
    played = roll(Turns([], [], []))

    shown = [status for status in played.statuses if status and status.get("message") == "turn 1"]
    assert shown[0]["pool"] == "office"
    assert shown[0]["version"] == "2.0.0"
    assert shown[0]["phase"] == Phase.ROLLING
    assert datetime.fromisoformat(shown[0]["next"]) > START
    assert "next" not in played.statuses[-1]


def test_there_is_a_status_in_every_episode_of_every_execution() -> None:
    played = roll(Turns(*[[] for _ in range(30)]))

    assert played.executions > 1
    assert all(status is not None for status in played.statuses)


@pytest.mark.parametrize("steps", [0, 3, 10])
def test_histories_stay_short_however_long_the_rollout_takes(steps: int) -> None:
    turns = Turns(*[[draining(f"avd-{n:03}") for n in range(steps)] for _ in range(30)], [])

    played = roll(turns)

    assert len(turns.seen) == 31
    assert played.longest_history < 500


@pytest.mark.parametrize("answers_come", ["together", "one by one"])
def test_no_history_passes_500_events_though_hundreds_of_steps_are_decided_on(answers_come: str) -> None:
    names = [f"avd-{n:04}" for n in range(400)]
    in_hand = {name: HostProgress(stage=Stage.DRAINING, since=START) for name in names}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)
    started: list[str] = []

    class Pool(Turns):
        """Decides on every host that is not drained yet."""

        def __call__(self, turn: Any) -> Any:
            left = [draining(name) for name in names if name not in started]
            self._turns = [left, []] if left else [[]]
            return super().__call__(turn)

    def drain(order: Any) -> Any:
        started.append(order["step"]["host"])
        delay = timedelta(seconds=len(started) if answers_come == "one by one" else 0)
        return Later(delay, {"ok": True})

    turns = Pool()
    played = roll(turns, state=state, start_draining=drain)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert sorted(started) == names
    assert played.longest_history < 500
    assert all(host.attempts == 0 for seen in turns.seen for host in seen.in_hand.values())


def test_a_turn_that_could_not_do_everything_is_followed_by_the_next_at_once() -> None:
    names = [f"avd-{n:04}" for n in range(150)]
    in_hand = {name: HostProgress(stage=Stage.DRAINING, since=START) for name in names}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)
    turns = Turns([draining(name) for name in names], [draining(name) for name in names[100:]], [])

    played = roll(turns, state=state)

    decided_at = [at for at, name, _ in played.calls if name == "decide_turn"]
    assert decided_at[1] - decided_at[0] < timedelta(seconds=2)
    assert decided_at[2] - decided_at[1] >= timedelta(minutes=5)
    assert len(played.called("start_draining")) == 100 + 50


def test_steps_that_wait_for_azure_are_looked_at_again_when_it_takes_calls() -> None:
    in_hand = {"avd-001": HostProgress(stage=Stage.REMOVING, since=START)}
    state = RolloutState(MINE, POOL_ID, version_id("2.0.0"), START, in_hand=in_hand)
    turns = Turns([removing("avd-001")], [])
    wait = {"error": {"code": "Deferred", "message": "few calls left", "retry_after": 8}}

    played = roll(turns, state=state, remove_host=lambda _: wait)

    decided_at = [at for at, name, _ in played.calls if name == "decide_turn"]
    assert timedelta(seconds=8) <= decided_at[1] - decided_at[0] < timedelta(seconds=9)
    assert turns.seen[1].in_hand["avd-001"].attempts == 0


def test_a_new_execution_goes_on_with_what_was_remembered() -> None:
    turns = Turns(*[[] for _ in range(30)])

    roll(turns)

    assert len({state.rollout_id for state in turns.seen}) == 1
    assert {state.started_at for state in turns.seen} == {turns.seen[0].started_at}


# --------------------------------------------------------------------------------------------------------- the lease


def test_the_lease_is_given_back_at_the_end() -> None:
    stage = Play("roll_host_pool", {}, MINE)

    roll(Turns([]), stage)

    assert holder(stage) == ""


def test_the_lease_is_held_over_executions() -> None:
    stage = Play("roll_host_pool", {}, MINE)
    holders = []

    def look(_: Any) -> Any:
        holders.append(holder(stage))
        return {"ok": True}

    roll(Turns(*[[draining("avd-001")] for _ in range(30)], []), stage, start_draining=look)

    assert set(holders) == {MINE}


def test_a_rollout_that_fails_gives_the_lease_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr("orchestrators.roll_host_pool.record", broken)
    stage = Play("roll_host_pool", {}, MINE)

    played = roll(Turns([draining("avd-001")], []), stage)

    assert "a bug" in played.error
    assert holder(stage) == ""


def test_an_older_rollout_that_holds_the_pool_is_waited_for() -> None:
    stage = a_stage_where(OLDER, "1.5.0")
    released = []

    class Waiting(Turns):
        def __call__(self, turn: Any) -> Any:
            released.append(stage.now)
            return super().__call__(turn)

    original = stage._ask_entity

    def release_after_ten_minutes(entity_id: str, operation: str, given: Any) -> Any:
        if stage.now - START > timedelta(minutes=10) and holder(stage) == OLDER:
            original(entity_id, "release", {"rollout": OLDER, "now": stage.now.isoformat()})
        return original(entity_id, operation, given)

    stage._ask_entity = release_after_ten_minutes  # type: ignore[method-assign]

    played = roll(Waiting([]), stage)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert released[0] - START > timedelta(minutes=10)
    waiting = [status for status in played.statuses if status and status.get("reason") == "PoolInUse"]
    assert waiting[0]["phase"] == Phase.SCHEDULED
    assert "1.5.0" in waiting[0]["message"]


def test_waiting_for_hours_keeps_the_history_short() -> None:
    stage = a_stage_where(OLDER, "1.5.0")
    original = stage._ask_entity

    def busy_for_four_hours(entity_id: str, operation: str, given: Any) -> Any:
        if entity_id.startswith("@freeze@"):
            return original(entity_id, operation, given)
        other = {"rollout": OLDER, "now": stage.now.isoformat()}
        original(entity_id, "release" if stage.now - START > timedelta(hours=4) else "check_in", other)
        return original(entity_id, operation, given)

    stage._ask_entity = busy_for_four_hours  # type: ignore[method-assign]

    played = roll(Turns([]), stage)

    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.longest_history < 500
    assert played.executions > 3


def test_a_rollout_refused_by_a_newer_one_ends_as_superseded_and_touches_nothing() -> None:
    stage = a_stage_where(NEWER, "3.0.0")

    played = roll(Turns([]), stage)

    assert played.output["phase"] == Phase.SUPERSEDED
    assert played.called("decide_turn") == []
    assert holder(stage) == NEWER


def test_a_second_rollout_of_the_same_version_is_refused() -> None:
    stage = a_stage_where(MINE.replace(DIGEST, f"{DIGEST}-2"), "2.0.0")

    played = roll(Turns([]), stage)

    assert played.output["phase"] == Phase.REFUSED
    assert "already" in played.output["message"]


def test_a_lost_lease_ends_the_rollout_without_touching_anything() -> None:
    stage = Play("roll_host_pool", {}, MINE)
    turns = Turns([draining("avd-001")], [draining("avd-002")], [])

    def somebody_takes_it(_: Any) -> Any:
        stage.entities.update(
            {key: json_lease(NEWER, "3.0.0", stage.now) for key in stage.entities if key.startswith("@host_pool@")}
        )
        return {"ok": True}

    played = roll(turns, stage, start_draining=somebody_takes_it)

    assert (played.output["phase"], played.output["reason"]) == (Phase.FAILED, "LeaseLost")
    assert len(turns.seen) == 1
    assert holder(stage) == NEWER


def test_a_newer_version_that_waits_supersedes_with_its_number() -> None:
    stage = Play("roll_host_pool", {}, MINE)
    turns = Turns([draining("avd-001")], [])

    def newer_asks(_: Any) -> Any:
        ask(stage, "acquire", rollout=NEWER, target=version_id("3.0.0"), on_newer="supersede")
        return {"ok": True}

    roll(turns, stage, start_draining=newer_asks)

    assert turns.seen[0].superseded_by == ""
    assert turns.seen[1].superseded_by.endswith("/versions/3.0.0")


def test_a_lease_that_cannot_be_read_gives_the_pool_to_nobody() -> None:
    stage = a_stage_where(OLDER, "1.5.0")
    (key,) = stage.entities
    stage.entities[key] = '{"owner": "who?"}'

    played = roll(Turns([]), stage)

    assert played.output["phase"] == Phase.REFUSED
    assert "cannot be read" in played.output["message"]
    assert stage.entities[key] == '{"owner": "who?"}'


def json_lease(rollout: str, version: str, now: datetime) -> str:
    """A stored lease."""
    return msgspec.json.encode(
        {"holder": rollout, "target": version_id(version), "renewed_at": now, "fence": 7}
    ).decode()


# -------------------------------------------------------------------------------------------------------- commands


def told(stage: Play, kind: str, host: str = "") -> Play:
    command = {"kind": kind, "by": "raj@contoso.com", "reason": "a wrong build", "host": host}
    ask(stage, "command", rollout=MINE, command=command)
    return stage


def test_what_is_to_be_carried_out_once_comes_in_order_and_again_only_when_a_turn_is_lost() -> None:
    stage = Play("roll_host_pool", {}, MINE)
    turns = Turns("died", *[[] for _ in range(30)])
    for kind, host in (("skip", "avd-001"), ("retry", "avd-001"), ("skip", "avd-002")):
        told(stage, kind, host)
    leases = []

    def look(turn: Any) -> Any:
        leases.append(stage.lease)
        return turns(turn)

    played = roll(turns, stage, decide_turn=look)

    given = [[(one.kind, one.host) for one in state.queued] for state in turns.seen]
    assert given[:2] == [[("skip", "avd-001"), ("retry", "avd-001"), ("skip", "avd-002")]] * 2
    assert not any(given[2:])
    assert played.executions > 1
    assert ["queued" in lease for lease in leases[:4]] == [True, True, False, False]


def test_a_rollout_learns_of_a_command_before_its_first_turn() -> None:
    turns = Turns([], [])
    roll(turns, told(Play("roll_host_pool", {}, MINE), "pause"))

    assert [state.is_paused for state in turns.seen] == [True, True]


def test_a_rollout_that_is_aborted_while_it_waits_for_the_pool_leaves_the_queue() -> None:
    stage = told(a_stage_where(OLDER, "1.5.0", on_newer="wait"), "abort")
    played = roll(Turns(), stage)

    assert played.output["phase"] == Phase.ABORTED
    assert played.output["message"] == "aborted by raj@contoso.com: a wrong build"
    assert [name for _, name, _ in played.calls if name.startswith("host_pool.")][-1] == "host_pool.release"
    assert holder(stage) == OLDER
    lease = stage.lease
    assert MINE not in lease
