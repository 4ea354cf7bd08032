"""What a rollout as a whole has come to."""

from __future__ import annotations

import pytest

from rollout.model import Phase
from rollout.overall import overall_phase, summary

GOOD, SKIPS, HALTED = Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS, Phase.HALTED
FAILED, REFUSED, SUPERSEDED = Phase.FAILED, Phase.REFUSED, Phase.SUPERSEDED


@pytest.mark.parametrize(
    ("pools", "whole"),
    [
        ([GOOD], GOOD),
        ([GOOD, GOOD], GOOD),
        ([GOOD, SKIPS], SKIPS),
        ([GOOD, REFUSED], SKIPS),
        ([REFUSED], FAILED),
        ([REFUSED, REFUSED], FAILED),
        ([GOOD, SUPERSEDED], SUPERSEDED),
        ([SUPERSEDED, FAILED], FAILED),
        ([FAILED, GOOD, GOOD], FAILED),
        ([HALTED, FAILED, SUPERSEDED], HALTED),
        ([], FAILED),
    ],
)
def test_the_worst_that_says_something_about_the_image_comes_first(pools: list[Phase], whole: Phase) -> None:
    assert overall_phase(pools) is whole
    assert overall_phase(reversed(pools)) is whole


def test_a_missed_region_is_no_full_success() -> None:
    assert overall_phase([GOOD], regions_missed=True) is SKIPS
    assert overall_phase([HALTED], regions_missed=True) is HALTED


def test_blocked_pools_add_nothing_to_what_blocked_them() -> None:
    assert overall_phase([HALTED, Phase.BLOCKED]) is HALTED
    assert overall_phase([SUPERSEDED, Phase.BLOCKED]) is SUPERSEDED
    assert overall_phase([REFUSED, Phase.BLOCKED]) is FAILED


def test_a_rejected_version_is_halted_however_well_its_pools_are() -> None:
    assert overall_phase([GOOD, Phase.BLOCKED], rejected=True) is HALTED


def test_the_summary_counts() -> None:
    assert summary([GOOD, HALTED, GOOD]) == "3 host pools: 2 Succeeded, 1 Halted"
    assert summary([GOOD]) == "1 host pool: 1 Succeeded"
