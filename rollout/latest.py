"""`latest` is earned: a version is excluded from latest until it has passed its last ring, and again when it fails.

The verdict goes onto the version in the same call; see verdicts.py. Every call may be repeated.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from rollout.ring_steps import MarkVersion
from rollout.steps import StepError
from rollout.verdicts import LONGEST_VALUE, Finding, Verdict

MOST_ATTEMPTS = 20
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=1)
"""Azure refuses to change a version that is being replicated: twenty attempts take seventeen hours."""


class MarkState(Struct, frozen=True, omit_defaults=True):
    """What the version shall carry, what it carries (`done`), and how often Azure has refused to write it."""

    wanted: MarkVersion | None = None
    done: Literal["", "hold_back", "promote", "refuse"] = ""
    attempts: int = 0
    retry_at: datetime | None = None
    error: str = ""

    @property
    def is_settled(self) -> bool:
        """Nothing is left to be written, or it has been tried often enough."""
        return self.wanted is None or self.done == self.wanted.kind or self.attempts >= MOST_ATTEMPTS

    @property
    def has_failed(self) -> bool:
        """What is wanted could not be written."""
        return self.wanted is not None and self.done != self.wanted.kind and self.attempts >= MOST_ATTEMPTS


def want(state: MarkState, mark: MarkVersion) -> MarkState:
    """The version shall carry this from now on; asking for what is wanted already changes nothing."""
    if state.wanted is not None and state.wanted.kind == mark.kind:
        return state
    return MarkState(mark, done=state.done)


def hold_back() -> MarkVersion:
    """Nobody gets an unproven version by asking for the latest."""
    return MarkVersion("hold_back", excluded=True)


def promote(rollout: str, message: str, now: datetime) -> MarkVersion:
    """The version has passed its last ring."""
    return MarkVersion("promote", excluded=False, finding=_finding(Verdict.GOOD, message, rollout, now))


def refuse(verdict: Verdict, by: str, message: str, now: datetime) -> MarkVersion:
    """The version has failed, or was vetoed."""
    return MarkVersion("refuse", excluded=True, finding=_finding(verdict, message, by, now))


def due(state: MarkState, now: datetime) -> MarkVersion | None:
    """What is to be written now, None when nothing is."""
    if state.is_settled or (state.retry_at is not None and now < state.retry_at):
        return None
    return state.wanted


def recorded(
    state: MarkState, kind: Literal["hold_back", "promote", "refuse"], error: StepError | None, now: datetime
) -> MarkState:
    """What became of writing a mark: done, or, with an error, once more after a pause that grows."""
    if state.wanted is None or state.wanted.kind != kind:
        # Meanwhile something else is wanted, which is written next whatever became of this.
        return state
    if error is None:
        return structs.replace(state, done=kind, error="")
    pause = max(min(FIRST_PAUSE * 2**state.attempts, LONGEST_PAUSE), timedelta(seconds=error.retry_after))
    why = f"{error.code}: {error.message}"
    return structs.replace(state, attempts=state.attempts + 1, retry_at=now + pause, error=why)


def told_of(mark: MarkVersion, before: MarkState, error: StepError | None) -> str:
    """The sentence to tell of a mark that was, or was not, written; "" where the same has been told before."""
    if error is None:
        return _TOLD[mark.kind] + (f", marked {mark.finding.verdict}" if mark.finding is not None else "")
    return "" if before.error else f"the image version cannot be marked yet: {error.code}: {error.message}"


_TOLD = {
    "hold_back": "the version is excluded from latest until it has earned it",
    "promote": "the version is the latest from now on",
    "refuse": "the version is excluded from latest",
}


def _finding(verdict: Verdict, reason: str, by: str, now: datetime) -> Finding:
    return Finding(verdict, reason[:LONGEST_VALUE], now, by)
