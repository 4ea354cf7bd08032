"""Measuring: the same conditions for everybody, bounds that are bounds, and a report that does not change by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import bounds, commands
from benchmarks.contenders import OURS, contenders_of, run
from benchmarks.ours import policy_for
from benchmarks.stage import Stage
from benchmarks.summary import Row, bound_of, rows_of, targets
from benchmarks.workloads import CASES, Case

SMALL = replace(CASES[0], hosts=6, at_a_time=2)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert run(SMALL, "overnight", 3) == run(SMALL, "overnight", 3)
    assert run(SMALL, "overnight", 3) != run(SMALL, "overnight", 4)


def test_everybody_meets_the_same_people_on_the_same_hosts() -> None:
    def people(stage: Stage) -> dict[str, list[str]]:
        return {host.name: [session.person for session in host.sessions.values()] for host in stage.hosts()}

    assert people(Stage(SMALL, 5)) == people(Stage(SMALL, 5))
    assert people(Stage(SMALL, 5)) != people(Stage(SMALL, 6))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ours_replaces_no_more_hosts_at_a_time_than_the_case_allows(case: Case) -> None:
    stage = Stage(replace(case, hosts=min(case.hosts, 20)), 1)
    for preset in OURS:
        policy = policy_for(stage, preset)
        extra = 0 if policy.strategy == "in_place" else policy.surge
        assert int(extra) + int(policy.max_unavailable) <= case.at_a_time


def test_a_pool_whose_hosts_start_half_empty_does() -> None:
    stage = Stage(replace(SMALL, empty=3, load=0.2), 1)

    assert sum(not host.sessions for host in stage.hosts()) >= 3
    assert all(host.allow_new_session for host in stage.hosts())


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(1, 10_000),
    hosts=st.integers(2, 8),
    load=st.sampled_from([0.0, 0.2, 0.5]),
    at_a_time=st.integers(1, 3),
    start=st.integers(0, 20),
)
def test_no_preset_is_quicker_than_the_tightest_bound(
    seed: int, hosts: int, load: float, at_a_time: int, start: int
) -> None:
    """Means stand in for durations that are drawn, so a lucky draw on a handful of hosts may be a little quicker."""
    begins = SMALL.starts_at + timedelta(hours=start)
    case = replace(SMALL, hosts=hosts, load=load, at_a_time=at_a_time, starts_at=begins)
    for preset in ("overnight", "fast"):
        result = run(case, preset, seed)
        if result.hours is not None:
            assert result.hours >= 0.85 * bound_of(case, preset, seed).hours


def test_with_nobody_on_the_pool_the_work_is_the_bound() -> None:
    empty = replace(SMALL, load=0.0, hosts=20, at_a_time=1)

    assert bound_of(empty, "fast", 1).name == "work"


def test_where_people_stay_all_day_the_drain_is_the_bound_and_is_later_when_they_may_not_be_signed_out() -> None:
    by_force = bounds.tightest(SMALL, 1, bake=timedelta(0), asks_from=0)
    by_themselves = bounds.tightest(SMALL, 1, bake=timedelta(0), asks_from=None)

    assert by_force.name == by_themselves.name == "drain"
    assert by_force.hours < by_themselves.hours


def a_row(contender: str, **fields: object) -> Row:
    """A row of a table; what it does not say is ordinary."""
    known: dict[str, object] = {
        "seeds": 20,
        "hours": 10.0,
        "forced": 0,
        "twice": 0,
        "twice_at_most": 0,
        "refused": 0,
        "refused_at_most": 0,
        "least_free": 9,
        "peak": 10,
        "extra_hours": 0,
        "on_bad_image": 0,
        "drained": 0,
        "operator": 0,
        "calls_per_host": 9,
    }
    return Row(contender=contender, **{**known, **fields})  # type: ignore[arg-type]


def test_a_target_that_is_missed_is_said_to_be_missed() -> None:
    native = a_row("native", hours=9.0, forced=100)
    late, harsh = a_row("gentle", hours=20.0), a_row("fast", hours=8.0, forced=150)
    found = {target.name: target.held for target in targets({"shifts": [late, harsh, native]})}

    assert found["shifts: a preset is worse than the service's update on neither count"] is False
    assert found["nobody signed out twice, in every case, preset and seed"] is True


def test_one_person_signed_out_twice_with_one_seed_misses_the_target() -> None:
    found = targets({"shifts": [a_row("gentle", twice_at_most=1), a_row("native")]})

    assert next(target.held for target in found) is False


def test_refusals_that_happen_without_a_rollout_too_are_not_counted() -> None:
    full = replace(SMALL, load=1.2)
    names = ("overnight", "left alone")
    (row,) = rows_of(full, [run(full, name, 1) for name in names])

    assert row.refused <= run(full, "overnight", 1).refused


def test_the_report_is_the_same_twice_and_names_every_peer(tmp_path: Path) -> None:
    from benchmarks.report import write  # noqa: PLC0415 - drawing plots takes a second to import

    results = [run(SMALL, name, 1) for name in contenders_of(SMALL) if name in ("overnight", "native", "left alone")]
    pages = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        rows = {SMALL.name: rows_of(SMALL, results)}
        write(folder, [SMALL], rows, targets(rows), results, 1)
        pages.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})

    assert pages[0] == pages[1]
    page = pages[0]["benchmarks.md"].decode()
    assert all(
        name in page for name in ("native", "replacer", "federal", "rebuild", "barrier, sliding", "Where ours loses")
    )
    assert not any(b"<script" in content for content in pages[0].values())


def test_the_command_prints_what_it_measured_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--quick", "--case", "small", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["contender"] for row in shown["cases"]["small"]} >= {"overnight", "native", "replacer", "sliding"}
    assert any("tightest lower bound" in target["name"] for target in shown["targets"])
