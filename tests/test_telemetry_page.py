"""docs/telemetry.md and the workbook name the metrics and spans that there are, and no others."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

from rollout.measuring import METRICS
from rollout.orders import activity_of
from rollout.steps import Step

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "telemetry.md").read_text("utf-8")


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page, without its first two lines."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_metric_is_told_as_it_is() -> None:
    told = rows_below("Metrics")

    assert told == [
        [f"`{name}`", metric.kind, f"`{metric.unit}`", ", ".join(f"`{a}`" for a in metric.attributes), metric.meaning]
        for name, metric in METRICS.items()
    ]


def test_every_span_is_told() -> None:
    told = {name for row in rows_below("Spans") for name in re.findall(r"`(\w+)`", row[0])}

    steps = {activity_of(step(*[""] * len(step.__struct_fields__))) for step in typing.get_args(Step)}
    assert told == {"decide_turn", "run_smoke_test", *steps}


def test_queries_ask_for_metrics_that_there_are() -> None:
    workbook = json.loads((ROOT / "infra" / "workbook.json").read_text("utf-8"))
    queries = [item["content"].get("query", "") for item in workbook["items"]]
    queries = [query for query in [*queries, *re.findall(r"```\n(.+?)```", PAGE, re.DOTALL)] if "AppMetrics" in query]
    named = {name for query in queries for name in re.findall(r"'((?:rollout|fleet|image)_\w+)'", query)}

    assert len(queries) == 5
    assert len(named) >= 5
    for name in named:
        assert name in METRICS or any(metric.startswith(name) for metric in METRICS if name.endswith("_")), name
