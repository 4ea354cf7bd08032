"""Writes docs/scale.md: what was measured as pools grow, and which targets are held."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from benchmarks.scale import ScaleReport

CALLS_PER_HOST = 25
CPU_GROWTH = 1.5
LONGEST_HISTORY, LARGEST_STATE, LARGEST_STATUS = 500, 32_000, 16_000

Target = tuple[bool, str, str]
"""Whether it is held, what it says, and what was measured."""


def write(folder: Path, report: ScaleReport) -> None:
    """Write the page into `folder` (docs)."""
    (folder / "scale.md").write_text(page(report), encoding="utf-8", newline="\n")


def page(report: ScaleReport) -> str:
    """The whole page as Markdown."""
    lines = [_INTRODUCTION, "## Targets\n", "| | target | measured |", "|---|---|---|"]
    lines += [f"| {'held' if held else '**missed**'} | {name} | {found} |" for held, name, found in targets(report)]
    lines += ["\n## The core alone\n", _CORE, *_rows(report.core, ("phases",))]
    lines += ["\n## The whole app\n", _APP, *_rows(report.app, ("calls", "calls_per_action", "phase"))]
    for cost in report.app:
        operations = ", ".join(f"{name} {count / cost.hosts:.2f}" for name, count in cost.calls.items())
        lines += [f"\nCalls for each of {cost.hosts:,} hosts: {operations}."]
    if report.margins:
        lines += [
            f"\n## Azure's buckets\n\nComputed from {report.margins_are_computed_from}.\n",
            *_rows(report.margins),
        ]
    return "\n".join(lines) + "\n"


def targets(report: ScaleReport) -> list[Target]:
    """Every target that the sizes which were measured can show."""
    found: list[Target] = []
    app = {cost.hosts: cost for cost in report.app}
    if (hundred := app.get(100)) is not None:
        calls = hundred.calls_per_host
        found.append((calls < CALLS_PER_HOST, f"fewer than {CALLS_PER_HOST} calls for each of 100 hosts", f"{calls}"))
        larger = {hosts: cost.calls_per_host for hosts, cost in app.items() if hosts > 100}
        if larger:
            measured = ", ".join(f"{count} at {hosts:,}" for hosts, count in larger.items())
            found.append((max(larger.values()) <= calls, "no more of them in a larger pool", measured))
    larger_ones = [cost for cost in report.core if (cost.hosts, cost.pools) != (10, 1)]
    if larger_ones:
        worst = max(larger_ones, key=lambda cost: cost.times_ten_hosts)
        name = f"CPU of the core for each host at most {CPU_GROWTH} times that of one pool of 10, whatever is rolled"
        measured = f"{worst.times_ten_hosts:.2f} with {worst.pools} x {worst.hosts:,} hosts"
        found.append((worst.times_ten_hosts <= CPU_GROWTH, name, measured))
    for what, most, values in (
        (f"no history of more than {LONGEST_HISTORY} events", LONGEST_HISTORY, [c.longest_history for c in report.app]),
        (f"no state of more than {LARGEST_STATE:,} bytes", LARGEST_STATE, [c.state_bytes for c in report.app]),
        (f"no status of more than {LARGEST_STATUS:,} bytes", LARGEST_STATUS, [c.status_bytes for c in report.app]),
        ("never throttled by Azure", 0, [cost.throttled for cost in report.app]),
    ):
        if values:
            found.append((max(values) <= most, what, f"{max(values):,} at most"))
    return found


def _rows(rows: Iterable[Struct], left_out: tuple[str, ...] = ()) -> list[str]:
    shown = [
        {name: value for name, value in msgspec.structs.asdict(row).items() if name not in left_out} for row in rows
    ]
    if not shown:
        return []
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in shown[0])} |", "|" + "---|" * len(shown[0])]
    texts = [[value if isinstance(value, str) else f"{value:,}" for value in row.values()] for row in shown]
    return lines + [f"| {' | '.join(row)} |" for row in texts]


_INTRODUCTION = """# Scale

What a rollout costs as pools grow. Written by `python3 dev.py bench --scale --write`; one seed, the default policy with
5 % of the hosts made at a time. Calls, turns and sizes repeat exactly; CPU is that of the machine that measured it, so
only its growth means anything. A size that is missing was not measured in that run.
"""

_CORE = """Decisions in the simulated estate, without a wire. `pools` are rolled side by side, in one subscription.
`times ten hosts` compares the CPU with the median of rollouts of one pool of 10 hosts that took turns with this one.
"""

_APP = """The real Durable SDK and the real Azure clients, against a simulated Azure that throttles as the real one.
The sweep looks for new versions every quarter of an hour whether something is rolled or not: its calls are counted
apart. The list of VMs tells the state of their extensions here. Where Azure leaves that out, each new host takes one
call more.
"""
