"""Who takes part, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from benchmarks import ours
from benchmarks.peers import federal, native, rebuild, replacer, windows
from benchmarks.peers.federal import Mode
from benchmarks.stage import Result, Stage
from benchmarks.workloads import Case

ALONE = "left alone"
"""The pool with no rollout at all: what is refused there is refused anyway."""

OURS = ("gentle", "overnight", "fast", "in_place_minimal")
"""The presets, under the case's limits."""


def _ours(preset: str) -> Callable[[Stage], None]:
    return lambda stage: ours.play(stage, preset)


def _native(stage: Stage) -> None:
    native.play(stage, min(stage.case.grace, native.LONGEST_DELAY))


def _native_with_our_grace(stage: Stage) -> None:
    native.play(stage, stage.case.grace)


def _alone(stage: Stage) -> None:
    stage.wait(timedelta(days=2))


CONTENDERS: Mapping[str, Callable[[Stage], None]] = {
    **{preset: _ours(preset) for preset in OURS},
    "native": _native,
    "native, our grace": _native_with_our_grace,
    "replacer": replacer.play,
    "federal": lambda stage: federal.play(stage, Mode.SIDE_BY_SIDE),
    "federal, capped": lambda stage: federal.play(stage, Mode.CAPPED),
    "federal, progressive": lambda stage: federal.play(stage, Mode.PROGRESSIVE),
    "federal, delete first": lambda stage: federal.play(stage, Mode.DELETE_FIRST),
    "rebuild": rebuild.play,
    "barrier": lambda stage: windows.play(stage, barrier=True),
    "sliding": lambda stage: windows.play(stage, barrier=False),
    ALONE: _alone,
}
"""Every contender."""


def contenders_of(case: Case) -> list[str]:
    """Those that differ in this case: with an hour's notice the service's own delay is that hour."""
    if case.only:
        return [*case.only, ALONE]
    twice = "native, our grace" if case.grace <= native.LONGEST_DELAY else ""
    return [name for name in CONTENDERS if name != twice]


def run(case: Case, contender: str, seed: int) -> Result:
    """Play one contender on the case with this seed; the same seed gives the same numbers."""
    stage = Stage(case, seed)
    CONTENDERS[contender](stage)
    return stage.result(contender)
