"""`python -m demo`: play a scenario, show it, and say by the exit code whether it came out as it must."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from demo.picture import draw
from demo.result import Result
from demo.run import play
from demo.scenarios import SCENARIOS
from demo.screen import PlainTeller, Screen

WATCHABLE_SPEED = 1200
"""Simulated seconds per second on a terminal: the working day of `happy` takes half a minute."""

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when the scenario came out as it must, 1 when not, 130 after Ctrl+C."""
    options = _options().parse_args(arguments)
    if options.list:
        print(_listing())
        return 0
    try:
        result = _draw(options) if options.picture else asyncio.run(_play(options))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    if options.json:
        print(json.dumps(result.as_json()), flush=True)
    return 0 if result.came_out_as_it_must else 1


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python3 dev.py demo",
        description="Watch a published image version roll over a simulated host pool while people work on it.",
    )
    options.add_argument("--scenario", choices=SCENARIOS, default="happy", metavar="NAME", help="which story (happy)")
    options.add_argument("--seed", type=int, default=1, help="another seed: other people, other delays (1)")
    options.add_argument("--speed", type=_speed, metavar="X", help="simulated seconds per second (1200 on a terminal)")
    options.add_argument("--json", action="store_true", help="no story; one line of JSON with the figures")
    options.add_argument("--list", action="store_true", help="say what the scenarios are about")
    options.add_argument("--picture", type=Path, metavar="FILE", help="also draw the run as an SVG picture")
    return options


def _draw(options: argparse.Namespace) -> Result:
    result, picture = draw(SCENARIOS[options.scenario], options.seed)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    options.picture.write_text(picture, encoding="utf-8")
    return result


async def _play(options: argparse.Namespace) -> Result:
    scenario, seed = SCENARIOS[options.scenario], options.seed
    pace = Pace(options.speed) if options.speed else None
    if options.json:
        return await play(scenario, seed, pause=pace)
    if not sys.stdout.isatty():
        return await play(scenario, seed, audience=PlainTeller(sys.stdout), pause=pace)
    with Screen(Console(highlight=False, emoji=False)) as screen:
        return await play(scenario, seed, audience=screen, pause=pace or Pace(WATCHABLE_SPEED))


class Pace:
    """Holds virtual time back so that `speed` simulated seconds pass in a second, the run's own work included."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin: tuple[float, datetime] | None = None

    async def __call__(self, start: datetime, end: datetime) -> None:
        """Wait until `end` may come."""
        real, simulated = self._origin = self._origin or (time.monotonic(), start)
        due = real + (end - simulated).total_seconds() / self._speed
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def _speed(text: str) -> float:
    speed = float(text)
    if speed <= 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return speed


def _listing() -> str:
    return "\n\n".join(
        f"{scenario.name}: {scenario.title}\n{textwrap.indent(textwrap.fill(scenario.about, 96), '  ')}"
        for scenario in SCENARIOS.values()
    )


if __name__ == "__main__":
    sys.exit(main())
