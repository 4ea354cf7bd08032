"""docs/operations.md tells of every alert and every phase, and of no other."""

from __future__ import annotations

import json
import re

from rollout.model import Phase
from tests.infra.rules import INFRA, ROOT


def names_below(heading: str) -> list[str]:
    """First cells of the table below a heading of the page."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)


def test_every_phase_is_told_once_in_the_models_order() -> None:
    assert names_below("Phases") == [phase.value for phase in Phase]


def test_every_alert_is_told_once_and_none_that_is_not_deployed() -> None:
    logs = [rule["name"] for rule in json.loads((INFRA / "alerts.json").read_text("utf-8"))]
    modules = "\n".join(path.read_text("utf-8") for path in sorted((INFRA / "modules").glob("*.bicep")))
    metrics = re.findall(r"criterionType: '\w+'\n\s+name: '([\w-]+)'", modules)
    assert len(metrics) == modules.count("Microsoft.Insights/metricAlerts@")
    assert names_below("Alerts") == logs + metrics
