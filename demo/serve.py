"""`python -m demo.serve`: the app on a local host and a simulated Azure, as two processes that talk over loopback HTTP.

Killing the local host leaves Azure as it is; `--host-only` with the same store takes up where it was killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from demo.commands import instructions, start_again
from demo.halves import WEBHOOK, Half, Place, Setting, run_azure, run_host, start, stop
from demo.policies import policy_text
from demo.run import APP
from demo.scenario import MORNING
from simulator.workload import PRESETS

READY_WITHIN = 60
"""Seconds that a half may take to listen; a cold start compiles the Azure libraries, which takes a few."""

STOPPED_WITHIN = 10
"""Seconds that a half may take to end before it is killed; it needs less than two."""

Halves = Mapping[Half, "subprocess.Popen[bytes]"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both halves, or one; the exit code is 0 after Ctrl+C, 1 with a message when something cannot start."""
    options = _options().parse_args(arguments)
    place = Place(options.store)
    try:
        if options.host_only:
            return run_host(place)
        if options.azure_only:
            return run_azure(place)
        setting = _setting(options)
        _refuse_to_disturb(place, setting)
        place.begin(setting)
        return _run_both(place, setting, options.ready_file)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on at this moment, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _refuse_to_disturb(place: Place, setting: Setting) -> None:
    """Raises OSError when a port is taken, or when the store belongs to a `serve` that still runs."""
    for port, option in ((setting.port, "--port"), (setting.azure_port, "--azure-port")):
        if _listens(port):
            raise OSError(f"port {port} is taken; choose another with {option} (0 takes a free one)")
    earlier = place.earlier()
    if earlier is not None and (_listens(earlier.port) or _listens(earlier.azure_port)):
        raise OSError(f"{place.store} is in use at {earlier.host_url}; stop that one, or choose another --store")


def _run_both(place: Place, setting: Setting, ready_file: Path | None) -> int:
    halves: dict[Half, subprocess.Popen[bytes]] = {}
    try:
        halves["azure"] = start("azure", place)
        _await_listening(setting.azure_port, halves["azure"])
        halves["host"] = start("host", place)
        _await_listening(setting.port, halves["host"])
        print(instructions(setting, place, halves["host"].pid), flush=True)
        if ready_file is not None:
            _tell_ready(ready_file, place, setting, halves)
        _watch(halves, place)
    finally:
        _stop(halves)
    return 0


def _await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError(f"the process for port {port} has ended with exit code {process.returncode}")
        if _listens(port):
            return
        time.sleep(0.1)
    raise OSError(f"nothing listens on port {port} after {READY_WITHIN} seconds")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _tell_ready(ready_file: Path, place: Place, setting: Setting, halves: Halves) -> None:
    """Write where everything is, for programs; the file appears complete or not at all."""
    pids: dict[str, int] = {"serve": os.getpid()}
    pids.update((half, process.pid) for half, process in halves.items())
    told = {
        "host_url": setting.host_url,
        "azure_url": setting.azure_url,
        "webhook_url": setting.host_url + WEBHOOK,
        "pids": pids,
        "store": str(place.store),
        "event": str(place.event),
    }
    draft = ready_file.with_name(ready_file.name + ".draft")
    draft.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    draft.replace(ready_file)


def _watch(halves: Halves, place: Place) -> None:
    """Wait until both have ended; one that ends alone is told of, and not started again."""
    running = dict(halves)
    while running:
        for half, process in list(running.items()):
            if process.poll() is not None:
                del running[half]
                print(_obituary(half, process.returncode, place, other_runs=bool(running)), flush=True)
        time.sleep(0.2)


def _obituary(half: Half, exit_code: int, place: Place, *, other_runs: bool) -> str:
    name, other = {
        "host": ("The local host", "The simulated Azure goes on: people work, VMs are made."),
        "azure": ("The simulated Azure", "The local host goes on and tries again; a new Azure begins from the start."),
    }[half]
    ended = f"{name} has ended (exit code {exit_code})."
    if not other_runs:
        return ended
    return f"\n{ended} {other}\nStart it again, in another terminal: {start_again(half, place)}\n"


def _stop(halves: Halves) -> None:
    """Let both end, and kill what does not. Another Ctrl+C meanwhile changes nothing."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for process in halves.values():
        stop(process)
    deadline = time.monotonic() + STOPPED_WITHIN
    for process in halves.values():
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _setting(options: argparse.Namespace) -> Setting:
    port, azure_port = free_ports(2)
    return Setting(
        real=datetime.now(UTC),
        simulated=MORNING,
        speed=options.speed,
        port=options.port or port,
        azure_port=options.azure_port or azure_port,
        hosts=options.hosts,
        people=options.people,
        workload=options.workload,
        seed=options.seed,
        policy=options.policy.read_text(encoding="utf-8") if options.policy else policy_text("office"),
    )


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python3 dev.py serve",
        description="Run the app on a local Functions host beside a simulated Azure, and say how to talk to them.",
    )
    options.add_argument("--port", type=int, default=7071, help="of the local host; 0 takes a free one (7071)")
    options.add_argument("--azure-port", type=int, default=7072, help="of the simulated Azure, likewise (7072)")
    options.add_argument("--speed", type=_above_zero, default=60.0, help="simulated seconds per second (60)")
    options.add_argument(
        "--store",
        type=Path,
        default=APP / ".serve" / "host.sqlite",
        help="file of the host's durable state (.serve/host.sqlite); what both halves share is written beside it",
    )
    options.add_argument("--hosts", type=_above_zero_whole, default=12, help="session hosts of the pool (12)")
    options.add_argument("--people", type=int, help="people who use it (six for ten session slots)")
    options.add_argument("--workload", choices=sorted(PRESETS), default="office", help="what they do all day (office)")
    options.add_argument("--seed", type=int, default=1, help="other people, other delays (1)")
    options.add_argument("--policy", type=Path, help="a policy file instead of the demo's own")
    options.add_argument(
        "--ready-file", type=Path, help="write URLs and process ids there, as JSON, when both halves listen"
    )
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


def _above_zero_whole(text: str) -> int:
    return int(_above_zero(str(int(text))))


if __name__ == "__main__":
    # Whoever ends this process by a signal or closes its terminal ends both halves, as Ctrl+C does.
    for ending in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), signal.default_int_handler)
    sys.exit(main())
