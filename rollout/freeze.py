"""A freeze: for a while nothing begins anywhere. Who has ordered it, why, and until when.

During a freeze a rollout finishes what it has in hand, as a paused one does, and begins no further ring, host pool or
host. It ends by itself, because a freeze that is forgotten keeps old images in service.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from rollout.commands import LONGEST_NAME, LONGEST_REASON, Command

LONGEST_FREEZE = timedelta(days=30)

UNREADABLE = timedelta(hours=1)
"""How long at a time rollouts stand still while nobody can tell whether there is a freeze."""


class Freeze(Struct, frozen=True):
    """A freeze: `by` whom, the `reason`, `since` when and `until` when (aware, UTC; it is over at `until`)."""

    by: str
    reason: str
    since: datetime
    until: datetime

    @property
    def spoken(self) -> str:
        """As the end of a sentence: "until 2026-12-01 07:00 UTC by raj@contoso.com: the end of the year"."""
        return f"until {self.until:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"

    @property
    def as_pause(self) -> Command:
        """What a host pool's rollout is told during it: to stand still, as if it was paused."""
        why = f"frozen until {self.until:%Y-%m-%d %H:%M} UTC: {self.reason}"
        return Command("pause", self.by, why[:LONGEST_REASON], self.since)


class FreezeAnswer(Struct, frozen=True, omit_defaults=True):
    """Whether there is a freeze now."""

    freeze: Freeze | None = None


def freeze_in(stored: Any, now: datetime) -> Freeze | None:
    """The freeze that stands now, by what is stored of it: a Freeze as a JSON object.

    None, an empty object and an empty text, as an entity has that has only been asked, are no freeze.

    What cannot be read counts as a freeze: somebody may have ordered one.
    """
    if stored in (None, "", {}):
        return None
    try:
        freeze = msgspec.convert(stored, Freeze)
        stands = freeze.since.tzinfo is not None and freeze.until.tzinfo is not None
    except msgspec.ValidationError:
        stands = False
    if not stands:
        why = "what is stored of the freeze cannot be read; order one, or end it, to mend that"
        return Freeze("Goldroll", why, now, now + UNREADABLE)
    return freeze if now < freeze.until else None


def ordered(by: str, reason: str, since: datetime, until: datetime) -> Freeze | str:
    """A freeze of the given moments, or the sentence that says why it cannot be."""
    if until <= since:
        return f"until must be in the future, and {until:%Y-%m-%d %H:%M} UTC is not"
    if until - since > LONGEST_FREEZE:
        return f"until must be within {LONGEST_FREEZE.days} days, at {since + LONGEST_FREEZE:%Y-%m-%d %H:%M} UTC"
    return Freeze(by[:LONGEST_NAME], reason[:LONGEST_REASON], since, until)
