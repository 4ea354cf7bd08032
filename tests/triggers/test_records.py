"""The HTTP API for the record: pages, filters, export, and what it says when it cannot answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
import pytest

from adapters import connect
from adapters.record_store import write
from rollout.outbox import Batch
from rollout.recording import Event
from simulator.tables import Tables
from simulator.transport import MANAGEMENT, TABLE_SERVICE, AnyoneCredential
from tests.adapters.office import SimulatedOffice
from tests.adapters.tables import transport_to_tables
from tests.triggers.durable import function_of
from triggers import records

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROLLOUT = "image-gal-win11-2.0.0-abc123"


def event(minute: int, number: int, kind: str = "Noted", message: str = "news", **fields: str) -> Event:
    return Event(NOON + timedelta(minutes=minute), kind, message, number=number, **fields)


@pytest.fixture
def tables(office: SimulatedOffice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """The record of a rollout with two host pools."""
    tables = Tables()
    monkeypatch.setenv("GOLDROLL_RECORD", TABLE_SERVICE)
    before = connect.connection()
    connect.use(connect.Connection(MANAGEMENT, AnyoneCredential(), transport_to_tables(tables)))
    started = [event(number, number, "PoolStarted", pool=pool) for number, pool in ((1, "north"), (2, "south"))]
    approved = event(60, 3, "Approved", "andrea approves", by="andrea@contoso.com", ring="one")
    write(Batch(ROLLOUT, "win11", "2.0.0", "", (*started, approved)))
    moved = event(5, 2, "HostStageChanged", "n-1 is drained", host="n-1", stage="Draining")
    write(Batch(f"{ROLLOUT}:north", "win11", "2.0.0", "north", (event(3, 1), moved)))
    write(Batch(f"{ROLLOUT}:south", "win11", "2.0.0", "south", (event(4, 1, message="=1+1"), event(70, 2, "Halted"))))
    yield tables
    connect.use(before)


def ask(function: Any, id: str = "", **params: str) -> func.HttpResponse:
    request = func.HttpRequest(method="GET", url="http://h/api", body=b"", params=params, route_params={"id": id})
    response: func.HttpResponse = function_of(function)(request)
    return response


def events(**params: str) -> Any:
    return json.loads(ask(records.show_events, ROLLOUT, **params).get_body())


def test_a_rollouts_events_come_in_the_order_of_time_whichever_pool_they_are_of(tables: Tables) -> None:
    assert [(one.get("pool", ""), one["number"]) for one in events()["events"]] == [
        *(("north", 1), ("south", 2), ("north", 1), ("south", 1), ("north", 2), ("", 3), ("south", 2)),
    ]


@pytest.mark.parametrize("back", [ROLLOUT.replace("image-", "back-"), ROLLOUT.replace("image-", "back-") + ".2"])
def test_a_roll_back_has_the_events_of_its_host_pools(tables: Tables, back: str) -> None:
    assert ask(records.show_events, back).status_code == 404
    write(Batch(f"{back}:south", "win11", "2.0.0", "south", (event(90, 1, message="s-1 is on 2.0.0"),)))

    assert [one["message"] for one in json.loads(ask(records.show_events, back).get_body())["events"]] == [
        "s-1 is on 2.0.0"
    ]
    assert ask(records.show_events, back, pool="south").status_code == 200


def test_pages_follow_each_other_without_gap_or_double(tables: Tables) -> None:
    seen: list[Any] = []
    after, more = "", True
    while more:
        page = events(limit="2", after=after)
        seen, after, more = seen + page["events"], page["next"], page["more"]

    assert seen == events()["events"]


def test_what_is_written_after_the_last_page_is_on_the_next_one_even_if_it_comes_late(tables: Tables) -> None:
    after = events()["next"]
    assert events(after=after)["events"] == []

    write(Batch(f"{ROLLOUT}:north", "win11", "2.0.0", "north", (event(6, 3, message="late news"),)))

    assert [one["message"] for one in events(after=after)["events"]] == ["late news"]


def test_events_are_filtered_by_pool_host_and_kind(tables: Tables) -> None:
    assert {one["rollout"] for one in events(pool="north")["events"]} == {f"{ROLLOUT}:north"}
    assert [one["message"] for one in events(host="n-1")["events"]] == ["n-1 is drained"]
    assert [one["by"] for one in events(kind="Approved")["events"]] == ["andrea@contoso.com"]


def test_an_export_has_a_line_for_each_event_and_no_formula(tables: Tables) -> None:
    response = ask(records.show_events, ROLLOUT, format="csv")

    lines = response.get_body().decode().split("\r\n")
    assert lines[0].startswith("number,at,rollout,")
    assert len(lines) == 1 + 7 + 1
    assert any(",'=1+1," in line for line in lines)
    assert response.mimetype == "text/csv"
    assert response.headers["Goldroll-Next"]


def test_what_ran_on_a_pool_and_who_has_approved_a_version(tables: Tables) -> None:
    at = {"from": "2026-11-24T13:00Z", "to": "2026-11-24T14:00Z"}
    pool = json.loads(ask(records.show_record, pool="south", **at).get_body())
    image = json.loads(ask(records.show_record, image="win11", version="2.0.0", kind="Approved").get_body())

    assert [one["kind"] for one in pool["events"]] == ["Halted"]
    assert pool["before"] is None
    assert [one["by"] for one in image["events"]] == ["andrea@contoso.com"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"format": "xml"}, "format"),
        ({"after": "yesterday"}, "after"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(tables: Tables, params: dict[str, str], named: str) -> None:
    response = ask(records.show_events, ROLLOUT, **params)

    assert response.status_code == 400
    assert named in json.loads(response.get_body())["detail"]


def test_a_pool_and_an_image_at_once_are_refused(tables: Tables) -> None:
    assert ask(records.show_record, pool="north", image="win11").status_code == 400
    assert ask(records.show_record).status_code == 400
    assert ask(records.show_record, **{"pool": "north", "from": "Tuesday"}).status_code == 400


def test_an_unknown_rollout_and_a_table_out_of_reach_are_problems(tables: Tables) -> None:
    assert ask(records.show_events, "image-other").status_code == 404
    tables.is_out = True
    assert ask(records.show_events, ROLLOUT).status_code == 502


def test_without_a_record_it_says_how_to_switch_it_on(office: SimulatedOffice) -> None:
    response = ask(records.show_events, ROLLOUT)

    assert response.status_code == 409
    assert "GOLDROLL_RECORD" in json.loads(response.get_body())["detail"]
