"""`python3 dev.py simulate`: random rollouts by the thousand, each checked at every step; one line of JSON at the end.

Every run is drawn from its seed alone, so a failing one is repeated with the command that is printed with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulator.rollout_run import Result, run
from simulator.situations import draw_situation

DEFAULT_SEEDS = 200
_SHOWN = 10
"""Failing seeds whose story is printed; of the others only the seed is."""


@dataclass(slots=True)
class Failure:
    """A seed that broke an invariant, or whose run ended in an exception: what it says and what happened before."""

    seed: int
    sentences: list[str]
    story: list[str]
    situation: str


@dataclass(slots=True)
class Tally:
    """What all runs together came to; the fields are those of the JSON line."""

    seeds: int = 0
    turns: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    stuck: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    forced_sign_outs: int = 0
    signed_out_twice: int = 0
    seconds: float = 0
    failing_seeds: list[int] = field(default_factory=list)

    def add(self, result: Result | Failure) -> None:
        """Count one run."""
        self.seeds += 1
        if isinstance(result, Failure):
            self.violations += 1
            self.failing_seeds.append(result.seed)
            return
        self.turns += result.turns
        self.steps += result.steps
        self.faults.update(result.faults)
        self.violations += len(result.violations)
        self.stuck += result.stuck
        self.phases[result.phase.value] += 1
        self.forced_sign_outs += result.forced_sign_outs
        self.signed_out_twice += result.signed_out_twice
        if result.violations:
            self.failing_seeds.append(result.seed)

    def as_json(self) -> str:
        """One line, keys in the order of the fields."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**values, "seconds": round(self.seconds, 1)})


def main(arguments: Sequence[str] | None = None, *, run_one: Callable[[int], Result | Failure] | None = None) -> int:
    """Run the seeds and report; 0 when every invariant held in every run, 1 otherwise, 2 for a wrong command line.

    `run_one` runs a seed; `run_seed` unless a test wants to see how failures are reported.
    """
    options = _options().parse_args(arguments)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    console = Console(stderr=True, highlight=False)
    tally, failures = Tally(), []
    started = time.perf_counter()
    with ExitStack() as stack:
        results = stack.enter_context(_results(seeds, options.jobs, run_one or run_seed))
        for result in _with_progress(results, len(seeds), console):
            tally.add(result)
            if (failure := _failure(result)) is not None:
                failures.append(failure)
                if len(failures) <= _SHOWN:
                    _show(failure, console)
            elif options.seed is not None and isinstance(result, Result):
                console.print(_tale(result), markup=False)
    tally.seconds = time.perf_counter() - started
    _summarise(tally, console)
    if options.json:
        print(tally.as_json())
    return 1 if failures else 0


def run_seed(seed: int) -> Result | Failure:
    """Run one seed; an exception out of the decision or the estate is a failure like a broken invariant."""
    situation = draw_situation(seed)
    try:
        return run(situation)
    except Exception:  # noqa: BLE001 - whatever it is, the report shall name the seed that repeats it
        return Failure(seed, [traceback.format_exc()], [], str(situation))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py simulate",
        description="Run random rollouts against a simulated host pool and check every step against the invariants.",
    )
    parser.add_argument("--seeds", type=_positive, default=DEFAULT_SEEDS, metavar="N", help="how many runs (200)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed (0); the others follow it")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="run this one seed and tell its story")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes that share the work (1)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on the last line")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


@contextmanager
def _results(
    seeds: Sequence[int], jobs: int, run_one: Callable[[int], Result | Failure]
) -> Iterator[Iterable[Result | Failure]]:
    """The results of the seeds as they come; by several processes in the order of the seeds nevertheless."""
    if jobs == 1 or len(seeds) == 1:
        yield map(run_one, seeds)
        return
    # "spawn" is what every platform has; the processes share nothing but the code.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(seeds))) as pool:
        yield pool.imap(run_one, seeds, chunksize=5)


def _with_progress(results: Iterable[Result | Failure], total: int, console: Console) -> Iterator[Result | Failure]:
    """Pass the results on, with a progress bar where somebody watches."""
    if not console.is_terminal or total == 1:
        yield from results
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task, failed = progress.add_task("random rollouts", total=total), 0
        for result in results:
            failed += _failure(result) is not None
            words = "random rollouts" + (f", {failed} failed" if failed else "")
            progress.update(task, advance=1, description=words)
            yield result


def _failure(result: Result | Failure) -> Failure | None:
    if isinstance(result, Failure):
        return result
    if not result.violations:
        return None
    return Failure(result.seed, [str(one) for one in result.violations], result.story, str(draw_situation(result.seed)))


def _show(failure: Failure, console: Console) -> None:
    """Print what was broken, what had happened before, and how to see it again."""
    lines = [f"seed {failure.seed} fails: {failure.situation}", *(f"    {line}" for line in failure.story)]
    lines += [f"  ! {sentence}" for sentence in failure.sentences]
    lines.append(f"  repeat it with: python3 dev.py simulate --seed {failure.seed}")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def _tale(result: Result) -> str:
    ending = (
        f"ended as {result.phase} ({result.reason}) after {result.took}, {result.turns} turns, {result.steps} steps"
    )
    return "\n".join([str(draw_situation(result.seed)), *result.story, ending])


def _summarise(tally: Tally, console: Console) -> None:
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(tally.phases.items()))
    rate = tally.seeds / tally.seconds if tally.seconds else 0
    console.print(
        f"{tally.seeds} runs, {tally.turns} turns, {tally.steps} steps, {sum(tally.faults.values())} faults in "
        f"{tally.seconds:.1f} s ({rate:.1f} runs/s): {phases or 'none ended'}",
        markup=False,
    )
    if tally.failing_seeds:
        some = ", ".join(map(str, tally.failing_seeds[:20]))
        more = f" and {len(tally.failing_seeds) - 20} more" if len(tally.failing_seeds) > 20 else ""
        console.print(f"{tally.violations} violations; failing seeds: {some}{more}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
