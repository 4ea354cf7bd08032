"""The verdict on an image version: written as tags, read from whatever the tags say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rollout.verdicts import (
    VERDICT_BY_TAG,
    VERDICT_REASON_TAG,
    VERDICT_TAG,
    VERDICT_TIME_TAG,
    Finding,
    Verdict,
    finding_of,
    is_bad,
    is_good,
    verdict_of,
    with_finding,
    without_finding,
)

AT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
REJECTED = Finding(Verdict.VETOED, "printing does not work", AT, "ada@contoso.com")


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ({}, Verdict.UNPROVEN),
        ({"cost-centre": "17"}, Verdict.UNPROVEN),
        ({VERDICT_TAG: "good"}, Verdict.GOOD),
        ({VERDICT_TAG: "failed"}, Verdict.FAILED),
        ({VERDICT_TAG: "vetoed"}, Verdict.VETOED),
        ({"Goldroll-Verdict": " Good "}, Verdict.GOOD),
        ({VERDICT_TAG: "fine"}, Verdict.UNREADABLE),
        ({VERDICT_TAG: "unproven"}, Verdict.UNREADABLE),
        ({VERDICT_TAG: ""}, Verdict.UNPROVEN),
    ],
)
def test_a_verdict_is_read_from_the_tag_in_any_case_of_letters(tags: dict[str, str], verdict: Verdict) -> None:
    assert verdict_of(tags) is verdict


def test_a_word_that_is_no_verdict_is_neither_good_nor_bad() -> None:
    assert not is_good({VERDICT_TAG: "fine"})
    assert not is_bad({VERDICT_TAG: "fine"})
    assert is_good({VERDICT_TAG: "good"})
    assert is_bad({VERDICT_TAG: "failed"})
    assert is_bad({VERDICT_TAG: "vetoed"})


def test_what_was_found_comes_back_from_the_tags() -> None:
    assert finding_of(with_finding({"cost-centre": "17"}, REJECTED)) == REJECTED


def test_a_new_verdict_replaces_every_tag_of_the_old_one_and_keeps_the_others() -> None:
    tags = with_finding({"cost-centre": "17", "GOLDROLL-VERDICT": "failed"}, REJECTED)
    assert with_finding(tags, Finding(Verdict.GOOD)) == {"cost-centre": "17", VERDICT_TAG: "good"}


def test_a_verdict_taken_back_leaves_the_other_tags() -> None:
    assert without_finding(with_finding({"cost-centre": "17"}, REJECTED)) == {"cost-centre": "17"}


def test_a_reason_longer_than_a_tag_may_be_is_cut() -> None:
    tags = with_finding({}, Finding(Verdict.FAILED, "x" * 300))
    assert len(tags[VERDICT_REASON_TAG]) == 256


def test_a_time_is_written_in_utc_and_one_that_cannot_be_read_is_none() -> None:
    zurich = AT.astimezone(timezone(timedelta(hours=1)))
    assert with_finding({}, Finding(Verdict.GOOD, at=zurich))[VERDICT_TIME_TAG] == "2026-11-20T08:00:00Z"
    assert finding_of({VERDICT_TAG: "good", VERDICT_TIME_TAG: "yesterday", VERDICT_BY_TAG: "ada"}) == Finding(
        Verdict.GOOD, by="ada"
    )


@pytest.mark.parametrize("verdict", [Verdict.UNPROVEN, Verdict.UNREADABLE])
def test_only_a_verdict_can_be_written(verdict: Verdict) -> None:
    with pytest.raises(ValueError, match="not a verdict that can be given"):
        with_finding({}, Finding(verdict))
