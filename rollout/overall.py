"""What a rollout as a whole has come to, from what its host pools have come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rollout.model import Phase

_WORST_FIRST = (Phase.HALTED, Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED, Phase.SUPERSEDED)


def overall_phase(
    pools: Iterable[Phase], *, regions_missed: bool = False, rejected: bool = False, halted: bool = False
) -> Phase:
    """The phase of the whole from the final phases of its pools; `rejected`: a ring's gates did not hold.

    The first that applies: Halted if any pool halted, because then the image is suspect everywhere, if it was rejected,
    or if the whole was `halted` for want of a region; RolledBack if any was; Failed if any failed, or if every one was
    refused; Aborted if any was; Superseded if any was; Failed if any was blocked, by whatever; SucceededWithSkips if
    any skipped hosts or was refused, or a region of the policy was missed; else Succeeded.
    """
    phases = Counter(pools)
    if rejected or halted:
        return Phase.HALTED
    for phase in _WORST_FIRST:
        if phases[phase]:
            return phase
    if phases[Phase.BLOCKED] or phases[Phase.REFUSED] == phases.total():
        return Phase.FAILED
    if phases[Phase.REFUSED] or phases[Phase.SUCCEEDED_WITH_SKIPS] or regions_missed:
        return Phase.SUCCEEDED_WITH_SKIPS
    return Phase.SUCCEEDED


def phase_of_roll_back(pools: Iterable[Phase]) -> Phase:
    """The phase of a roll back as a whole from the final phases of its pools: the worst of them."""
    phases = Counter(pools)
    if phases[Phase.HALTED]:
        return Phase.HALTED
    if phases[Phase.FAILED] or phases[Phase.REFUSED]:
        return Phase.FAILED
    return next((phase for phase in (Phase.ABORTED, Phase.SUPERSEDED) if phases[phase]), Phase.ROLLED_BACK)


def summary(pools: Iterable[Phase]) -> str:
    """One sentence on how many pools stand where: "2 host pools: 1 Succeeded, 1 Halted"."""
    phases = Counter(pools)
    counts = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    return f"{phases.total()} host pool{'s' if phases.total() != 1 else ''}: {counts}"
