"""What grows with the pool and what must not: measured by the benchmark on small pools."""

from __future__ import annotations

import json

import pytest

from benchmarks import scale
from benchmarks.scale import ScaleReport


@pytest.fixture(scope="module")
def report() -> ScaleReport:
    return scale.measure([4, 16], [1, 2])


def test_every_pool_is_rolled_to_its_end(report: ScaleReport) -> None:
    assert [(cost.hosts, cost.pools, cost.phases) for cost in report.core] == [
        (4, 1, {"Succeeded": 1}),
        (16, 1, {"Succeeded": 1}),
        (scale.HOSTS_OF_MANY_POOLS, 2, {"Succeeded": 2}),
    ]
    assert [(cost.hosts, cost.phase) for cost in report.app] == [(4, "Succeeded"), (16, "Succeeded")]


def test_a_turn_takes_as_many_calls_in_a_larger_pool(report: ScaleReport) -> None:
    small, large = report.app
    assert large.calls_per_turn < small.calls_per_turn + 1
    assert large.calls_per_host < small.calls_per_host


def test_what_each_action_costs_is_told(report: ScaleReport) -> None:
    for cost in report.app:
        assert cost.calls_per_action["provision_host"] == 1
        assert cost.calls_per_action["remove_host"] <= 4
        assert sum(cost.calls.values()) == round(cost.calls_per_host * cost.hosts)


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
