"""Writes docs/benchmarks.md with its plots, the same bytes for the same numbers."""

from __future__ import annotations

from inspect import cleandoc
from io import StringIO
from pathlib import Path
from types import ModuleType

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import bounds
from benchmarks.contenders import ALONE, OURS
from benchmarks.peers import federal, native, rebuild, replacer, windows
from benchmarks.stage import Result
from benchmarks.summary import Row, Target
from benchmarks.tables import COLUMNS, table
from benchmarks.workloads import Case

PEERS: tuple[tuple[str, ModuleType], ...] = (
    ("native", native),
    ("replacer", replacer),
    ("federal", federal),
    ("rebuild", rebuild),
    ("barrier, sliding", windows),
)


def write(
    folder: Path, cases: list[Case], rows: dict[str, list[Row]], found: list[Target], results: list[Result], seeds: int
) -> None:
    """Write the page and the plots below `folder` (docs)."""
    plots = folder / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    parts = [_INTRODUCTION.format(seeds=seeds), _targets(found), "## Numbers\n"]
    for case in cases:
        (plots / f"{case.name}.svg").write_text(_scatter(case, rows[case.name]), encoding="utf-8", newline="\n")
        picture = f"![Time against forced sign-outs](benchmarks/{case.name}.svg)\n"
        parts += [f"### {case.title}\n", picture, _markdown(rows[case.name])]
    if any(case.name == "office_day" for case in cases):
        (plots / "progress.svg").write_text(_progress(results), encoding="utf-8", newline="\n")
        parts.insert(2, "![Hosts on the new version over time, office day](benchmarks/progress.svg)\n")
    parts += ["## What each peer does, and how it was modelled\n"]
    parts += [f"### {name}\n\n{cleandoc(module.__doc__ or '')}\n" for name, module in PEERS]
    parts += [f"## The bounds\n\n{_bounds_text()}\n", _losses(rows)]
    (folder / "benchmarks.md").write_text("\n".join(parts), encoding="utf-8", newline="\n")


_INTRODUCTION = """# Benchmarks

Goldroll against other ways to replace the hosts of a host pool, on the same simulated estate.
Written by `python3 dev.py bench --write`; medians over {seeds} seeds.

Everybody gets the same pool, the same people with the same plans, the same image and the same Azure, and may replace
the same number of hosts at a time: whoever adds hosts first has them as extra hosts, whoever removes first has them
missing, and Goldroll has half of each. Everybody gives the same notice, except those that cannot.
A forced sign-out is one of somebody at work; disconnected sessions are not counted.
*Refused* is beyond what is refused with no rollout at all. *Twice* is the median and the most in any seed.
*Of the bound* is the time as a multiple of the tightest lower bound, with the name of the bound (see below).
It is a simulation: people, durations and failures are drawn from distributions, not recorded.
What a rollout costs the app as pools grow is measured on another page: [Scale](scale.md).
"""


def _targets(found: list[Target]) -> str:
    lines = ["## Targets\n", "| | target | measured |", "|---|---|---|"]
    lines += [f"| {'held' if target.held else '**missed**'} | {target.name} | {target.measured} |" for target in found]
    return "\n".join(lines) + "\n"


def _markdown(rows: list[Row]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(cells)} |" for cells in table(rows)]
    return "\n".join(lines) + "\n"


def _losses(rows: dict[str, list[Row]]) -> str:
    """Where somebody is faster, or signs fewer people out, than the best preset: every case, nothing left out."""
    lines = ["## Where ours loses\n"]
    for case, some in rows.items():
        ours = [row for row in some if row.contender in OURS]
        if not ours:
            continue
        quickest = min((row.hours for row in ours if row.hours is not None), default=None)
        fewest = min(row.forced for row in ours)
        for row in some:
            if row.contender in OURS:
                continue
            if row.hours is not None and (quickest is None or row.hours < quickest):
                lines.append(
                    f"* {case}: {row.contender} is done after {row.hours:.1f} h, our quickest preset after "
                    f"{'never' if quickest is None else f'{quickest:.1f} h'}; it signs {row.forced:.0f} people out, "
                    f"has {row.peak:.0f} hosts at its peak and {row.on_bad_image:.0f} on a bad image."
                )
            if row.forced < fewest and row.hours is not None:
                lines.append(
                    f"* {case}: {row.contender} signs {row.forced:.0f} people out, our gentlest preset {fewest:.0f}; "
                    f"it takes {row.hours:.1f} h."
                )
    lines.append("* Calls: a peer that looks once an hour makes fewer requests than one that looks every minute.")
    return "\n".join(lines) + "\n"


def _bounds_text() -> str:
    return cleandoc(bounds.__doc__ or "")


# ------------------------------------------------------------------------------------------------------------- plots


def _scatter(case: Case, rows: list[Row]) -> str:
    figure, axes = _axes(case.title, "hours until finished", "forced sign-outs")
    for index, row in enumerate(row for row in rows if row.hours is not None):
        marker = "o" if row.contender in OURS else "sDv^<>Xp*hP"[index % 11]
        axes.plot([row.hours or 0], [row.forced], marker, markersize=9, label=row.contender)
    return _text(figure, axes)


def _progress(results: list[Result]) -> str:
    figure, axes = _axes("Hosts on the new version, office day, one seed", "hours", "hosts")
    some = [result for result in results if result.case == "office_day" and result.contender != ALONE]
    first = min((result.seed for result in some), default=0)
    for result in some:
        if result.seed == first:
            hours, hosts = zip(*result.new_hosts, strict=True)
            axes.step(
                hours, hosts, where="post", label=result.contender, linewidth=2.5 if result.contender in OURS else 1
            )
    return _text(figure, axes)


def _axes(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _text(figure: Figure, axes: Axes) -> str:
    axes.set_xlim(left=0)
    if axes.lines:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    page = StringIO()
    # Without a fixed salt and with a date every run would make another file.
    with rc_context({"svg.hashsalt": "goldroll", "svg.fonttype": "none"}):
        figure.savefig(page, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"
