"""The two halves of `serve`, each a process: the app on a local host, and a simulated Azure that it talks to over HTTP.

What they must agree on (time, ports, policy) is written beside the host's store, so that either can be started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
from msgspec import Struct

import localhost.__main__
from demo.access import least_privilege
from demo.policies import REGION, host_prefix
from demo.run import APP
from demo.surroundings import furnish
from rollout.policy_file import read_policy
from simulator import event_grid
from simulator.arm import Arm
from simulator.builders import Office, office_pool
from simulator.clock import ScaledClock
from simulator.estate import Estate
from simulator.galleries import WRITE, Announcement, Takes
from simulator.server import ACCOUNT, RECEIVER, Server, serve
from simulator.wire import Json
from simulator.workload import PRESETS

Half = Literal["host", "azure"]

FORGOTTEN_VERSION = "2.0.0"
"""A version that lies in the gallery since last week and that nobody has announced: an event by hand starts it."""

WEBHOOK = "/runtime/webhooks/eventgrid?functionName=image_published"
"""Where the local host takes Event Grid's deliveries, as the real Functions host does."""

_FORGOTTEN_FOR = timedelta(days=7)
"""Longer than the three days that the sweep looks back by default: only its event can start it."""

OWN_GROUP: dict[str, Any] = {"process_group": 0}
"""Options of Popen for a process that Ctrl+C in this terminal does not reach."""
if sys.platform == "win32":
    OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


class Setting(Struct, frozen=True, kw_only=True):
    """What both halves must know. `real` and `simulated` are the same instant on the two clocks."""

    real: datetime
    simulated: datetime
    speed: float
    port: int
    azure_port: int
    hosts: int
    people: int | None
    workload: str
    seed: int
    policy: str

    @property
    def host_url(self) -> str:
        """Where the local host listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dashboard_url(self) -> str:
        """The page that shows it all."""
        return f"{self.host_url}/api/dashboard"

    @property
    def azure_url(self) -> str:
        """Where the simulated Azure listens."""
        return f"http://127.0.0.1:{self.azure_port}"


class Place:
    """The store's file and what lies beside it."""

    def __init__(self, store: Path) -> None:
        """Nothing is written before `begin`."""
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

    def earlier(self) -> Setting | None:
        """What an earlier run agreed on here, None when there was none or an older version of this command wrote it."""
        try:
            return self.read()
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def read(self) -> Setting:
        """What was agreed on at the start. Raises FileNotFoundError when nothing was, MsgspecError."""
        if not self._setting.exists():
            raise FileNotFoundError(f"{self._setting} does not exist: start both halves first, without --host-only")
        return msgspec.json.decode(self._setting.read_bytes(), type=Setting)


def start(
    half: Half, place: Place, *, log: IO[bytes] | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start one half as a process; it prints to `log`, or where this process prints.

    Ctrl+C does not reach it, only whoever started it, and that one tells it to `stop`.
    """
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", "demo.serve", f"--{half}-only", "--store", str(place.store)],
        cwd=APP,
        env={**os.environ, "PYTHONUTF8": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        **OWN_GROUP,
    )
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a half to end; harmless when it has."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.terminate()


def run_host(place: Place) -> int:
    """Run the local host in this process until it is interrupted; the exit code."""
    setting = place.read()
    os.environ["GOLDROLL_POLICY"] = str(place.policy)
    os.environ["GOLDROLL_ARM_ENDPOINT"] = setting.azure_url
    os.environ.setdefault("GOLDROLL_RECORD", setting.azure_url + ACCOUNT)
    os.environ.setdefault("GOLDROLL_WEBHOOK", setting.azure_url + RECEIVER)
    os.environ.setdefault("GOLDROLL_SWEEP_SCHEDULE", "0 */15 * * * *")
    os.environ.setdefault("GOLDROLL_RETIREMENT_SCHEDULE", "0 30 3 * * *")
    os.environ.setdefault("GOLDROLL_VIEW_SECONDS", f"{max(0.5, 30 / setting.speed):g}")
    origin = f"{setting.real.isoformat()},{setting.simulated.isoformat()}"
    arguments = ["--app", str(APP), "--port", str(setting.port), "--store", str(place.store)]
    return localhost.__main__.main([*arguments, "--speed", str(setting.speed), "--clock-origin", origin])


def run_azure(place: Place) -> int:
    """Run the simulated Azure in this process until it is interrupted; the exit code."""
    setting = place.read()
    estate = Estate(ScaledClock(setting.real, setting.simulated, setting.speed), setting.seed)
    office = office_pool(
        estate,
        setting.hosts,
        setting.people,
        name="office",
        region=REGION,
        host_prefix=host_prefix("office"),
        workload=PRESETS[setting.workload],
    )
    place.event.write_text(json.dumps(_forgotten_version(office), indent=2) + "\n", encoding="utf-8")
    policy = read_policy(setting.policy)
    furnish(estate, policy, REGION)
    access = least_privilege(policy)
    server = Server(office, Arm(estate, access=access), port=setting.azure_port, webhook=setting.host_url + WEBHOOK)
    asyncio.run(_until_interrupted(server))
    return 0


def _forgotten_version(office: Office) -> list[Json]:
    """Put a version of last week into the gallery, too old for the sweep; returns the events that announce it."""
    estate = office.estate
    version = office.publish(FORGOTTEN_VERSION, takes={office.region: Takes(timedelta(0))}, announced=False)
    estate.now()
    version.published_at -= _FORGOTTEN_FOR
    event, correlation = "0b2b4a4e-0000-4000-8000-000000000001", "0b2b4a4e-0000-4000-8000-000000000002"
    return event_grid.events_of(Announcement(event, version.published_at, version.id, WRITE, "PUT", correlation))


async def _until_interrupted(server: Server) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        # signal.signal and not the loop's own handlers, which Windows lacks.
        with contextlib.suppress(AttributeError):
            signal.signal(getattr(signal, name), lambda *_: loop.call_soon_threadsafe(stopped.set))
    await serve(server, lambda url: print(f"Simulated Azure at {url}", flush=True), stopped)
