"""The table of alerts fits together. That each of them is raised when it must be is proved in tests/alerts."""

from __future__ import annotations

import json
import re
from typing import Any

from localhost.app import load_app
from tests.alerts.rules import deployed
from tests.infra.rules import INFRA, ROOT

RULES: list[dict[str, Any]] = json.loads((INFRA / "alerts.json").read_text("utf-8"))


def test_functions_named_in_queries_exist() -> None:
    functions = set(load_app(ROOT).functions)
    shown = json.loads((INFRA / "workbook.json").read_text("utf-8"))
    queries = [rule["query"] for rule in RULES] + [item["content"].get("query", "") for item in shown["items"]]
    named = {
        name
        for query in queries
        for group in re.findall(r"(?:Name|OperationName) (?:==|in) \(?((?:'\w+'(?:, )?)+)", query)
        for name in re.findall(r"'(\w+)'", group)
    }
    assert named
    assert named <= functions


def test_windows_hold_at_least_one_evaluation() -> None:
    assert all(rule.window >= rule.every for rule in deployed())


def test_a_column_that_is_told_apart_is_made_by_the_query() -> None:
    apart = [rule for rule in deployed() if rule.per]

    assert apart
    assert all(f"extend {rule.per} = " in rule.query and rule.lasts for rule in apart)


def test_names_are_told_apart() -> None:
    assert len({rule.name for rule in deployed()}) == len(deployed())


def test_nothing_that_an_alert_looks_for_is_sampled_away() -> None:
    sampling = json.loads((ROOT / "host.json").read_text("utf-8"))["logging"]["applicationInsights"]["samplingSettings"]
    types = {"AppTraces": "Trace", "AppRequests": "Request"}

    asked = {types[rule.query.split()[0]] for rule in deployed() if rule.query}
    assert asked <= set(sampling["excludedTypes"].split(";"))
