"""A freeze as data: when it stands, what cannot be read, what may be ordered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from rollout.freeze import LONGEST_FREEZE, Freeze, freeze_in, ordered

NOW = datetime(2026, 12, 20, 8, 0, tzinfo=UTC)
FREEZE = Freeze("raj@contoso.com", "the end of the year", NOW, NOW + timedelta(days=14))


def test_it_stands_until_its_last_moment_and_not_in_it() -> None:
    stored = msgspec.to_builtins(FREEZE)

    assert freeze_in(stored, FREEZE.until - timedelta(seconds=1)) == FREEZE
    assert freeze_in(stored, FREEZE.until) is None
    assert freeze_in(None, NOW) is None
    assert freeze_in({}, NOW) is None
    assert freeze_in("", NOW) is None


@pytest.mark.parametrize(
    "stored", ["text", [], {"by": 7}, {**msgspec.to_builtins(FREEZE), "until": "2026-12-21T08:00"}]
)
def test_what_cannot_be_read_counts_as_a_freeze(stored: object) -> None:
    standing = freeze_in(stored, NOW)

    assert standing is not None
    assert standing.until > NOW
    assert "cannot be read" in standing.reason


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1), NOW + LONGEST_FREEZE + timedelta(seconds=1)])
def test_one_that_is_over_already_or_lasts_for_ever_is_refused(until: datetime) -> None:
    refused = ordered("raj@contoso.com", "the end of the year", NOW, until)

    assert isinstance(refused, str)
    assert refused.startswith("until must be")


def test_a_host_pool_takes_it_for_a_pause_that_says_until_when() -> None:
    told = FREEZE.as_pause

    assert told.kind == "pause"
    assert told.spoken == "by raj@contoso.com: frozen until 2027-01-03 08:00 UTC: the end of the year"
