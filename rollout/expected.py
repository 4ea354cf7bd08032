"""What a plan had led people to expect of a host pool's rollout, and how it went in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from rollout.model import Phase
from rollout.status import PoolStatus

Seconds = Annotated[float, Meta(ge=0, le=366 * 86400)]
People = Annotated[float, Meta(ge=0, le=1_000_000)]


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan's forecast of one pool in short: seconds from start to end, and people who are signed out by force."""

    duration_p50: Seconds
    duration_p95: Seconds
    forced_p50: People
    forced_p95: People


def compared(expected: Expected, status: PoolStatus) -> str:
    """In a sentence how a pool's rollout that has ended went against what was expected of it."""
    if status.phase not in (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS) or not (status.started and status.since):
        return f"{status.pool}: the plan foresaw success, it ended as {status.phase}"
    took = status.since - status.started
    likely, longest = timedelta(seconds=expected.duration_p50), timedelta(seconds=expected.duration_p95)
    late = ", longer than that" if took > longest else ""
    worse = ", more than that" if status.forced_sign_outs > expected.forced_p95 else ""
    return (
        f"{status.pool}: took {_spoken(took)}, planned {_spoken(likely)} and at most {_spoken(longest)}{late}; "
        f"{status.forced_sign_outs} forced sign-outs, planned {expected.forced_p50:.0f} and at most "
        f"{expected.forced_p95:.0f}{worse}"
    )


def _spoken(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
