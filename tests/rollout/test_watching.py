"""The line about each rollout that runs: which word alerts find in it, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates import AskedApproval
from rollout.model import Phase, PoolCounts
from rollout.policy import hours, minutes
from rollout.status import ImageStatus, PoolStatus
from rollout.watching import LONGEST_MESSAGE, Standing, Watched, WatchLine, watch_line
from tests.rollout.builders import MORNING

GOES_ON, STUCK, NO_ROOM, EXPIRES = Standing.GOES_ON, Standing.STUCK, Standing.NO_ROOM, Standing.EXPIRES
IMAGE = "image-gal-win11-2.0.0-0d443e"


A_WHILE = minutes(3)
READABLE = {"pool": "office", "image": "win11", "version": "2.0.0", "phase": "Rolling", "message": "", "pools": {}}
STRANGE = [
    READABLE | {"next": "2026-11-27T07:00:00"},
    READABLE | {"next": "soon"},
    READABLE | {"idle": 10**30, "asked": {"ring": "pilot", "since": "0001-01-01T00:00:00Z", "roles": 1}},
]


def line(status: Any, *, is_pool: bool = True, since: timedelta = A_WHILE) -> WatchLine:
    """The line about a rollout with this status, that was started and heard of last so long ago."""
    id = f"{IMAGE}:office" if is_pool else IMAGE
    return watch_line(Watched(id, is_pool, status, MORNING - since, MORNING - since), MORNING)


def pool(phase: Phase = Phase.ROLLING, *, heard: timedelta = A_WHILE, **fields: Any) -> WatchLine:
    """The line about a host pool's rollout that was heard of last so long ago."""
    known = {"message": "so it goes", "seen": MORNING - minutes(2), "next": MORNING + minutes(2), "desired": 8}
    return line(msgspec.to_builtins(PoolStatus("office", "2.0.0", phase, **{**known, **fields})), since=heard)


def image(**fields: Any) -> WatchLine:
    """The line about a rollout as a whole."""
    status = ImageStatus(
        "win11", "2.0.0", Phase.WAITING_GATE, "ring pilot: soaking", {"office": Phase.ROLLING}, **fields
    )
    return line(msgspec.to_builtins(status), is_pool=False)


def asked(*, since: timedelta, until: timedelta | None) -> AskedApproval:
    """Since so long ago, for so much longer."""
    return AskedApproval("pilot", MORNING - since, ("Approver",), None if until is None else MORNING + until)


def test_a_line_says_how_far_the_rollout_is_and_since_when() -> None:
    told = pool(idle=900, counts=PoolCounts(current=3, set_aside=1))

    assert told == WatchLine(
        GOES_ON,
        f"rollout {IMAGE}:office goes on: a host came further 15 min of work ago; "
        "Rolling, 4 of 8 hosts are done: so it goes",
    )


@pytest.mark.parametrize(
    ("fields", "standing"),
    [
        ({"idle": 24 * 3600 - 1}, GOES_ON),
        ({"idle": 24 * 3600}, STUCK),
        ({"seen": MORNING - minutes(59)}, GOES_ON),
        ({"seen": MORNING - minutes(60)}, STUCK),
        ({"next": MORNING - minutes(59)}, GOES_ON),
        ({"next": MORNING - minutes(60)}, STUCK),
        ({"next": None, "heard": minutes(59)}, GOES_ON),
        ({"next": None, "heard": minutes(60)}, STUCK),
        ({"phase": Phase.PAUSED}, GOES_ON),
        ({"phase": Phase.SCHEDULED, "seen": None, "since": MORNING - minutes(59)}, GOES_ON),
        ({"phase": Phase.SCHEDULED, "seen": None, "since": MORNING - minutes(60)}, STUCK),
        ({"phase": Phase.SCHEDULED, "seen": None, "since": MORNING - hours(9), "reason": "PoolInUse"}, GOES_ON),
        ({"phase": Phase.WAITING_CAPACITY, "blocked": MORNING - minutes(59)}, GOES_ON),
        ({"phase": Phase.WAITING_CAPACITY, "blocked": MORNING - minutes(60)}, NO_ROOM),
        ({"phase": Phase.WAITING_CAPACITY}, GOES_ON),
        ({"phase": Phase.WAITING_CAPACITY, "reason": "ReserveTooSmall", "blocked": MORNING - hours(2)}, GOES_ON),
        ({"phase": Phase.ROLLING, "blocked": MORNING - hours(2)}, GOES_ON),
    ],
)
def test_how_a_host_pools_rollout_stands(fields: dict[str, Any], standing: Standing) -> None:
    assert pool(**fields).standing is standing


@pytest.mark.parametrize(
    ("fields", "standing"),
    [
        ({}, GOES_ON),
        ({"next": MORNING - minutes(59)}, GOES_ON),
        ({"next": MORNING - minutes(60)}, STUCK),
        ({"asked": asked(since=hours(20), until=hours(4) + minutes(1))}, GOES_ON),
        ({"asked": asked(since=hours(20), until=hours(4))}, EXPIRES),
        ({"asked": asked(since=hours(1), until=hours(2))}, GOES_ON),
        ({"asked": asked(since=hours(1), until=hours(1))}, EXPIRES),
        ({"asked": asked(since=hours(1), until=-minutes(1))}, EXPIRES),
        ({"asked": asked(since=hours(100), until=None)}, GOES_ON),
    ],
)
def test_how_a_rollout_as_a_whole_stands(fields: dict[str, Any], standing: Standing) -> None:
    assert image(**fields).standing is standing


def test_the_end_of_an_approval_is_told_with_the_ring_and_the_time_that_is_left() -> None:
    told = image(asked=asked(since=hours(40), until=minutes(95)))

    assert told.text.startswith(
        f"rollout {IMAGE} waits for an approval: 1 h 35 min are left to answer about ring pilot; "
    )


@pytest.mark.parametrize("is_pool", [True, False])
@pytest.mark.parametrize(
    "status", ["words", [], {}, {"phase": "Dancing"}, {"pool": "office", "phase": 7}, 3.5, *STRANGE]
)
def test_a_status_that_cannot_be_read_is_no_reason_to_fail(status: Any, *, is_pool: bool) -> None:
    soon, late = (line(status, is_pool=is_pool, since=since) for since in (minutes(3), hours(2)))

    assert soon.standing is GOES_ON
    assert late.standing is STUCK
    assert "cannot be read" in soon.text


def test_a_rollout_that_never_begins_is_stuck() -> None:
    assert line(None, since=minutes(59)).standing is GOES_ON
    assert line(None, since=minutes(60)).standing is STUCK


@given(st.text(), st.sampled_from(Phase))
def test_no_message_makes_a_line_long_or_two_of_it(message: str, phase: Phase) -> None:
    told = pool(phase, message=message).text

    assert len(told.splitlines()) == 1
    assert len(told) < LONGEST_MESSAGE + 200
