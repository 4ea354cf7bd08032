"""The deployed alert rules, read from infra/: log alerts from the table, metric alerts from the Bicep."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta

from tests.infra.rules import INFRA, bicep_files

_SPAN = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")
_METRIC_ALERT = re.compile(
    r"evaluationFrequency: '(?P<every>\w+)'\s+windowSize: '(?P<window>\w+)'.*?"
    r"name: '(?P<name>[\w-]+)'\s+metricName: '(?P<metric>\w+)'\s+operator: 'GreaterThan'\s+"
    r"threshold: (?P<threshold>\d+)\s+timeAggregation: 'Total'",
    re.DOTALL,
)


@dataclass(frozen=True)
class Rule:
    """An alert rule: every so often more than `threshold` of the last `window`.

    A log alert counts the rows of its `query`, for each value of the column `per` by itself if it has one; a metric
    alert adds up its `metric`. `lasts`: it is raised once until it is over, others anew each time.
    """

    name: str
    every: timedelta
    window: timedelta
    threshold: int
    lasts: bool = True
    query: str = ""
    per: str = ""
    metric: str = ""


def deployed() -> list[Rule]:
    """Every alert rule that infra/ deploys."""
    rules = [
        Rule(
            name=given["name"],
            every=span(given["every"]),
            window=span(given["window"]),
            threshold=given["threshold"],
            lasts=given["lasts"],
            query=given["query"],
            per=given["per"],
        )
        for given in json.loads((INFRA / "alerts.json").read_text("utf-8"))
    ]
    for path in bicep_files():
        text = path.read_text("utf-8")
        found = list(_METRIC_ALERT.finditer(text))
        assert len(found) == text.count("Microsoft.Insights/metricAlerts@"), f"{path.name} has an alert of another form"
        rules += [
            Rule(
                name=one["name"],
                every=span(one["every"]),
                window=span(one["window"]),
                threshold=int(one["threshold"]),
                metric=one["metric"],
            )
            for one in found
        ]
    return rules


def span(text: str) -> timedelta:
    """A duration of ISO 8601 in days, hours and minutes."""
    found = _SPAN.fullmatch(text)
    assert found, text
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)
