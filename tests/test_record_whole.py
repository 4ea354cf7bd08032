"""The record of a whole rollout: every host's timeline, whatever happens to the table service meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters import connect
from adapters.record_store import RecordedEvent, read_events, read_milestone_at
from demo.run import Run
from demo.scenario import MORNING, Stage
from simulator.builders import Office
from simulator.tables import Tables
from simulator.transport import TABLE_SERVICE, AnyoneCredential
from tests.adapters.tables import transport_to_tables
from tests.scenarios.small import small_rollout

Row = dict[str, Any]


def play(scenario: Any = None, *, out: Iterable[tuple[str, str]] = ()) -> Run:
    """A rollout to its end and two days more, with the table service out of reach in these spans of the first day."""
    run = Run(scenario or small_rollout())

    def switch(is_out: bool) -> None:
        run.tables.is_out = is_out

    for start, end in out:
        run.clock.call_at(at(start), lambda: switch(is_out=True))
        run.clock.call_at(at(end), lambda: switch(is_out=False))
    result = asyncio.run(run.play())
    assert not result.problems, result.problems
    return run


def at(time: str) -> datetime:
    hours, minutes = time.split(":")
    return MORNING.replace(hour=0, minute=0) + timedelta(hours=int(hours), minutes=int(minutes))


def rows_of(run: Run) -> list[Row]:
    return [dict(row) for row in run.tables.rows("goldroll")]


def of(rows: list[Row], partition: str) -> list[Row]:
    return [
        row for row in rows if row["PartitionKey"].startswith("rollout|") and row["PartitionKey"].endswith(partition)
    ]


def timeline(rows: list[Row], host: str) -> list[str]:
    return [row["Stage"] for row in rows if row.get("Host") == host and row["Kind"] == "HostStageChanged"]


@pytest.fixture(scope="module")
def undisturbed() -> list[Row]:
    """The record of a small rollout."""
    return rows_of(play())


def test_every_hosts_timeline_can_be_drawn(undisturbed: list[Row]) -> None:
    pool = of(undisturbed, ":office")
    hosts = {row["Host"] for row in pool if row.get("Host")}

    timelines = {host: timeline(pool, host) for host in sorted(hosts)}

    outdated = {host: stages for host, stages in timelines.items() if stages[0] == "Outdated"}
    made = {host: stages for host, stages in timelines.items() if host not in outdated}
    assert len(outdated) == len(made) == 3
    assert all(stages == ["Provisioning", "Joining", "Verifying", "Current"] for stages in made.values()), made
    assert all(stages[-2:] == ["Removing", "Removed"] for stages in outdated.values()), outdated


def test_the_record_begins_with_the_start_and_ends_with_the_end(undisturbed: list[Row]) -> None:
    for partition in ("-2.0.0-" + undisturbed[0]["Rollout"].split("-2.0.0-")[1][:6], ":office"):
        kinds = [row["Kind"] for row in of(undisturbed, partition)]
        assert (kinds[0], kinds[-1]) == ("RolloutStarted", "RolloutEnded")
        assert kinds.count("RolloutEnded") == 1


def test_the_messages_are_the_sentences_of_the_story() -> None:
    run = play()
    told = {line.sentence for line in run.story.lines}

    recorded = [row["Message"] for row in of(rows_of(run), ":office") if row["Kind"] in ("Noted", "PeopleNotified")]

    assert recorded
    assert [message for message in recorded if message not in told] == []


def test_numbers_have_no_gap(undisturbed: list[Row]) -> None:
    numbers = [int(row["Number"]) for row in of(undisturbed, ":office")]

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_nobody_who_works_on_a_host_is_named(undisturbed: list[Row]) -> None:
    assert not any("@" in str(value) for row in undisturbed for value in row.values())


@pytest.mark.parametrize(
    "out",
    [[("9:00", "9:30")], [("9:20", "9:50")], [("9:40", "19:30")]],
    ids=["at the start", "in the middle", "until after the end"],
)
def test_an_outage_of_the_table_loses_nothing_and_holds_nothing_up(
    out: list[tuple[str, str]], undisturbed: list[Row]
) -> None:
    def waits(stage: Stage, office: Office) -> None:
        stage.at("20:40", lambda: None)  # so that the run goes on until the record is whole

    run = play(small_rollout(disturbed_by=waits), out=out)

    assert rows_of(run) == undisturbed


def test_what_ran_at_a_moment_is_read_back(undisturbed: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables()
    for row in undisturbed:
        tables.tables.setdefault("goldroll", {})[row["PartitionKey"], row["RowKey"]] = row
    monkeypatch.setenv("GOLDROLL_RECORD", TABLE_SERVICE)
    connect.use(connect.Connection("https://management.azure.com", AnyoneCredential(), transport_to_tables(tables)))
    try:
        (then,) = read_milestone_at("office", at("9:10"))
        (today,) = read_milestone_at("office", at("23:00"))
        events = read_events(today.rollout, 0, 1000)
    finally:
        connect.use(None)

    assert isinstance(then, RecordedEvent)
    assert (then.version, then.phase) == ("2.0.0", "Canary")
    assert (today.kind, today.phase) == ("RolloutEnded", "Succeeded")
    assert len(events) == len(of(undisturbed, ":office"))
