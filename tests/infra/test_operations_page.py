"""docs/operations.md tells of every alert and every phase, and of no other."""

from __future__ import annotations

import re

from rollout.model import Phase
from tests.alerts.rules import deployed
from tests.infra.rules import ROOT


def names_below(heading: str) -> list[str]:
    """First cells of the table below a heading of the page."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)


def test_every_phase_is_told_once_in_the_models_order() -> None:
    assert names_below("Phases") == [phase.value for phase in Phase]


def test_every_alert_is_told_once_and_none_that_is_not_deployed() -> None:
    assert names_below("Alerts") == [rule.name for rule in deployed()]
