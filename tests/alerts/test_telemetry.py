"""The evaluation of alert rules: it honours how often, over which stretch and beyond which number a rule is raised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb_kql
import pytest

from localhost import ActivityFinished, EpisodeFinished, FunctionFinished, LogLine
from localhost.events import HostEvent
from rollout.policy import hours, minutes
from tests.alerts.rules import Rule, deployed, span
from tests.alerts.telemetry import Telemetry

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LINES = "AppTraces | where Message startswith 'a line'"
RULE = Rule("lines", minutes(15), minutes(30), 2, query=LINES)


def lines(*after: int) -> Telemetry:
    """Lines so many minutes after noon."""
    telemetry = Telemetry()
    for minute in after:
        telemetry.log(NOON + minutes(minute), f"a line {minute}")
    telemetry.log(NOON, "another one")
    return telemetry


def raised(telemetry: Telemetry, rule: Rule = RULE) -> list[int]:
    """Minutes after noon at which the rule was raised, in a run of three hours."""
    times = telemetry.raised(NOON, NOON + hours(3), [rule]).get(rule.name, [])
    return [(at - NOON) // minutes(1) for at in times]


def test_the_threshold_must_be_passed_within_one_window() -> None:
    assert raised(lines(1, 2)) == []
    assert raised(lines(1, 2, 40)) == []
    assert raised(lines(1, 2, 3)) == [15]
    assert raised(lines(16, 20, 44)) == [45]
    assert raised(lines(14, 16, 44)) == []  # within half an hour, and yet in no window
    assert raised(lines(15, 16, 45)) == []  # at 45 the window begins after 15


def test_what_lasts_is_raised_once_until_it_is_over_and_an_event_each_time() -> None:
    telemetry = lines(*range(1, 60, 5), *range(121, 150, 5))

    assert raised(telemetry) == [15, 135]
    assert raised(telemetry, replace(RULE, lasts=False)) == [15, 30, 45, 60, 75, 135, 150, 165]


def test_a_rule_counts_each_value_of_its_column_by_itself() -> None:
    query = f"{LINES} | extend Tens = extract(@'(\\d)\\d$', 1, Message)"
    per = replace(RULE, query=query, per="Tens", threshold=1)

    assert raised(lines(11, 22, 33), per) == []
    assert raised(lines(11, 12, 22), per) == [15]


def test_rows_may_be_counted_after_they_were_gathered() -> None:
    gathered = replace(RULE, query=f"{LINES} | summarize n = count() by bin(TimeGenerated, 5m)", threshold=1)

    assert raised(lines(1, 2, 3), gathered) == []
    assert raised(lines(1, 6), gathered) == [15]


def test_a_metric_is_added_up() -> None:
    telemetry = Telemetry()
    telemetry.count("Dead", [NOON + minutes(70)])

    assert raised(telemetry, Rule("dead", minutes(15), hours(1), 0, metric="Dead")) == [75]
    assert raised(telemetry, Rule("dead", minutes(15), hours(1), 1, metric="Dead")) == []


@pytest.mark.parametrize(
    ("event", "row"),
    [
        (ActivityFinished(NOON, "i", "decide_turn", 1, "{}", "{}", None, 1.0), True),
        (ActivityFinished(NOON, "i", "decide_turn", 1, "{}", None, "MemoryError: ", 1.0), False),
        (EpisodeFinished(NOON, "i", "roll_host_pool", 3, 0.1, "Running"), True),
        (EpisodeFinished(NOON, "i", "roll_host_pool", 3, 0.1, "Failed"), False),
        (FunctionFinished(NOON, "sweep", "timerTrigger", "ValueError: ", 0.1), False),
    ],
)
def test_a_function_succeeds_unless_it_raises(event: HostEvent, row: bool) -> None:
    telemetry = Telemetry()
    telemetry.take(event)
    failed = Rule(
        "failed", minutes(15), minutes(30), 0, query="AppRequests | where Success == false and ResultCode == '0'"
    )

    assert bool(raised(telemetry, failed)) is not row


def test_a_request_over_http_has_its_status_for_a_result() -> None:
    telemetry = Telemetry()
    telemetry.take(FunctionFinished(NOON, "list_rollouts", "httpTrigger", "ValueError: ", 0.1))

    assert not telemetry.raised(NOON, NOON + hours(1))


def test_lines_have_the_severity_of_their_level_and_the_local_hosts_own_are_none() -> None:
    telemetry = Telemetry()
    telemetry.take(LogLine(NOON, "goldroll", "ERROR", "a line"))
    telemetry.take(LogLine(NOON, "localhost.triggers", "ERROR", "a line"))
    errors = replace(RULE, query=f"{LINES} and SeverityLevel >= 3")

    assert raised(telemetry, replace(errors, threshold=0)) == [0]
    assert raised(telemetry, replace(errors, threshold=1)) == []


@pytest.mark.parametrize("wrong", ["AppTraces | wherex Message == 'a'", "AppTraces | where Message matches 'a'", "|"])
def test_a_query_that_cannot_be_read_is_an_error(wrong: str) -> None:
    with pytest.raises(duckdb_kql.KqlError):
        raised(lines(1), replace(RULE, query=wrong))


@pytest.mark.parametrize("wrong", ["AppTraces | where Massage == 'a'", "AppTrace | where Message == 'a'"])
def test_a_query_of_what_is_not_there_is_an_error(wrong: str) -> None:
    with pytest.raises(Exception, match=r"Massage|AppTrace "):
        raised(lines(1), replace(RULE, query=wrong))


def test_a_query_that_would_make_a_row_of_none_is_not_evaluated() -> None:
    with pytest.raises(AssertionError, match="may"):
        raised(lines(1), replace(RULE, query=f"{LINES} | summarize count()"))


def test_every_deployed_rule_can_be_evaluated_and_is_silent_where_nothing_happens() -> None:
    assert Telemetry().raised(NOON, NOON + hours(1)) == {}


def test_spans() -> None:
    assert [span(text) for text in ("PT5M", "PT1H30M", "P1D")] == [minutes(5), minutes(90), timedelta(days=1)]
    assert all(rule.every > timedelta() and rule.window >= rule.every for rule in deployed())
