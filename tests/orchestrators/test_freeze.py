"""A freeze in the real Durable SDK: nothing begins while it stands, what is in hand goes on, and nothing is lost."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.commands import Command
from rollout.freeze import Freeze
from rollout.model import Phase
from rollout.policy import hours, minutes
from tests.orchestrators.stage import START, Later, Play, Played
from tests.orchestrators.test_ring_rollout import INSTANCE, READY, starts
from tests.orchestrators.test_roll_host_pool import MINE, Turns, draining, roll, told
from tests.rollout.ring_world import a_ring, a_rollout

DAY = timedelta(days=1)
FREEZE = "@freeze@all"
YEAR_END = Freeze("raj@contoso.com", "the books are closed", START, START + 2 * DAY)
THAW = Command("thaw", "andrea@contoso.com", "the books were closed sooner")


class World(Play):
    """Rollouts of pools take an hour; `order` orders a freeze, or ends it with None, once so much time has passed."""

    def __init__(self, *orders: tuple[timedelta, Freeze | str | None]) -> None:
        def roll_pool(given: Any) -> Any:
            pool = given["policy"]["name"]
            return Later(hours(1), {"pool": pool, "version": "2.0.0", "phase": Phase.SUCCEEDED, "message": ""})

        answers = {
            "read_image_version": lambda _: READY,
            "read_pool_regions": lambda _: {"regions": ["westeurope"]},
            "roll_host_pool": roll_pool,
        }
        super().__init__("roll_out_image", answers, INSTANCE)
        self._orders = list(orders)

    def _ask_entity(self, entity_id: str, operation: str, given: Any) -> Any:
        for at, freeze in self._orders:
            if self.now >= START + at:
                self.entities[FREEZE] = None if freeze is None else json.dumps(msgspec.to_builtins(freeze))
        return super()._ask_entity(entity_id, operation, given)


def play(stage: World, *rings: Any) -> Played:
    return stage.play(msgspec.to_builtins(a_rollout(*(rings or (a_ring("people", "office"),)))))


def test_a_rollout_that_is_started_in_a_freeze_waits_for_its_end_and_tells_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "goldroll.story")
    played = play(World((hours(0), YEAR_END)))

    assert set(starts(played).values()) == {2 * DAY}
    assert played.output["phase"] == Phase.SUCCEEDED
    assert sum("frozen until 2026-11-22 08:00 UTC: the books are closed" in line for line in caplog.messages) == 1
    phases = [status["phase"] for status in played.statuses if status]
    assert Phase.PAUSED in phases
    assert played.longest_history < 60


def test_a_freeze_in_the_middle_lets_the_pool_at_work_finish_and_holds_the_next_ring() -> None:
    first, second = a_ring("first", "office"), a_ring("second", "branch")
    played = play(World((minutes(30), YEAR_END)), first, second)

    assert starts(played) == {"office": hours(0), "branch": 2 * DAY}
    assert played.output["phase"] == Phase.SUCCEEDED


def test_a_freeze_that_is_made_longer_holds_to_its_new_end() -> None:
    longer = msgspec.structs.replace(YEAR_END, until=START + 5 * DAY)
    played = play(World((hours(0), YEAR_END), (DAY, longer)))

    assert set(starts(played).values()) == {5 * DAY}


def test_a_freeze_that_is_ended_sooner_lets_a_rollout_go_on_at_once() -> None:
    stage = World((hours(0), YEAR_END), (hours(3), None))
    stage.events = [(START + hours(3), "command", msgspec.to_builtins(THAW))]

    assert set(starts(play(stage)).values()) == {hours(3)}


def test_to_be_told_of_a_thaw_does_not_unfreeze_what_is_frozen() -> None:
    stage = World((hours(0), YEAR_END))
    stage.events = [(START + hours(3), "command", msgspec.to_builtins(THAW))]

    assert set(starts(play(stage)).values()) == {2 * DAY}


def test_a_pause_outlasts_a_freeze_and_an_abort_ends_a_frozen_rollout() -> None:
    paused = World((hours(0), YEAR_END))
    for at, kind in ((hours(1), "pause"), (3 * DAY, "resume")):
        paused.events.append((START + at, "command", {"kind": kind, "by": "raj@contoso.com"}))
    assert set(starts(play(paused)).values()) == {3 * DAY}

    aborted = World((hours(0), YEAR_END))
    aborted.events = [(START + hours(1), "command", {"kind": "abort", "by": "raj@contoso.com"})]
    played = play(aborted)
    assert (starts(played), played.output["phase"]) == ({}, Phase.ABORTED)


def test_a_freeze_that_cannot_be_read_counts_as_one_and_is_looked_at_again() -> None:
    played = play(World((hours(0), "who knows?"), (hours(2.5), None)))

    assert set(starts(played).values()) == {hours(3)}


def test_a_host_pool_at_work_stands_still_in_a_freeze_and_goes_on_after_it() -> None:
    stage = Play("roll_host_pool", {}, MINE)
    until = START + minutes(7)
    freeze = msgspec.structs.replace(YEAR_END, until=until)
    stage.entities[FREEZE] = json.dumps(msgspec.to_builtins(freeze))
    turns = Turns([draining("avd-001")], [draining("avd-002")], [])
    roll(turns, stage)

    assert [state.is_paused for state in turns.seen] == [True, True, False]
    assert turns.seen[0].command is not None
    assert turns.seen[0].command.spoken.startswith("by raj@contoso.com: frozen until 2026-11-20 08:07 UTC")


def test_what_an_operator_tells_a_rollout_goes_before_a_freeze() -> None:
    stage = told(Play("roll_host_pool", {}, MINE), "abort")
    stage.entities[FREEZE] = json.dumps(msgspec.to_builtins(YEAR_END))
    turns = Turns([], [])
    roll(turns, stage)

    assert [state.command.kind for state in turns.seen if state.command] == ["abort", "abort"]
