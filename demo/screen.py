"""Shows a run: on a terminal the story above live bars, elsewhere plain lines; at the end a table and one sentence."""

from __future__ import annotations

import textwrap
import time
from datetime import timedelta
from types import TracebackType
from typing import IO, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.result import Result
from demo.run import Audience, Run
from demo.scenario import Scenario
from demo.sight import PoolSight, Sight
from demo.story import Line
from rollout.model import count_of

BAR_WIDTH = 28
FRAME_SECONDS = 0.08
"""The bars move twelve times a second at most; drawing them for each simulated minute would cost more than the run."""

PHASE_STYLES = {"Succeeded": "green", "SucceededWithSkips": "green", "Halted": "red", "Failed": "red"}
_TELLING = (
    ("halted", "bold red"),
    ("failed", "red"),
    ("Succeeded", "bold green"),
    ("stops accepting", "red"),
    ("signed out", "yellow"),
    ("no free session slot", "red"),
    ("wave ", "bold"),
    ("has passed", "green"),
    ("an administrator", "magenta"),
    ("autoscale", "magenta"),
)


class PlainTeller(Audience):
    """Writes the story as plain lines, for files and pipes: no colours, no control codes, no wrapping."""

    def __init__(self, file: IO[str]) -> None:
        """`file` is where to write; characters that it cannot hold are replaced."""
        self._console = Console(
            file=_forgiving(file), color_system=None, force_terminal=False, width=100, highlight=False, emoji=False
        )

    def begin(self, run: Run) -> None:
        """Say what is going to be seen."""
        scenario = run.scenario
        self._console.print(Text(f"{scenario.name}: {scenario.title}"))
        self._console.print(Text(textwrap.fill(scenario.about, 100)))

    def hear(self, line: Line) -> None:
        """Write one line."""
        self._console.print(Text(str(line)), soft_wrap=True)

    def end(self, result: Result) -> None:
        """Write the table and the sentence."""
        self._console.print()
        for renderable in closing(result):
            self._console.print(renderable, soft_wrap=isinstance(renderable, Text))


class Screen(Audience):
    """Shows the story on a terminal while bars at the bottom show hosts and session slots. Use it with `with`."""

    looks = True

    def __init__(self, console: Console) -> None:
        """`console` must be a terminal."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        """Take over the bottom of the screen."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._live.stop()

    def begin(self, run: Run) -> None:
        """Say what is going to be seen."""
        self._console.print(introduction(run.scenario))

    def hear(self, line: Line) -> None:
        """Write one line above the bars."""
        self._console.print(styled(line), soft_wrap=True)

    def look(self, sight: Sight) -> None:
        """Move the bars."""
        if time.monotonic() - self._drawn_at >= FRAME_SECONDS:
            self._live.update(bars(sight, ascii_only=self._console.options.ascii_only), refresh=True)
            self._drawn_at = time.monotonic()

    def end(self, result: Result) -> None:
        """Take the bars away; write the table and the sentence."""
        self._live.update("", refresh=True)
        for renderable in closing(result):
            self._console.print(renderable)


# ------------------------------------------------------------------------------------------------------ what is drawn


def introduction(scenario: Scenario) -> RenderableType:
    """The scenario's title and paragraph."""
    return Panel(Text(scenario.about), title=f"{scenario.name}: {scenario.title}", title_align="left", width=100)


def styled(line: Line) -> Text:
    """A line of the story in colours."""
    if line.is_heading:
        return Text(line.sentence, style="bold dim")
    style = next((style for words, style in _TELLING if words in line.sentence), "")
    return Text.assemble((f"{line.at:%H:%M}", "dim"), "  ", (f"{line.where:<8}", "cyan"), "  ", (line.sentence, style))


def bars(sight: Sight, *, ascii_only: bool = False) -> RenderableType:
    """Every pool's hosts and session slots at a moment, and the app's own sentence about it."""
    rows: list[RenderableType] = []
    for pool in sight.pools:
        rows += _pool_rows(pool, ascii_only=ascii_only)
    title = f"{sight.at:%A %H:%M}"
    return Panel(Group(*rows), title=title, title_align="left", width=100, box=box.ASCII if ascii_only else box.ROUNDED)


def _pool_rows(pool: PoolSight, *, ascii_only: bool) -> list[RenderableType]:
    hosts = pool.hosts + pool.coming
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    host_bar = _bar(
        hosts,
        [
            (pool.current, full, "green"),
            (pool.leaving, full, "yellow"),
            (pool.outdated, full, "blue"),
            (pool.quarantined, full, "red"),
            (pool.coming, empty, "green"),
        ],
    )
    people, free = pool.people, max(0, pool.free)
    slot_bar = _bar(
        max(pool.slots, people + free),
        [(people, full, "cyan"), (free, empty, "green" if free >= pool.reserve else "red")],
    )
    legend = f"{pool.current} current, {pool.leaving} leaving, {pool.coming} on their way, {pool.outdated} to do"
    if pool.quarantined:
        legend += f", {pool.quarantined} aside"
    style = PHASE_STYLES.get(pool.phase, "bold")
    phase = (pool.phase or "Waiting for a version", style)
    rows = [
        Text.assemble((f"{pool.name:<8}", "cyan"), host_bar, f"  {legend}"),
        Text.assemble(" " * 8, slot_bar, f"  {people} people, {free} slots free, {pool.reserve} in reserve"),
        Text.assemble(" " * 8, phase, f"  {pool.message}"),
    ]
    for row in rows:
        # The dots of "ellipsis" are one character that some consoles lack.
        row.no_wrap, row.overflow = True, "crop" if ascii_only else "ellipsis"
    return list(rows)


def _bar(total: int, parts: list[tuple[int, str, str]]) -> Text:
    """A bar of BAR_WIDTH cells, divided among the parts; what they leave is blank."""
    bar, drawn, counted = Text(), 0, 0
    for count, cell, style in parts:
        counted += count
        end = round(BAR_WIDTH * min(counted, total) / total) if total else 0
        bar.append(cell * (end - drawn), style)
        drawn = end
    bar.append(" " * (BAR_WIDTH - drawn))
    return bar


def closing(result: Result) -> list[RenderableType]:
    """The table of figures, the sentence, and what is not as it must be."""
    ledger = result.ledger
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    lowest = "-" if ledger["min_free_slots"] is None else str(ledger["min_free_slots"])
    for name, value in (
        ("hosts on the new version", f"{result.current} of {result.hosts}"),
        ("waves", str(result.waves)),
        ("people", str(result.people)),
        ("forced sign-outs", str(ledger["forced_sign_outs"])),
        ("people signed out twice", str(ledger["signed_out_twice"])),
        ("refused sign-ins", str(ledger["refused_sign_ins"])),
        ("least free session slots", lowest),
        ("calls to Azure", f"{result.arm_calls:,}"),
        ("simulated time", duration(result.simulated)),
        ("real time", f"{result.real_seconds:.1f} s"),
    ):
        table.add_row(name, value)
    sentences: list[RenderableType] = [table, Text(in_one_sentence(result), style="bold")]
    if not result.came_out_as_it_must:
        sentences.append(Text("This run has not come out as it must:", style="bold red"))
        sentences += [Text(f"  {problem}", style="red") for problem in (*result.problems, *result.violations)]
        again = f"python3 dev.py demo --scenario {result.scenario} --seed {result.seed}"
        sentences.append(Text(f"Repeat it with: {again}"))
    return sentences


def in_one_sentence(result: Result) -> str:
    """How it ended and what it cost people."""
    forced, twice = result.ledger["forced_sign_outs"], result.ledger["signed_out_twice"]
    refused = result.ledger["refused_sign_ins"]
    cost = [
        f"{forced} of {result.people} people {'was' if forced == 1 else 'were'} signed out while they worked"
        if forced
        else "nobody was signed out",
        f"{twice} of them twice" if twice else "nobody twice" if forced else "",
        f"{count_of(refused, 'sign-in')} found no room" if refused else "everybody found a place to work",
    ]
    return f"{result.phase} after {duration(result.simulated)}: {result.message}; {', '.join(filter(None, cost))}."


def duration(span: timedelta) -> str:
    """A span as people say it: "9 h 18 min"."""
    minutes = round(span.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


class _Forgiving:
    """A text file that never refuses a character: what its encoding lacks becomes a question mark."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.encoding = getattr(file, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        return self._file.write(text.encode(self.encoding, "replace").decode(self.encoding))

    def flush(self) -> None:
        self._file.flush()

    def isatty(self) -> bool:
        return False


def _forgiving(file: IO[str]) -> IO[str]:
    return _Forgiving(file)  # type: ignore[return-value]  # all that rich asks of a file
