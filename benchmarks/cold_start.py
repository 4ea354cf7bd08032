"""`python3 dev.py bench --cold-start`: what telemetry adds to the start of a process, in fresh processes, side by side.

A process is measured in three parts: importing the app and listing its functions, which every cold start does; loading
what the first turn of a rollout needs anyway; and the first measurement, span and line, which set telemetry up.
Seconds are the CPU's, as starting is little else: by the clock on the wall the rest of the machine would be measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
STARTS = 7
"""Of each kind, in turns: so whatever else the machine does strikes all of them alike. The median counts."""

TARGETS = ("off", "console", "azure")

NOWHERE = "InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=http://127.0.0.1:9/"
"""Nothing is sent before the process is over."""

PROGRAM = """
import json, logging, os, sys, time
started = time.process_time()
from function_app import app
functions = len(app.get_functions())
imported = time.process_time()
from adapters import connect, telemetry
from azure.identity import DefaultAzureCredential
azure = connect.Connection("https://management.azure.com", DefaultAzureCredential())
azure.arm(), azure.compute("s"), azure.desktop_virtualization("s")
loaded = time.process_time()
from rollout.measuring import Measurement
from rollout.subject import Subject
subject = Subject("rollout", "office", "avd-001")
with telemetry.span("provision_host", subject):
    telemetry.measure(lambda: [Measurement("rollout_hosts_desired", 3, {"pool": "office"})])
    logging.getLogger("goldroll.story").warning("a line", extra=subject.extra)
told = time.process_time()
sys.stderr.write(json.dumps([imported - started, loaded - imported, told - loaded]))
sys.stderr.flush()
os._exit(0)
"""


class ColdStart(Struct, frozen=True):
    """Medians, in seconds of CPU."""

    target: str
    app: float
    first_turn: float
    telemetry: float

    @property
    def whole(self) -> float:
        """From nothing to the first turn with its telemetry."""
        return self.app + self.first_turn + self.telemetry


def measure(starts: int) -> list[ColdStart]:
    """So many starts with telemetry off and to each target, after one of each that compiles what has to be."""
    found: dict[str, list[list[float]]] = {target: [] for target in TARGETS}
    for number in range(starts + 1):
        for target in TARGETS:
            seconds = _start(target)
            if number:
                found[target].append(seconds)
    return [
        ColdStart(target, *(statistics.median(part) for part in zip(*found[target], strict=True))) for target in TARGETS
    ]


def main(*, quick: bool, as_json: bool) -> int:
    """Measure and print."""
    starts = measure(3 if quick else STARTS)
    without = starts[0].whole
    table = Table("telemetry", "import the app", "load what a turn needs", "set telemetry up", "together", "ratio")
    for start in starts:
        seconds = [start.app, start.first_turn, start.telemetry, start.whole]
        table.add_row(start.target, *(f"{value:.2f} s" for value in seconds), f"{start.whole / without:.2f}")
    Console(stderr=as_json).print(table)
    if as_json:
        rows = {one.target: [one.app, one.first_turn, one.telemetry, one.whole / without] for one in starts}
        print(json.dumps(rows))
    return 0


def _start(target: str) -> list[float]:
    given = {"GOLDROLL_TELEMETRY": target, "APPLICATIONINSIGHTS_CONNECTION_STRING": NOWHERE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=os.environ | given, check=True, capture_output=True, text=True
    )
    seconds: list[float] = json.loads(done.stderr.splitlines()[-1])
    return seconds
