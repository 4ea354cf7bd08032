"""`python -m demo.serve`: the app on a local host and a simulated Azure, as two processes that talk over loopback HTTP.

Killing the local host leaves Azure as it is; `--host-only` with the same store takes up where it was killed. What the
two halves must agree on (time, ports, policy) is written beside the store.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

import localhost.__main__
from demo.commands import instructions
from demo.policies import REGION, host_prefix, policy_text
from demo.run import APP
from demo.scenario import MORNING
from simulator import event_grid
from simulator.arm import Arm
from simulator.builders import Office, office_pool
from simulator.clock import ScaledClock
from simulator.estate import Estate
from simulator.galleries import WRITE, Announcement, Takes
from simulator.server import Server, serve
from simulator.wire import Json

READY_WITHIN = 60
"""Seconds that a half may take to listen; a cold start compiles the Azure libraries, which takes a few."""

FORGOTTEN_VERSION = "2.0.0"
"""A version that lies in the gallery since last week and that nobody has announced: an event by hand starts it."""


class Setting(Struct, frozen=True, kw_only=True):
    """What both halves must know. `real` and `simulated` are the same instant on the two clocks."""

    real: datetime
    simulated: datetime
    speed: float
    port: int
    azure_port: int
    hosts: int
    people: int | None
    seed: int
    policy: str

    @property
    def host_url(self) -> str:
        """Where the local host listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def azure_url(self) -> str:
        """Where the simulated Azure listens."""
        return f"http://127.0.0.1:{self.azure_port}"


class Place:
    """The store's file and what lies beside it."""

    def __init__(self, store: Path) -> None:
        self.store = store.absolute()
        self._setting = self.store.with_name(self.store.name + ".setting.json")
        self.policy = self.store.with_name(self.store.name + ".goldroll.yaml")
        self.event = self.store.with_name(self.store.name + ".event.json")

    def begin(self, setting: Setting) -> None:
        """Start anew: no state of an earlier run, which would be about another Azure.

        Raises FileExistsError for a store that is not one of ours.
        """
        if self.store.exists() and not self._setting.exists():
            raise FileExistsError(f"{self.store} exists and is no store of this command; choose another --store")
        self.store.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            self.store.with_name(self.store.name + suffix).unlink(missing_ok=True)
        self._setting.write_bytes(msgspec.json.encode(setting))
        self.policy.write_text(setting.policy, encoding="utf-8")

    def read(self) -> Setting:
        """What was agreed on at the start. Raises FileNotFoundError when nothing was."""
        if not self._setting.exists():
            raise FileNotFoundError(f"{self._setting} does not exist: start both halves first, without --host-only")
        return msgspec.json.decode(self._setting.read_bytes(), type=Setting)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both halves, or one; the exit code is 0 after Ctrl+C, 1 with a message when something cannot start."""
    options = _options().parse_args(arguments)
    place = Place(options.store)
    try:
        if options.host_only:
            return run_host(place)
        if options.azure_only:
            return run_azure(place)
        place.begin(_setting(options))
        return _run_both(place)
    except (OSError, msgspec.ValidationError) as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


# --------------------------------------------------------------------------------------------------------- one half


def run_host(place: Place) -> int:
    """Run the local host until it is interrupted."""
    setting = place.read()
    os.environ["GOLDROLL_POLICY"] = str(place.policy)
    os.environ["GOLDROLL_ARM_ENDPOINT"] = setting.azure_url
    os.environ.setdefault("GOLDROLL_SWEEP_SCHEDULE", "0 */15 * * * *")
    origin = f"{setting.real.isoformat()},{setting.simulated.isoformat()}"
    arguments = ["--app", str(APP), "--port", str(setting.port), "--store", str(place.store)]
    return localhost.__main__.main([*arguments, "--speed", str(setting.speed), "--clock-origin", origin])


def run_azure(place: Place) -> int:
    """Run the simulated Azure until it is interrupted."""
    setting = place.read()
    clock = ScaledClock(setting.real, setting.simulated, setting.speed)
    estate = Estate(clock, setting.seed)
    office = office_pool(
        estate, setting.hosts, setting.people, name="office", region=REGION, host_prefix=host_prefix("office")
    )
    place.event.write_text(json.dumps(_forgotten_version(office), indent=2) + "\n", encoding="utf-8")
    webhook = f"{setting.host_url}/runtime/webhooks/eventgrid?functionName=image_published"
    server = Server(office, Arm(estate), port=setting.azure_port, webhook=webhook)
    asyncio.run(_until_interrupted(server))
    return 0


def _forgotten_version(office: Office) -> list[Json]:
    """Put a version of last week into the gallery, too old for the sweep; returns the events that announce it."""
    estate = office.estate
    version = estate.galleries.publish(
        office.version_id(FORGOTTEN_VERSION),
        {office.region: 1},
        takes={office.region: Takes(timedelta(0))},
        announced=False,
    )
    estate.now()
    version.published_at -= timedelta(days=7)
    event, correlation = "0b2b4a4e-0000-4000-8000-000000000001", "0b2b4a4e-0000-4000-8000-000000000002"
    announcement = Announcement(event, version.published_at, version.id, WRITE, "PUT", correlation)
    return event_grid.events_of(announcement)


async def _until_interrupted(server: Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        # signal.signal and not the loop's own handlers, which Windows lacks.
        with contextlib.suppress(AttributeError):
            signal.signal(getattr(signal, name), lambda *_: loop.call_soon_threadsafe(stop.set))
    await serve(server, lambda url: print(f"Simulated Azure at {url}", flush=True), stop)


# --------------------------------------------------------------------------------------------------------- both halves


def _run_both(place: Place) -> int:
    setting = place.read()
    azure = _start("--azure-only", place)
    host = _start("--host-only", place)
    halves = {"the simulated Azure": azure, "the local host": host}
    try:
        _await_listening(setting.azure_port, azure)
        _await_listening(setting.port, host)
        print(instructions(setting.host_url, setting.azure_url, place.event, place.store), flush=True)
        return _watch(halves, place)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(list(halves.values()))


def _start(half: str, place: Place) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "demo.serve", half, "--store", str(place.store)]
    return subprocess.Popen(command, cwd=APP, stdin=subprocess.DEVNULL)


def _await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError(f"the process for port {port} has ended with exit code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise OSError(f"nothing listens on port {port} after {READY_WITHIN} seconds")


def _watch(halves: dict[str, subprocess.Popen[bytes]], place: Place) -> int:
    """Wait until both have ended; one that ends alone is told of, and not started again."""
    running = dict(halves)
    while running:
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            print(f"{name} has ended (exit code {process.returncode}); what else runs goes on.", flush=True)
            if name == "the local host" and running:
                print(f"Start it again with: python3 dev.py serve --host-only --store {place.store}", flush=True)
        time.sleep(0.2)
    return 0


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ctrl+C has reached them as well on a terminal; whoever sent a signal to this process alone gets the same end."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _setting(options: argparse.Namespace) -> Setting:
    return Setting(
        real=datetime.now(UTC),
        simulated=MORNING,
        speed=options.speed,
        port=options.port,
        azure_port=options.azure_port,
        hosts=options.hosts,
        people=options.people,
        seed=options.seed,
        policy=options.policy.read_text(encoding="utf-8") if options.policy else policy_text("office"),
    )


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python3 dev.py serve",
        description="Run the app on a local Functions host beside a simulated Azure, and say how to talk to them.",
    )
    options.add_argument("--port", type=int, default=7071, help="of the local host (7071)")
    options.add_argument("--azure-port", type=int, default=7072, help="of the simulated Azure (7072)")
    options.add_argument("--speed", type=_above_zero, default=60.0, help="simulated seconds per second (60)")
    options.add_argument("--store", type=Path, default=APP / "serve.sqlite", help="file of the host's durable state")
    options.add_argument("--hosts", type=int, default=12, help="session hosts of the pool (12)")
    options.add_argument("--people", type=int, help="people who use it (six for ten session slots)")
    options.add_argument("--seed", type=int, default=1, help="other people, other delays (1)")
    options.add_argument("--policy", type=Path, help="a policy file instead of the demo's own")
    half = options.add_mutually_exclusive_group()
    half.add_argument(
        "--host-only", action="store_true", help="run the local host alone, on the store of an earlier run"
    )
    half.add_argument("--azure-only", action="store_true", help="run the simulated Azure alone, likewise")
    return options


def _above_zero(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return value


if __name__ == "__main__":
    # Whoever ends this process by a signal ends both halves, as Ctrl+C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
