"""Draws a run as a picture (SVG) for documents: how the story begins, the bars in the middle of it, and how it ends."""

from __future__ import annotations

import asyncio
import io
import re

from rich.console import Console
from rich.text import Text

from demo.result import Result
from demo.run import Audience, Run, play
from demo.scenario import Scenario
from demo.screen import bars, closing, styled
from demo.sight import Sight

WIDTH = 102
_FIRST, _BEFORE, _LAST = 14, 8, 3
"""How many lines are drawn: of the beginning, before the bars, and of the end."""


class _Memory(Audience):
    """Remembers what was to be seen each minute."""

    looks = True

    def __init__(self) -> None:
        self.sights: list[Sight] = []

    def begin(self, run: Run) -> None:
        self.command = f"$ python3 dev.py demo --scenario {run.scenario.name}"

    def look(self, sight: Sight) -> None:
        self.sights.append(sight)


def draw(scenario: Scenario, seed: int) -> tuple[Result, str]:
    """Play a scenario; how it ended, and its picture as SVG text."""
    memory = _Memory()
    result = asyncio.run(play(scenario, seed, audience=memory))
    console = Console(
        file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor", width=WIDTH, highlight=False
    )
    _draw(console, memory, result)
    # rich lets the picture load its font from the network; whoever looks at it has a monospaced one.
    return result, re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="Goldroll"), flags=re.DOTALL)


def _draw(console: Console, memory: _Memory, result: Result) -> None:
    sight = _most_telling(memory.sights)
    story = list(result.story)
    before = [line for line in story if line.at <= sight.at][_FIRST:][-_BEFORE:]
    gap = Text("  ...", style="dim")
    console.print(Text(memory.command, style="bold"))
    for part in (story[:_FIRST], before):
        for line in part:
            console.print(styled(line), no_wrap=True, overflow="ellipsis")
        if part is not before:
            console.print(gap)
    console.print(bars(sight))
    console.print(gap)
    for line in story[-_LAST:]:
        console.print(styled(line), no_wrap=True, overflow="ellipsis")
    for renderable in closing(result):
        console.print(renderable)


def _most_telling(sights: list[Sight]) -> Sight:
    """The minute in which most happens at once: hosts of every kind, and nearly half of them done."""

    def telling(sight: Sight) -> tuple[bool, float]:
        pool = sight.pools[0]
        busy = pool.leaving > 0 and pool.coming > 0 and pool.outdated > 0
        return busy, -abs(pool.current / max(1, pool.hosts) - 0.45)

    return max(sights, key=telling)
