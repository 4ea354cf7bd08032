"""What grows with the pool and what must not: measured by the benchmark on small pools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scale import CoreCost, ScaleReport
from benchmarks.scale_page import page, write


@pytest.fixture(scope="module")
def report() -> ScaleReport:
    return scale.measure([4, 8], [1, 2])


def test_every_pool_is_rolled_to_its_end(report: ScaleReport) -> None:
    assert [(cost.hosts, cost.pools, cost.phases) for cost in report.core] == [
        (4, 1, {"Succeeded": 1}),
        (8, 1, {"Succeeded": 1}),
        (scale.HOSTS_OF_MANY_POOLS, 2, {"Succeeded": 2}),
    ]
    assert [(cost.hosts, cost.phase) for cost in report.app] == [(4, "Succeeded"), (8, "Succeeded")]


def test_a_turn_takes_as_many_calls_in_a_larger_pool(report: ScaleReport) -> None:
    small, large = report.app
    assert large.calls_per_turn < small.calls_per_turn + 1
    assert large.calls_per_host < small.calls_per_host


def test_what_each_action_costs_is_told(report: ScaleReport) -> None:
    for cost in report.app:
        assert cost.calls_per_action["provision_host"] == 1
        assert cost.calls_per_action["remove_host"] <= 4
        of_the_rollout_and_the_sweep = (cost.calls_per_host + cost.calls_of_the_sweep) * cost.hosts
        assert sum(cost.calls.values()) == round(of_the_rollout_and_the_sweep)
        assert cost.calls_of_the_sweep > 0


def test_no_history_passes_500_events_and_no_state_32_kilobytes(report: ScaleReport) -> None:
    for cost in report.app:
        assert 0 < cost.longest_history < 500
        assert 0 < cost.state_bytes < cost.turn_bytes < 32 * 1024
        assert 0 < cost.status_bytes < 16 * 1024


def test_one_small_pool_is_never_told_to_wait_and_leaves_most_of_every_bucket(report: ScaleReport) -> None:
    assert all(cost.throttled == 0 for cost in report.app)
    assert {margin.bucket for margin in report.margins} >= {"reads", "writes", "deletes", "PutVM", "HighCostGet"}
    assert all(margin.lowest_of_one > margin.capacity / 2 for margin in report.margins)


def test_the_report_is_printed_as_tables_and_as_json(
    report: ScaleReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "measure", lambda hosts, pools: report)

    assert scale.main(["--quick"]) == 0
    assert "HighCostGet" in capsys.readouterr().out
    assert scale.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["app"][0]["hosts"] == 4


def a_core_cost(hosts: int, growth: float) -> CoreCost:
    return CoreCost(
        hosts=hosts,
        pools=1,
        turns=1,
        steps=1,
        most_steps_in_a_turn=1,
        state_bytes=1,
        cpu_ms_per_host=2.0,
        times_ten_hosts=growth,
        took_hours=1,
        phases={},
    )


@pytest.mark.parametrize(("growth", "verdict"), [(1.5, "held"), (1.51, "**missed**")])
def test_the_page_says_whether_the_cpu_for_each_host_grows(growth: float, verdict: str) -> None:
    text = page(ScaleReport((a_core_cost(10, 1.0), a_core_cost(10_000, growth)), (), (), ""))

    assert f"| {verdict} | CPU of the core" in text
    assert "1 x 10,000 hosts" in text


def test_the_page_is_written_beside_the_others(report: ScaleReport, tmp_path: Path) -> None:
    write(tmp_path, report)

    text = (tmp_path / "scale.md").read_text(encoding="utf-8")
    assert "| held | no history of more than 500 events |" in text
    assert "sessionHosts.list" in text
