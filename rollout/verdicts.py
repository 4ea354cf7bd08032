"""What a rollout has found out about an image version, kept as tags on the version itself.

The version is the one thing that lives as long as its verdict does: Durable forgets what has ended, a new deployment of
the app knows nothing, and people read tags in the portal. Whoever gives a verdict writes all four tags at once, and in
the same call sets or clears `excludeFromLatest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

VERDICT_TAG = "goldroll-verdict"
"""Tag of an image version: `good`, `failed` or `vetoed`. No tag: nothing is known of it."""

VERDICT_REASON_TAG = "goldroll-verdict-reason"
"""Why, in one sentence."""

VERDICT_TIME_TAG = "goldroll-verdict-at"
"""When, as ISO 8601 in UTC."""

VERDICT_BY_TAG = "goldroll-verdict-by"
"""Who: the id of a rollout, or a person."""

LONGEST_VALUE = 256
"""Azure takes no longer value of a tag."""


class Verdict(StrEnum):
    """What is known of an image version.

    `good`: a rollout has brought it through its last required gate. `failed`: a rollout was halted by it. `vetoed`: a
    person, or a roll back, has refused it. The other two are not written: `unproven` is a version without the tag,
    `unreadable` one whose tag holds another word, which counts as neither good nor bad.
    """

    GOOD = "good"
    FAILED = "failed"
    VETOED = "vetoed"
    UNPROVEN = "unproven"
    UNREADABLE = "unreadable"


BAD = frozenset({Verdict.FAILED, Verdict.VETOED})
"""Verdicts on versions that nothing may be made from any more: they stay excluded from latest."""

_WRITTEN = (Verdict.GOOD, Verdict.FAILED, Verdict.VETOED)
_TAGS = (VERDICT_TAG, VERDICT_REASON_TAG, VERDICT_TIME_TAG, VERDICT_BY_TAG)


class Finding(Struct, frozen=True, omit_defaults=True):
    """A verdict with why, when and by whom; what a tag does not tell is empty or None."""

    verdict: Verdict
    reason: str = ""
    at: datetime | None = None
    by: str = ""


def verdict_of(tags: Mapping[str, str]) -> Verdict:
    """The verdict that a version's tags tell, in any case of letters: Azure keeps the case of tags and ignores it."""
    word = _value(tags, VERDICT_TAG).strip().lower()
    if not word:
        return Verdict.UNPROVEN
    return next((verdict for verdict in _WRITTEN if verdict == word), Verdict.UNREADABLE)


def is_good(tags: Mapping[str, str]) -> bool:
    """The version has been proven."""
    return verdict_of(tags) is Verdict.GOOD


def is_bad(tags: Mapping[str, str]) -> bool:
    """The version has failed or was vetoed."""
    return verdict_of(tags) in BAD


def finding_of(tags: Mapping[str, str]) -> Finding:
    """The verdict that a version's tags tell, with all that they tell about it."""
    return Finding(
        verdict_of(tags),
        _value(tags, VERDICT_REASON_TAG),
        _time(_value(tags, VERDICT_TIME_TAG)),
        _value(tags, VERDICT_BY_TAG),
    )


def with_finding(tags: Mapping[str, str], finding: Finding) -> dict[str, str]:
    """The tags with this finding in place of the one they told; every other tag stays.

    Raises ValueError for a verdict that is not written (`unproven`, `unreadable`); see without_finding.
    """
    if finding.verdict not in _WRITTEN:
        raise ValueError(f"{finding.verdict} is not a verdict that can be given")
    told = {
        VERDICT_TAG: finding.verdict.value,
        VERDICT_REASON_TAG: finding.reason,
        VERDICT_TIME_TAG: finding.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if finding.at else "",
        VERDICT_BY_TAG: finding.by,
    }
    return without_finding(tags) | {name: value[:LONGEST_VALUE] for name, value in told.items() if value}


def without_finding(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a version that is unproven again; every tag that is not of a verdict stays."""
    return {name: value for name, value in tags.items() if name.lower() not in _TAGS}


def _value(tags: Mapping[str, str], name: str) -> str:
    return next((value for key, value in tags.items() if key.lower() == name), "")


def _time(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read.replace(tzinfo=UTC) if read.tzinfo is None else read).astimezone(UTC)
