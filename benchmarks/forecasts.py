"""Scores the plan's forecast against what the simulator then does: how often is it later, or worse, than foretold?

The forecast sees what an operator's plan would see: the pool at the start, and the policy. The people of the simulated
estate follow habits of their own, which it does not know.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from msgspec import structs

from benchmarks.ours import play, policy_for
from benchmarks.stage import Stage
from benchmarks.workloads import CASES, Case
from forecast.runs import PoolForecast, forecast
from rollout.policy import PeoplePolicy, PoolPolicy
from simulator.direct import DirectAzure
from simulator.workload import Pattern

FORETOLD = ("office_day", "office_day_8h", "office_night", "shifts", "half_empty", "small", "long_sessions", "slow")
"""Cases in which nothing fails: a plan does not foretell failures."""

PRESETS = ("", "gentle", "overnight", "fast", "in_place_minimal")

HOSTS = 40
"""Larger pools of the cases are cut to so many hosts, so that many runs can be compared."""


BEGIN, END = "<!-- calibration -->", "<!-- /calibration -->"


@dataclass(frozen=True, slots=True)
class Score:
    """What was foretold of one run and what happened; times in hours."""

    case: str
    preset: str
    seed: int
    foretold: PoolForecast
    hours: float | None
    forced: int


def score(case: Case, preset: str, seed: int) -> Score:
    """Foretell one run, then let it happen."""
    stage = Stage(case, seed)
    policy = policy_for(stage, preset)
    planned = _with_people(policy, case)
    snapshot = DirectAzure(stage.estate, stage.office.pool_id, "plan", stage.target, policy).observe(())
    foretold = forecast(snapshot, planned, stage.target, stage.clock())
    play(stage, preset)
    result = stage.result(preset)
    return Score(case.name, preset, seed, foretold, result.hours, result.forced)


def _with_people(policy: PoolPolicy, case: Case) -> PoolPolicy:
    """The policy with what its administrator would have said about people: their hours, nothing of how they behave."""
    if case.people.pattern is Pattern.SHIFTS:
        people = PeoplePolicy(work="around_the_clock")
    else:
        people = PeoplePolicy(begins=_time(case.people.arrives), ends=_time(case.people.leaves))
    return structs.replace(policy, people=people)


def _time(hour: float) -> str:
    return f"{int(hour):02}:{round(hour % 1 * 60):02}"


def _cut(case: Case) -> Case:
    if case.hosts <= HOSTS:
        return case
    share = HOSTS / case.hosts
    return replace(
        case,
        hosts=HOSTS,
        empty=round(case.empty * share),
        at_a_time=max(2, round(case.at_a_time * share)),
        horizon=case.horizon + timedelta(days=1),
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often reality was beyond what was foretold, of `runs` runs: it should be half of them, and one in twenty.

    `late` counts runs that took longer, `worse` those with more forced sign-outs, each than the median and than the
    95th percentile; equal values count as foretold. `width` is the foretold 95th percentile of the time in proportion
    to the median, on average: a forecast that is never wrong because it says "at most a year" would be of no use.
    """

    runs: int
    late_p50: int
    late_p95: int
    worse_p50: int
    worse_p95: int
    not_foretold: int
    width: float


def calibration(found: Sequence[Score]) -> Calibration:
    """The calibration of these scores; runs of which it was foretold that they do not end count in `not_foretold`."""
    timed = [(score, score.foretold.duration) for score in found if score.hours is not None]
    known = [(score.hours * 3600, span) for score, span in timed if span is not None and score.hours is not None]
    return Calibration(
        runs=len(found),
        late_p50=sum(took > span.p50 for took, span in known),
        late_p95=sum(took > span.p95 for took, span in known),
        worse_p50=sum(score.forced > score.foretold.forced_sign_outs.p50 for score in found),
        worse_p95=sum(score.forced > score.foretold.forced_sign_outs.p95 for score in found),
        not_foretold=len(found) - len(known),
        width=round(sum(span.p95 / span.p50 for _, span in known) / max(1, len(known)), 2),
    )


def main(*, seeds: int, jobs: int, as_json: bool, document: Path | None) -> int:
    """Score, print a table, write `document` if there is one; 0 when reality exceeds p95 in at most 1 run of 20."""
    cases = [_cut(case) for case in CASES if case.name in FORETOLD]
    todo = [(case, preset, seed) for case in cases for preset in PRESETS for seed in range(1, seeds + 1)]
    if jobs > 1:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            found = pool.starmap(score, todo, chunksize=2)
    else:
        found = [score(*one) for one in todo]
    overall = calibration(found)
    lines = _table({case.name: calibration([s for s in found if s.case == case.name]) for case in cases}, overall)
    print("\n".join(lines), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(asdict(overall)))
    if document is not None:
        _write(document, lines, seeds)
    return 0 if max(overall.late_p95, overall.worse_p95) * 20 <= overall.runs else 1


def _table(by_case: dict[str, Calibration], overall: Calibration) -> list[str]:
    lines = [
        "| case | runs | later than p50 | than p95 | more sign-outs than p50 | than p95 | p95 of the time / p50 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in {**by_case, "all": overall}.items():
        shares = [_share(count, one.runs) for count in (one.late_p50, one.late_p95, one.worse_p50, one.worse_p95)]
        lines.append(f"| {name} | {one.runs} | {' | '.join(shares)} | {one.width} |")
    return lines


def _share(count: int, runs: int) -> str:
    return f"{count} ({100 * count / runs:.0f} %)"


def _write(document: Path, lines: list[str], seeds: int) -> None:
    """Put the table between its marks in the document."""
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    told = f"{seeds} seeds of each case and preset:"
    document.write_text(f"{before}{BEGIN}\n{told}\n\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
