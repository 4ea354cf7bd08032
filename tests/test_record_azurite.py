"""The record in Azurite, Microsoft's storage emulator: what no simulated table of ours could tell about Azure's own.

It is installed by npm into the virtual environment when GOLDROLL_NEEDS_AZURITE is set, as continuous integration does;
elsewhere it is used if it is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from adapters import connect
from demo.run import Run
from demo.scenario import Stage
from simulator.builders import Office
from simulator.transport import MANAGEMENT, AnyoneCredential
from tests.scenarios.small import small_rollout
from tests.test_record_whole import at, of, play, rows_of
from tests.triggers.durable import function_of
from triggers import records

VERSION = "3.35.0"
FOLDER = Path(sys.prefix) / f"azurite-{VERSION}"
MAIN = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "table" / "main.js"
READY_WITHIN, STOPPED_WITHIN = 30, 10


class Azurite:
    """A table service on loopback whose tables outlive its process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
        self._port = port
        self._command = [
            *(shutil.which("node") or "node", str(MAIN), "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
            *("--location", str(folder), "--tableHost", "127.0.0.1", "--tablePort", str(port)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                    return
            except OSError:
                assert time.monotonic() < deadline, "Azurite does not listen"
                assert self._process.poll() is None, "Azurite has ended"
                time.sleep(0.05)

    def stop(self) -> None:
        """End it as a service ends: what it has answered is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # the one signal at which it writes to disk what it has answered
            self._process.wait(STOPPED_WITHIN)
            self._process = None


@pytest.fixture
def azurite(tmp_path: Path) -> Iterator[Azurite]:
    """Azurite, running; skipped where it is not installed and nobody asks for it."""
    if sys.platform == "win32":
        pytest.skip("Windows has no signal at which Azurite writes to disk what it has answered")
    _install()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    azurite = Azurite(tmp_path, port)
    azurite.start()
    yield azurite
    azurite.stop()


def _install() -> None:
    if MAIN.exists():
        return
    if not os.environ.get("GOLDROLL_NEEDS_AZURITE"):
        pytest.skip(f"Azurite {VERSION} is not in {FOLDER}; with GOLDROLL_NEEDS_AZURITE=1 npm installs it there")
    npm = shutil.which("npm")
    assert npm, "GOLDROLL_NEEDS_AZURITE is set, and there is no npm"
    wanted = ["--no-audit", "--no-fund", "--prefix", str(FOLDER), f"azurite@{VERSION}"]
    subprocess.run([npm, "install", *wanted], check=True, timeout=300, stdout=subprocess.DEVNULL)


def ask(path: str, **params: str) -> Any:
    function, route = (records.show_record, {}) if path == "record" else (records.show_events, {"id": path})
    url = f"http://127.0.0.1/api/{path}"
    request = func.HttpRequest(method="GET", url=url, body=b"", params=params, route_params=route)
    return function_of(function)(request)


def test_a_whole_record_survives_an_outage_and_is_read_back_and_exported(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(stage: Stage, office: Office) -> None:
        stage.at("20:40", lambda: None)

    undisturbed = rows_of(play())
    run = Run(small_rollout(disturbed_by=waits), record=azurite.endpoint)
    run.clock.call_at(at("9:25"), azurite.stop)
    run.clock.call_at(at("10:40"), azurite.start)
    result = asyncio.run(run.play())
    assert not result.problems, result.problems

    monkeypatch.setenv("GOLDROLL_RECORD", azurite.endpoint)
    connect.use(connect.Connection(MANAGEMENT, AnyoneCredential()))
    try:
        (rollout,) = {row["Rollout"] for row in undisturbed if not row["Rollout"].endswith(":office")}
        pages, cursor, more = [], "", True
        while more:
            page = json.loads(ask(rollout, after=cursor, limit="7").get_body())
            pages += page["events"]
            cursor, more = page["next"], page["more"]
        exported = ask(rollout, format="csv", limit="1000").get_body().decode()
        then = json.loads(ask("record", pool="office", to=at("9:10").isoformat()).get_body())
    finally:
        connect.use(None)

    expected = {(row["Rollout"], row["Number"], row["Message"]) for row in of(undisturbed, "")}
    assert {(one["rollout"], str(one["number"]), one["message"]) for one in pages} == expected
    assert len(pages) == len(expected)
    assert exported.count("\r\n") == len(expected) + 1
    assert (then["before"]["phase"], then["before"]["version"]) == ("Canary", "2.0.0")
