"""Runs a simulated Azure as a process: `python -m simulator --hosts 12`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, office_pool
from simulator.clock import ScaledClock
from simulator.estate import Estate
from simulator.event_grid import Schema, Subscription
from simulator.faults import AWFUL, FLAKY, Faults
from simulator.server import Server, serve
from simulator.workload import PRESETS

_FAULTS = {"none": None, "flaky": FLAKY, "awful": AWFUL}


def main(arguments: Sequence[str] | None = None) -> int:
    """Build an office and serve it until interrupted; the exit code is 0."""
    chosen = _parser().parse_args(arguments)
    server = build(chosen)
    # Ctrl-C on Windows arrives as KeyboardInterrupt, because its event loop takes no signal handlers.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_until_interrupted(server))
    return 0


def build(chosen: argparse.Namespace) -> Server:
    """The server that the command line asks for."""
    real, simulated = chosen.clock_origin or (datetime.now(UTC), MONDAY_MORNING)
    faults = Faults(chosen.seed, _FAULTS[chosen.faults])
    estate = Estate(ScaledClock(real, simulated, chosen.speed), chosen.seed, faults=faults)
    office = office_pool(
        estate,
        chosen.hosts,
        chosen.people,
        max_session_limit=chosen.max_session_limit,
        workload=PRESETS[chosen.workload],
        spare_hosts=chosen.spare_hosts,
        powered_off=chosen.powered_off,
    )
    subscription = Subscription(Schema(chosen.schema), seed=chosen.seed)
    arm = Arm(estate, page_size=chosen.page_size, throttled=chosen.throttled)
    return Server(office, arm, port=chosen.port, webhook=chosen.webhook, subscription=subscription)


async def _until_interrupted(server: Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    await serve(server, lambda url: print(f"simulated Azure at {url}", flush=True), stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "simulator", description="A simulated Azure with one host pool, over loopback HTTP."
    )
    parser.add_argument("--port", type=int, default=7072, help="0 takes a free port (default: 7072)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that happens by chance (default: 1)")
    parser.add_argument("--hosts", type=int, default=12, help="session hosts of the pool (default: 12)")
    parser.add_argument("--people", type=int, help="people who use the pool (default: 60 %% of its session slots)")
    parser.add_argument("--max-session-limit", type=int, default=10, help="sessions a host carries (default: 10)")
    parser.add_argument("--workload", choices=sorted(PRESETS), default="office", help="what people do all day")
    parser.add_argument("--spare-hosts", type=int, help="how many more hosts the quota allows (default: endless)")
    parser.add_argument("--powered-off", type=int, default=0, help="hosts that are deallocated (default: 0)")
    parser.add_argument("--faults", choices=sorted(_FAULTS), default="none", help="how often Azure fails")
    parser.add_argument("--throttled", action="store_true", help="apply Azure's request limits")
    parser.add_argument("--page-size", type=int, default=200, help="items on a page of a list (default: 200)")
    parser.add_argument("--webhook", default="", help="URL that Event Grid posts image versions to")
    parser.add_argument("--schema", choices=[*Schema], default=Schema.EVENT_GRID.value, help="of the posted events")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per real second (default: 1)")
    parser.add_argument(
        "--clock-origin",
        type=_origin,
        metavar="REAL,SIMULATED",
        help="two instants (ISO 8601) that belong together, so that several processes share one simulated time",
    )
    return parser


def _origin(text: str) -> tuple[datetime, datetime]:
    real, _, simulated = text.partition(",")
    try:
        instants = datetime.fromisoformat(real), datetime.fromisoformat(simulated)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not two instants: {error}") from None
    if any(instant.tzinfo is None for instant in instants):
        raise argparse.ArgumentTypeError(f"{text!r} lacks an offset from UTC, such as Z")
    return instants


if __name__ == "__main__":
    sys.exit(main())
