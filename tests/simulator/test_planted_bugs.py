"""Known bugs, planted in a run: the checker that is there for them finds each within a few seeds."""

from __future__ import annotations

import pytest

from simulator.planted_bugs import PLANTED_BUGS, PlantedBug
from simulator.rollout_run import run

SEEDS = 30


@pytest.mark.parametrize("bug", PLANTED_BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_by_its_checker(bug: PlantedBug) -> None:
    for seed in range(SEEDS):
        result = run(bug.situation(seed), decide=bug.decide, execute=bug.execute)
        if any(violation.checker == bug.caught_by for violation in result.violations):
            without = run(bug.situation(seed))
            assert not without.violations, "it is the bug that the checker has found"
            return
    pytest.fail(f"{SEEDS} seeds, and {bug.caught_by} has not found that the rollout {bug.name}")
