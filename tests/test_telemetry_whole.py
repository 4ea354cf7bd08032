"""Telemetry of a whole rollout: figures that are what has happened, each host's way by its name, and no secret."""

from __future__ import annotations

import ast
import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demo.result import Result
from demo.run import Run
from localhost import ActivityFinished
from rollout.measuring import METRICS
from simulator.arm import Arm
from simulator.receivers import WEBHOOK, Receiver
from simulator.wire import Answer
from tests.scenarios.small import small_rollout
from tests.telemetry_in_memory import Heard, heard

ROOT = Path(__file__).resolve().parent.parent
ROLLOUT = "image-gal_office-win11-office-2.0.0-0d443e"


class Watched(Run):
    """A run with a webhook, of which every request to Azure, every answer and every activity is written down."""

    def __init__(self) -> None:
        self.webhook = Receiver(WEBHOOK)
        super().__init__(small_rollout(), receivers={"GOLDROLL_WEBHOOK": self.webhook})
        self.said: list[tuple[str, Any, Any]] = []
        self.activities: list[tuple[str, Any]] = []
        self.arm.handle = self._written_down  # type: ignore[method-assign]

    def _written_down(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None
    ) -> Answer:
        answer = Arm.handle(self.arm, method, url, headers, body)
        self.said.append((url, json.loads(body) if body else None, answer.body))
        return answer

    def _hear(self, event: Any) -> None:
        if isinstance(event, ActivityFinished):
            self.activities.append((event.name, json.loads(event.input)))
        super()._hear(event)

    @property
    def secrets(self) -> set[str]:
        """The webhook's address, and the tokens and passwords that went over the wire."""
        found = {self.webhook.address}
        for _, asked, answered in self.said:
            for text in (asked, answered):
                found |= set(_values_of(text, {"adminPassword", "token", "RegistrationInfoToken"}))
        return found


def _values_of(said: Any, names: set[str]) -> list[str]:
    if isinstance(said, list | tuple):
        return [value for part in said for value in _values_of(part, names)]
    if not isinstance(said, dict):
        return []
    own = [value for name, value in said.items() if name in names and isinstance(value, str) and value]
    return own + [value for part in said.values() for value in _values_of(part, names)]


class Played(NamedTuple):
    """A run, how it went, and what was heard of it."""

    run: Watched
    result: Result
    heard: Heard

    def steps(self, host: str) -> list[str]:
        """The activities that have worked on a host."""
        return [name for name, given in self.run.activities if _host_of(given) == host]


def _host_of(given: Any) -> str:
    return str(given["step"]["host"]) if isinstance(given, dict) and "step" in given else ""


@pytest.fixture(scope="module")
def played() -> Played:
    run = Watched()
    with heard() as found:
        result = asyncio.run(run.play())
    assert result.problems == ()
    return Played(run, result, found)


def test_hosts_at_the_end_are_the_pools(played: Played) -> None:
    told, (pool,) = played.heard, played.result.pools

    assert told.value("rollout_hosts", state="Current") == pool.current == pool.hosts == 3
    assert told.value("rollout_hosts_desired") == told.value("rollout_hosts_updated") == pool.hosts
    assert told.value("rollout_hosts_available") == pool.hosts - len(pool.drained)
    assert sum(point.value for point in told.points("rollout_hosts")) == pool.hosts
    assert told.value("fleet_version_hosts", version="2.0.0") == pool.current
    assert told.value("fleet_version_hosts", version="1.0.0") == 0


def test_sign_outs_are_those_that_people_felt(played: Played) -> None:
    told, ledger = played.heard, played.result.ledger

    assert told.value("rollout_sessions_signed_out_total", kind="forced") == ledger["forced_sign_outs"] > 0
    assert told.value("rollout_sessions_signed_out_total", kind="disconnected") == ledger["disconnected_sign_outs"]
    assert told.value("rollout_sessions_signed_out_total", kind="repeat") == ledger["signed_out_twice"] == 0


@pytest.mark.parametrize("part", ["provision", "verify", "drain"])
def test_each_host_has_one_duration_of_each_part(played: Played, part: str) -> None:
    (point,) = played.heard.points(f"rollout_host_{part}_seconds")

    assert point.count == 3
    assert 0 < point.max < played.result.simulated.total_seconds()


def test_hosts_were_made_one_after_the_other_in_no_more_time_than_it_all_took(played: Played) -> None:
    (took,) = played.heard.points("rollout_duration_seconds", status="Succeeded")
    parts = [played.heard.points(f"rollout_host_{part}_seconds")[0].sum for part in ("provision", "verify")]

    assert took.count == 1
    assert sum(parts) < took.max < played.result.simulated.total_seconds()


def test_the_phases_are_those_of_the_record(played: Played) -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in played.run.tables.rows("goldroll")]
    changed = {
        row["Phase"]
        for row in rows
        if row["PartitionKey"].startswith("rollout|")
        and row["PartitionKey"].endswith(":office")
        and row["Kind"] in ("PhaseChanged", "RolloutEnded")
    }
    points = played.heard.points("rollout_phase_transitions_total")

    assert {point.attributes["to"] for point in points} == changed
    assert sum(point.value for point in points) == len(points)
    assert played.heard.value("rollout_info", phase="Succeeded") == 1
    assert sum(point.value for point in played.heard.points("rollout_info")) == 1


def test_notifications_are_those_that_have_arrived(played: Played) -> None:
    points = played.heard.points("rollout_notifications_total", sink="webhook", result="delivered")

    assert sum(point.value for point in points) == len(played.run.webhook.taken)
    assert not played.heard.points("rollout_notifications_total", result="failed")


def test_every_measurement_has_the_attributes_that_are_documented(played: Played) -> None:
    assert played.heard.metrics <= METRICS.keys()
    assert len(played.heard.metrics) >= 18
    for metric in played.heard.metrics:
        for point in played.heard.points(metric):
            assert point.attributes.keys() == set(METRICS[metric].attributes), metric


def test_a_hosts_way_is_found_by_its_name(played: Played) -> None:
    hosts = {_host_of(given) for _, given in played.run.activities} - {""}

    assert len(hosts) == 6
    for host in hosts:
        spans = played.heard.spans(host=host)
        assert Counter(span.name for span in spans) == Counter(played.steps(host)), host
        for span in spans:
            attributes = dict(span.attributes or {})
            assert (attributes["goldroll.rollout"], attributes["goldroll.pool"]) == (ROLLOUT, "office")


def test_each_turn_says_where_the_rollout_stands(played: Played) -> None:
    turns = [span for span in played.heard.spans() if span.name == "decide_turn"]

    assert len(turns) == sum(name == "decide_turn" for name, _ in played.run.activities)
    assert dict(turns[-1].attributes or {})["goldroll.phase"] == "Succeeded"


def test_every_line_of_the_log_says_what_it_is_about(played: Played) -> None:
    lines = played.heard.lines()
    story = {line.sentence for line in played.result.story}

    assert all(
        {"goldroll.rollout", "goldroll.pool", "goldroll.host", "level", "message"} <= line.keys() for line in lines
    )
    assert {line["goldroll.rollout"] for line in lines} == {ROLLOUT}
    of_pool = [line["message"] for line in lines if line["goldroll.pool"]]
    watched = f"rollout {ROLLOUT}:office goes on: "  # what is said of it now and then is no part of its story
    assert {told.partition(": ")[2] for told in of_pool if not told.startswith(watched)} <= story
    assert any(told.startswith(watched) for told in of_pool)
    of_one = [line for line in lines if line["message"].startswith("office: ") and line["message"].count("avd-00") == 1]
    assert of_one
    for line in of_one:
        assert line["goldroll.host"].startswith("avd-00"), line["message"]
        assert line["goldroll.host"] in line["message"]


ABOUT_NO_ROLLOUT = {"orchestrators/retire_image_versions.py"}


def test_no_line_of_a_rollout_is_written_without_what_it_is_about() -> None:
    """Also those that this run has not written."""
    for folder in ("activities", "orchestrators"):
        for path in sorted((ROOT / folder).glob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
            lines = [call for call in calls if ast.unparse(call.func).startswith(("_log.", "_story."))]
            without = [call.lineno for call in lines if "extra" not in {word.arg for word in call.keywords}]
            assert not without or f"{folder}/{path.name}" in ABOUT_NO_ROLLOUT, f"{path.name}: {without}"


def test_no_secret_is_in_anything_that_is_told(played: Played) -> None:
    told, secrets = played.heard.all_of_it(), played.run.secrets

    assert len(secrets) >= 5, "the webhook's address, a password for each new host, a registration token"
    assert "avd-003" in told
    assert [secret for secret in secrets if secret in told] == []
    assert "http" not in told.replace('"https://opentelemetry.io', "")
