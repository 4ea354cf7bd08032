"""`python3 dev.py bench`: play every contender on every case with every seed, and show what came out.

`--scale` measures something else: what a rollout costs the app as pools grow, see scale.py; `--cold-start` what
telemetry adds to the start of a process, see cold_start.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.contenders import CONTENDERS, contenders_of, run
from benchmarks.stage import Result
from benchmarks.summary import Row, Target, rows_of, targets
from benchmarks.tables import COLUMNS, table
from benchmarks.workloads import CASES, Case

DOCS = Path(__file__).resolve().parent.parent / "docs"
DEFAULT_SEEDS = 20
QUICK_SEEDS, QUICK_HOSTS = 2, 20
_WIDTH = 200
"""Of a table that is written to a file."""

Play = tuple[Case, str, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every target is held, 1 when one is missed."""
    options = _options().parse_args(arguments)
    if options.scale:
        from benchmarks import scale  # noqa: PLC0415 - it brings the whole app with it

        return scale.main([flag for flag in ("--quick", "--json", "--write") if getattr(options, flag.strip("-"))])
    if options.forecast:
        from benchmarks import forecasts  # noqa: PLC0415 - a plan has its own part of the app

        document = DOCS / "plan.md" if options.write else None
        seeds = 1 if options.quick else options.seeds
        return forecasts.main(seeds=seeds, jobs=options.jobs, as_json=options.json, document=document)
    if options.cold_start:
        from benchmarks import cold_start  # noqa: PLC0415 - it plays nothing

        return cold_start.main(quick=options.quick, as_json=options.json)
    console = Console(stderr=options.json)
    if not console.is_terminal:
        console = Console(stderr=options.json, width=_WIDTH)
    cases = [case for case in _cases(quick=options.quick) if not options.case or case.name in options.case]
    seeds = QUICK_SEEDS if options.quick else options.seeds
    plays = [
        (case, name, seed)
        for case in cases
        for name in contenders_of(case)
        if not options.contender or name in options.contender
        for seed in range(1, seeds + 1)
    ]
    with _playing(plays, options.jobs) as coming:
        shown = track(coming, "playing", total=len(plays), console=console, disable=not console.is_terminal)
        results = list(shown)
    rows = {case.name: rows_of(case, results) for case in cases}
    found = targets(rows) if not options.contender else []
    for case in cases:
        console.print(_rich(case, rows[case.name]))
    for target in found:
        verdict = "held  " if target.held else "MISSED"
        console.print(f"{verdict} {target.name}: {target.measured}", markup=False, soft_wrap=True)
    if options.json:
        print(json.dumps(_as_json(rows, found, seeds)))
    if options.write:
        from benchmarks.report import write  # noqa: PLC0415 - drawing plots takes a second to import

        write(DOCS, cases, rows, found, results, seeds)
    return 0 if all(target.held for target in found) or options.quick else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py bench", description="Measure Goldroll against other ways to replace the hosts of a pool."
    )
    parser.add_argument(
        "--seeds", type=int, default=DEFAULT_SEEDS, metavar="N", help=f"how many seeds ({DEFAULT_SEEDS})"
    )
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this case")
    parser.add_argument("--contender", action="append", choices=list(CONTENDERS), help="only this contender")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that share the work (1)")
    parser.add_argument(
        "--scale", action="store_true", help="measure what a rollout costs as pools grow, and nothing else"
    )
    parser.add_argument(
        "--forecast",
        action="store_true",
        help="score what a plan foretells against what then happens, and nothing else",
    )
    parser.add_argument(
        "--cold-start", action="store_true", help="measure what telemetry adds to the start of a process, nothing else"
    )
    parser.add_argument("--quick", action="store_true", help="small pools and two seeds: a minute at most")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on the last line")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md and its plots, docs/scale.md, or docs/plan.md"
    )
    return parser


def _cases(*, quick: bool) -> list[Case]:
    if not quick:
        return list(CASES)
    return [
        replace(
            case,
            hosts=min(case.hosts, QUICK_HOSTS),
            at_a_time=min(case.at_a_time, QUICK_HOSTS // 10),
            empty=min(case.empty, QUICK_HOSTS // 2),
        )
        for case in CASES
        if case.name != "large"
    ]


@contextmanager
def _playing(plays: list[Play], jobs: int) -> Iterator[Iterable[Result]]:
    """The results in the order of the plays, whoever is done first."""
    if jobs <= 1:
        yield map(_play, plays)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield pool.imap(_play, plays, chunksize=2)


def _play(play: Play) -> Result:
    return run(*play)


def _rich(case: Case, rows: list[Row]) -> Table:
    shown = Table(*COLUMNS, title=case.title, title_justify="left")
    for cells in table(rows):
        shown.add_row(*cells)
    return shown


def _as_json(rows: dict[str, list[Row]], found: list[Target], seeds: int) -> object:
    return {
        "seeds": seeds,
        "cases": {case: [asdict(row) for row in some] for case, some in rows.items()},
        "targets": [asdict(target) for target in found],
    }


if __name__ == "__main__":
    sys.exit(main())
