"""Random rollouts against the estate: every invariant holds in each, and a failure says how to see it again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from msgspec import structs

from rollout.model import Phase
from rollout.steps import Decision
from simulator.images import Flaws
from simulator.random_runs import Failure, main, run_seed
from simulator.rollout_run import Result, run
from simulator.situations import Situation, a_policy, draw_situation

CHUNK = 25
CHUNKS = 12
"""300 runs of 0.05 s each, in pieces that parallel test processes can share. Nightly: `dev.py simulate --seeds N`."""


@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_random_rollouts_break_no_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        result = run(draw_situation(seed))
        assert not result.violations, f"repeat it with: python3 dev.py simulate --seed {seed}"


def test_a_calm_rollout_succeeds() -> None:
    result = run(Situation(seed=1, policy=a_policy()))
    assert (result.phase, result.violations) == (Phase.SUCCEEDED, [])


def test_the_same_seed_gives_the_same_run() -> None:
    seeds = [next(seed for seed in range(50) if draw_situation(seed).troubles), 3, 4]
    assert [run_seed(seed) for seed in seeds] == [run_seed(seed) for seed in seeds]


def test_seeds_draw_a_wide_range_of_situations() -> None:
    drawn = [draw_situation(seed) for seed in range(300)]
    assert {situation.hosts for situation in drawn} >= {1, 2, 3, 12}
    assert max(situation.hosts for situation in drawn) > 30
    assert {situation.policy.strategy for situation in drawn} == {"surge", "in_place"}
    assert {situation.policy.drain.on_timeout for situation in drawn} == {"sign_out", "wait", "skip"}
    assert any(situation.policy.windows for situation in drawn)
    assert any(situation.faults for situation in drawn)
    assert any(situation.loop.reruns for situation in drawn)
    assert any(situation.policy.retain_outdated and situation.goes_back for situation in drawn)
    assert {situation.policy.on_failure for situation in drawn} == {"halt", "roll_back"}


@pytest.mark.parametrize("retained", [timedelta(0), timedelta(days=2)])
def test_an_operator_rolls_a_rollout_back_that_has_succeeded(retained: timedelta) -> None:
    result = run(Situation(seed=1, policy=a_policy(retain_outdated=retained), goes_back=True))

    assert (result.phase, result.violations) == (Phase.ROLLED_BACK, [])
    assert any("rolled back to 1.0.0: 6 hosts are in service" in line for line in result.story)
    assert any("again, kept on 1.0.0" in line for line in result.story) is bool(retained)


def test_a_bad_image_rolls_the_pool_back_where_the_policy_says_so() -> None:
    result = run(Situation(seed=1, policy=a_policy(on_failure="roll_back"), flaws=Flaws(unhealthy=True)))

    assert (result.phase, result.violations) == (Phase.ROLLED_BACK, [])


def test_the_command_ends_with_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["seeds"] == 4
    assert line["violations"] == line["stuck"] == 0
    assert sum(line["phases"].values()) == 4
    assert line.keys() >= {"steps", "faults", "seconds"}


def test_the_command_tells_the_story_of_one_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0
    assert "ended as" in capsys.readouterr().err


def test_a_failing_seed_is_reported_with_what_broke_what_came_before_and_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(seed: int) -> Result | Failure:
        broken = ["NobodyCutOff (S8): somebody was cut off"] if seed == 1 else []
        return Failure(seed, broken, ["Mon 08:00 avd-001 is removed"], "4 hosts") if broken else run_seed(seed)

    assert main(["--seeds", "3", "--json"], run_one=fails) == 1
    said = capsys.readouterr()
    assert "NobodyCutOff (S8): somebody was cut off" in said.err
    assert "avd-001 is removed" in said.err
    assert "python3 dev.py simulate --seed 1" in said.err
    assert json.loads(said.out.splitlines()[-1])["failing_seeds"] == [1]


def test_a_rollout_that_never_moves_is_reported_as_stuck() -> None:
    def does_nothing(state, snapshot, policy, now):  # type: ignore[no-untyped-def]  # stands in for `decide`
        return Decision(state=structs.replace(state, message="waiting"), wake_at=now + timedelta(hours=1))

    result = run(Situation(seed=1, policy=a_policy(), hosts=1, load=0), decide=does_nothing)
    assert result.stuck
    assert [violation.checker for violation in result.violations] == ["ReachesAnEnd"]
