"""The record through the real table client: what is written is read back, in any order of failures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from adapters import connect
from adapters.connect import Connection
from adapters.errors import StepFailed
from adapters.record_store import is_recorded, read_events, read_milestone_at, read_milestones, write
from rollout.outbox import Batch
from rollout.recording import Event
from simulator.tables import Tables
from simulator.transport import TABLE_SERVICE, AnyoneCredential
from tests.adapters.tables import transport_to_tables

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROLLOUT = "image-gal-win11-2.0.0-abc123:floor 3/4"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """A table service without a table, and an app that keeps its record there."""
    tables = Tables()
    monkeypatch.setenv("GOLDROLL_RECORD", TABLE_SERVICE)
    connect.use(Connection("https://management.azure.com", AnyoneCredential(), transport_to_tables(tables)))
    yield tables
    connect.use(None)


def moved(host: str, number: int, *, minutes: int = 0) -> Event:
    at = NOON + timedelta(minutes=minutes)
    return Event(at, "HostStageChanged", f"{host} is drained", "Wave", host, stage="Draining", number=number)


def phase(name: str, number: int, *, minutes: int = 0) -> Event:
    return Event(NOON + timedelta(minutes=minutes), "PhaseChanged", f"it's {name}", phase=name, number=number)


def batch(*events: Event, rollout: str = ROLLOUT, pool: str = "floor 3/4", version: str = "2.0.0") -> Batch:
    return Batch(rollout, "win11", version, pool, events)


def test_without_a_setting_nothing_is_written(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDROLL_RECORD")

    assert not is_recorded()
    assert not write(batch(moved("avd-1", 1)))
    assert tables.calls == 0


def test_the_first_event_makes_the_table_and_is_read_back_whole(tables: Tables) -> None:
    assert write(batch(moved("avd-1", 7)))

    (event,) = read_events(ROLLOUT)
    assert (event.number, event.at, event.rollout, event.pool) == (7, NOON, ROLLOUT, "floor 3/4")
    assert (event.image, event.version) == ("win11", "2.0.0")
    assert (event.kind, event.host, event.stage, event.reason) == ("HostStageChanged", "avd-1", "Draining", "Wave")
    assert event.message == "avd-1 is drained"


def test_a_table_that_does_not_exist_has_no_events(tables: Tables) -> None:
    assert read_events(ROLLOUT) == []


def test_writing_the_same_events_again_adds_no_row(tables: Tables) -> None:
    for _ in range(2):
        write(batch(moved("avd-1", 1), phase("Rolling", 2)))

    assert [event.number for event in read_events(ROLLOUT)] == [1, 2]
    assert len(read_milestones("pool", "floor 3/4", NOON, NOON)) == 1


def test_more_events_than_a_transaction_holds_are_written_and_read_page_by_page(tables: Tables) -> None:
    write(batch(*(moved(f"avd-{number}", number) for number in range(1, 251))))
    assert tables.calls == 5  # the first one found no table, then it was made

    assert [event.number for event in read_events(ROLLOUT, 0, 1000)] == list(range(1, 251))
    assert [event.number for event in read_events(ROLLOUT, 120, 50)] == list(range(121, 171))


def test_events_are_found_by_host_and_by_kind(tables: Tables) -> None:
    write(batch(moved("avd-1", 1), moved("avd-2", 2), phase("Rolling", 3)))

    assert [event.number for event in read_events(ROLLOUT, host="avd-2")] == [2]
    assert [event.number for event in read_events(ROLLOUT, kind="PhaseChanged")] == [3]


def test_a_filter_with_quotes_finds_nothing_and_breaks_nothing(tables: Tables) -> None:
    write(batch(moved("avd-1", 1)))

    assert read_events(ROLLOUT, host="x' or Host ne 'x") == []


def test_what_ran_on_a_pool_is_the_last_milestone_at_or_before_the_moment(tables: Tables) -> None:
    write(batch(phase("Canary", 1), phase("Rolling", 2, minutes=60), moved("avd-1", 3, minutes=61)))

    found = {m: read_milestone_at("floor 3/4", NOON + timedelta(minutes=m)) for m in (-1, 0, 59, 60, 600)}

    assert {m: [event.phase for event in events] for m, events in found.items()} == {
        -1: [],
        0: ["Canary"],
        59: ["Canary"],
        60: ["Rolling"],
        600: ["Rolling"],
    }


def test_milestones_of_a_span_come_the_newest_first(tables: Tables) -> None:
    write(
        batch(phase("Canary", 1), phase("Baking", 2), phase("Rolling", 3, minutes=60), phase("Paused", 4, minutes=90))
    )

    found = read_milestones("pool", "floor 3/4", NOON, NOON + timedelta(minutes=60))

    assert [event.phase for event in found] == ["Rolling", "Baking", "Canary"]


def test_who_has_approved_a_version_stands_among_the_images_milestones(tables: Tables) -> None:
    approved = Event(NOON, "Approved", "andrea approves", ring="one", by="andrea@contoso.com", number=1)
    whole = "image-gal-win11-2.0.0-abc123"
    write(batch(approved, phase("Rolling", 2), rollout=whole, pool=""))
    write(batch(approved, rollout="image-gal-win11-3.0.0-abc123", pool="", version="3.0.0"))

    (found,) = read_milestones("image", "win11", NOON, NOON, kind="Approved", version="2.0.0")

    assert (found.by, found.ring, found.version) == ("andrea@contoso.com", "one", "2.0.0")


def test_an_outage_is_a_failure_that_may_pass(tables: Tables) -> None:
    tables.is_out = True

    with pytest.raises(StepFailed) as caught:
        write(batch(moved("avd-1", 1)))

    assert caught.value.error.retriable
    assert tables.calls == 1  # no retry sleeps inside an activity


def test_a_row_that_something_else_has_written_is_left_out(tables: Tables) -> None:
    write(batch(moved("avd-1", 1)))
    rows = tables.tables["goldroll"]
    (key, row) = next(iter(rows.items()))
    rows[key[0], "0000000000000002"] = {"PartitionKey": key[0], "RowKey": "0000000000000002", "Kind": "Odd"}

    assert [event.number for event in read_events(ROLLOUT)] == [1]
    assert row["Kind"] == "HostStageChanged"
