"""Holds a rollout back during a freeze, right before it would begin a ring, a host pool or a change of the gallery.

What is in hand goes on: host pools that are at work learn of the freeze themselves, gates are judged, people answer.
Nobody looks for a freeze as long as nothing is about to begin: a rollout that waits for Monday asks on Monday.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import structs

from rollout.assignments import ImageRollout
from rollout.gates import RingPhase
from rollout.ring_state import RolloutProgress
from rollout.ring_steps import AddRegions, ReadFreeze, RollPool, SetReplicas
from rollout.rings import RingsDecision, decide_rings

FRESH = timedelta(minutes=1)
"""So long a look at the freeze counts. It is asked for, and comes back, in the same second as a rule."""


def decide_unless_frozen(
    progress: RolloutProgress, rollout: ImageRollout, now: datetime, in_flight: Collection[str] = ()
) -> RingsDecision:
    """As decide_rings; but what begins something is decided only when there is no freeze at this moment."""
    decision = decide_rings(progress, rollout, now, in_flight)
    if not _begins(progress, decision):
        return decision
    if ReadFreeze().key in in_flight:
        return RingsDecision(progress, asked=decision.asked)
    look = progress.freeze_look
    if look is None or now - look.at > FRESH:
        return RingsDecision(progress, (ReadFreeze(),), asked=decision.asked)
    if look.freeze is None or now >= look.freeze.until:
        return decision
    told = structs.replace(progress, command=look.freeze.as_pause)
    still = decide_rings(told, rollout, now, in_flight)
    message = still.progress.message
    story = still.story if message == progress.message else (*still.story, ("", message))
    until = min(filter(None, (still.wake_at, look.freeze.until)))
    return structs.replace(
        still, progress=structs.replace(still.progress, command=progress.command), story=story, wake_at=until
    )


def _begins(before: RolloutProgress, decision: RingsDecision) -> bool:
    for step in decision.steps:
        if isinstance(step, RollPool | AddRegions) or (isinstance(step, SetReplicas) and step.purpose == "raise"):
            return True
    started = (RingPhase.ROLLING, RingPhase.PROVING, RingPhase.PASSED)
    # Without rings the only one, which has no name, begins at once and its host pools when their regions have come.
    return any(
        name and before.rings[name].phase is RingPhase.WAITING and ring.phase in started
        for name, ring in decision.progress.rings.items()
    )
