"""Alerts look for what the app really writes: each pattern finds its line in the golden stories."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from function_app import app
from tests.infra.rules import INFRA, ROOT

RULES: list[dict[str, Any]] = json.loads((INFRA / "alerts.json").read_text("utf-8"))
PATTERNS = {rule["name"]: match[1] for rule in RULES if (match := re.search("regex @'(.+)'", rule["query"]))}


def story_lines() -> list[str]:
    """Lines of all golden stories, as the log has them: "office: halted: ..."."""
    folder = ROOT / "tests" / "scenarios" / "golden"
    text = "\n".join(path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.is_file())
    return [
        f"{about}: {sentence}" for about, sentence in re.findall(r"^.{0,12}\d\d:\d\d  (\S+) +(.+)$", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_finds_what_the_app_writes_and_little_else(name: str) -> None:
    lines = story_lines()
    found = [line for line in lines if re.search(PATTERNS[name], line)]
    assert found
    assert len(found) < len(lines) / 20


def test_functions_named_in_queries_exist() -> None:
    functions = {function.get_function_name() for function in app.get_functions()}
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
    minutes = {"PT5M": 5, "PT15M": 15, "PT30M": 30, "PT1H": 60, "PT6H": 360, "P1D": 1440}
    assert all(minutes[rule["window"]] >= minutes[rule["every"]] for rule in RULES)


def test_names_are_told_apart() -> None:
    assert len({rule["name"] for rule in RULES}) == len(RULES)
