"""From results to what is shown: medians over the seeds, ratios to the bounds, and the targets that are held or
missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from benchmarks.bounds import Bound, tightest
from benchmarks.contenders import ALONE, OURS
from benchmarks.ours import policy_for
from benchmarks.stage import Result, Stage
from benchmarks.workloads import Case
from rollout.deadline import finish_at
from rollout.pace import REMOVAL


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one contender in one case; `hours` is None when it did not finish with most of the seeds.

    `refused` is beyond what is refused with no rollout. `bound` and `ratio` are for ours only.
    """

    contender: str
    seeds: int
    hours: float | None
    forced: float
    twice: float
    twice_at_most: int
    refused: float
    refused_at_most: int
    least_free: float
    peak: float
    extra_hours: float
    on_bad_image: float
    drained: float
    operator: float
    calls_per_host: float
    bound: Bound | None = None
    ratio: float | None = None


def rows_of(case: Case, results: Iterable[Result]) -> list[Row]:
    """One row for each contender of the case, in the order in which they first appear."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.case == case.name:
            found.setdefault(result.contender, []).append(result)
    refused_anyway = {result.seed: result.refused for result in found.pop(ALONE, [])}
    return [_row(case, name, some, refused_anyway) for name, some in found.items()]


def bound_of(case: Case, preset: str, seed: int) -> Bound:
    """The tightest bound for a preset: with its bake, and with people asked no earlier than its policy asks them."""
    stage = Stage(case, seed)
    policy = policy_for(stage, preset)
    over = finish_at(policy, case.starts_at)
    asks_from = 0.0
    if over is not None:
        groups = math.ceil(case.hosts / case.at_a_time)
        latest = over - case.grace - groups * (policy.expected_provisioning + REMOVAL)
        asks_from = (latest - case.starts_at) / timedelta(hours=1)
    return tightest(case, seed, bake=policy.canary.bake, asks_from=asks_from)


def _row(case: Case, name: str, results: Sequence[Result], refused_anyway: dict[int, int]) -> Row:
    def middle(value: Callable[[Result], float]) -> float:
        return median(value(result) for result in results)

    finished = [result.hours for result in results if result.hours is not None]
    hours = median(finished) if 2 * len(finished) > len(results) else None
    refused = [max(0, result.refused - refused_anyway.get(result.seed, 0)) for result in results]
    bound = ratio = None
    if name in OURS and hours is not None:
        bounds = [bound_of(case, name, result.seed) for result in results]
        ratio = median(
            result.hours / one.hours for result, one in zip(results, bounds, strict=True) if result.hours is not None
        )
        bound = sorted(bounds, key=lambda one: one.hours)[len(bounds) // 2]
    return Row(
        contender=name,
        seeds=len(results),
        hours=hours,
        forced=middle(lambda result: result.forced),
        twice=middle(lambda result: result.twice),
        twice_at_most=max(result.twice for result in results),
        refused=median(refused),
        refused_at_most=max(refused),
        least_free=middle(lambda result: result.least_free),
        peak=middle(lambda result: result.peak),
        extra_hours=middle(lambda result: result.extra_hours),
        on_bad_image=middle(lambda result: result.on_bad_image),
        drained=middle(lambda result: result.drained),
        operator=middle(lambda result: result.operator),
        calls_per_host=round(middle(lambda result: result.calls) / case.hosts, 1),
        bound=bound,
        ratio=ratio,
    )


# ----------------------------------------------------------------------------------------------------------- targets


@dataclass(frozen=True, slots=True)
class Target:
    """One promise about the numbers: what was asked, what was measured, and whether that holds."""

    name: str
    measured: str
    held: bool


def targets(rows: dict[str, list[Row]]) -> list[Target]:
    """Every target that the cases at hand can tell of."""
    found = [*_for_people(rows)]
    if "office_day" in rows and "office_day_8h" in rows:
        found += _against_native(_by_name(rows["office_day"]), _by_name(rows["office_day_8h"]))
        found += _against_federal(_by_name(rows["office_day_8h"]))
    found += [_worse_on_neither(case, some) for case, some in rows.items() if _by_name(some).get("native")]
    found += [target for case, some in rows.items() if (target := _near_the_bound(case, some)) is not None]
    return found


QUIET = ("half_empty", "office_night")
WITHIN_WHEN_QUIET, WITHIN = 1.25, 1.5


def _by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.contender: row for row in rows}


def _ours(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.contender in OURS]


def _for_people(rows: dict[str, list[Row]]) -> list[Target]:
    twice = max((row.twice_at_most for some in rows.values() for row in _ours(some)), default=0)
    refused = max((row.refused_at_most for some in rows.values() for row in _ours(some)), default=0)
    return [
        Target("nobody signed out twice, in every case, preset and seed", f"{twice} at most", twice == 0),
        Target("no sign-in refused because of a rollout", f"{refused} at most", refused == 0),
    ]


def _against_native(one_hour: dict[str, Row], eight: dict[str, Row]) -> list[Target]:
    native, slow = one_hour["native"], eight.get("native, our grace")
    found = [
        _best(
            "office day, one hour: at most 20 % of the service's forced sign-outs, not later",
            one_hour,
            lambda row: row.forced <= 0.2 * native.forced and _hours(row) <= _hours(native),
            native,
        ),
        _best(
            "office day, one hour: at most 5 % of them, within 36 h",
            one_hour,
            lambda row: row.forced <= 0.05 * native.forced and _hours(row) <= 36,
            native,
        ),
    ]
    if slow is not None:
        found.append(
            _best(
                "office day, eight hours: at most 10 % of them in at most 45 % of the time",
                eight,
                lambda row: row.forced <= 0.1 * slow.forced and _hours(row) <= 0.45 * _hours(slow),
                slow,
            )
        )
    return found


def _against_federal(rows: dict[str, Row]) -> list[Target]:
    federal = rows.get("federal, capped")
    if federal is None:
        return []
    return [
        _best(
            "against the Federal replacer under the same peak: at most 50 % of its forced sign-outs, 70 % of its time",
            rows,
            lambda row: row.forced <= 0.5 * federal.forced and _hours(row) <= 0.7 * _hours(federal),
            federal,
        )
    ]


def _best(name: str, rows: dict[str, Row], holds: Callable[[Row], bool], other: Row) -> Target:
    candidates = [rows[preset] for preset in OURS if preset in rows]
    chosen = next((row for row in candidates if holds(row)), min(candidates, key=lambda row: row.forced))
    return Target(name, f"{_say(chosen)} against {_say(other)}", holds(chosen))


def _worse_on_neither(case: str, rows: list[Row]) -> Target:
    native = _by_name(rows)["native"]

    def holds(row: Row) -> bool:
        return row.forced <= native.forced and _hours(row) <= _hours(native) and row.on_bad_image <= native.on_bad_image

    ours = _ours(rows)
    chosen = next((row for row in ours if holds(row)), min(ours, key=_hours))
    name = f"{case}: a preset is worse than the service's update on neither count"
    return Target(name, f"{_say(chosen)} against {_say(native)}", holds(chosen))


def _near_the_bound(case: str, rows: list[Row]) -> Target | None:
    within = WITHIN_WHEN_QUIET if case in QUIET else WITHIN
    ours = [row for row in _ours(rows) if row.ratio is not None and row.bound is not None]
    if not ours:
        return None
    best = min(ours, key=lambda row: row.ratio or math.inf)
    name = best.bound.name if best.bound else ""
    measured = f"{best.contender} {best.ratio:.2f}, bound in force: {name}"
    return Target(f"{case}: within {within} of the tightest lower bound", measured, (best.ratio or math.inf) <= within)


def _hours(row: Row) -> float:
    return math.inf if row.hours is None else row.hours


def _say(row: Row) -> str:
    hours = "never" if row.hours is None else f"{row.hours:.1f} h"
    return f"{row.contender}: {row.forced:.0f} in {hours}"
