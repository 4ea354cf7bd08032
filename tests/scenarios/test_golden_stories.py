"""Every scenario comes out as it must, breaks no invariant, and tells the story that is kept in git.

A story that has changed on purpose is written anew with `--update-golden`, and read in review like code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from demo.result import Result
from demo.run import play
from demo.scenarios import SCENARIOS
from demo.screen import in_one_sentence
from tests.alerts.telemetry import Observed, Raised

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_comes_out_as_it_must_and_tells_its_story(name: str, update_golden: bool) -> None:
    run = Observed(SCENARIOS[name])
    result = await run.play()
    assert result.problems == ()
    assert result.violations == ()
    path, told = GOLDEN / f"{name}.txt", _told(result, run.raised())
    if update_golden:
        path.write_text("\n".join(told) + "\n", encoding="utf-8", newline="\n")
    assert told == path.read_text(encoding="utf-8").splitlines()


async def test_the_same_seed_tells_the_same_story_again_and_another_brings_other_people() -> None:
    scenario = SCENARIOS["bad_image"]
    first, second, other = await play(scenario), await play(scenario), await play(scenario, seed=7)

    assert first.story == second.story
    assert first.journal == second.journal
    assert first.arm_calls == second.arm_calls
    assert other.problems == other.violations == ()
    assert first.journal != other.journal


def test_every_golden_story_belongs_to_a_scenario() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCENARIOS)


def _told(result: Result, raised: Raised) -> list[str]:
    """What is kept: the title, the story, the figures that people feel, and the alerts that they get."""
    scenario, ledger = SCENARIOS[result.scenario], result.ledger
    figures = [
        f"hosts on the new version  {result.current} of {result.hosts}",
        f"waves                     {result.waves}",
        f"forced sign-outs          {ledger['forced_sign_outs']}",
        f"people signed out twice   {ledger['signed_out_twice']}",
        f"refused sign-ins          {ledger['refused_sign_ins']}",
        f"least free session slots  {ledger['min_free_slots']}",
        f"alerts                    {', '.join(_alerts(raised)) or 'none'}",
    ]
    story = _readable(str(line).rstrip() for line in result.story)
    return [f"{scenario.name}: {scenario.title}", "", *story, "", *figures, "", in_one_sentence(result)]


def _alerts(raised: Raised) -> Iterator[str]:
    """Each alert and when it was raised first: "halted Mon 09:25"."""
    for name, times in sorted(raised.items(), key=lambda item: item[1][0]):
        more = f" and {len(times) - 1} more" if len(times) > 1 else ""
        yield f"{name} {times[0]:%a %H:%M}{more}"


LONGEST_LINE, MOST_ALIKE = 300, 12
"""What nobody reads to the end in review: the names of two hundred hosts, in one line or one line each."""


def _readable(lines: Iterable[str]) -> Iterator[str]:
    """The story with long lines cut, and of many lines of one minute that differ in the host only the first two."""
    for _, minute in groupby(lines, key=lambda line: line[:5]):
        alike = [(_without_hosts(line), line) for line in minute]
        counts, told = Counter(kind for kind, _ in alike), Counter[str]()
        for kind, line in alike:
            told[kind] += 1
            if counts[kind] <= MOST_ALIKE or told[kind] <= 2:
                yield line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."
            elif told[kind] == 3:
                yield f"       ... and {counts[kind] - 2} more: {kind[17:]}"


def _without_hosts(line: str) -> str:
    return re.sub(r"(avd-|zone )[\w-]+", r"\1*", line)
