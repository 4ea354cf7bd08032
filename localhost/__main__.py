"""Runs the local host as a process: `python -m localhost --app DIR --port 7071 --store FILE --speed X`."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from localhost.app import AppError
from localhost.clock import Clock, RealClock, ScaledClock
from localhost.events import HostEvent, InstanceFinished, LogLine
from localhost.history import timestamp
from localhost.host import Host
from localhost.store import StoreError


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; 0 then, 1 with a message when it cannot start or fails."""
    options = _parser().parse_args(arguments)
    # The host prints log records itself, with its own time; libraries' chatter stays out.
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        return asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 0
    except (AppError, StoreError, OSError) as error:
        print(f"localhost: {error}", file=sys.stderr)
        return 1


async def _serve(options: argparse.Namespace) -> int:
    stop = _stop_on_signals()
    host = Host(options.app, _clock(options), options.store, options.port)
    host.subscribe(_print)
    async with host:
        print(f"Listening on {host.base_url}", flush=True)
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(host.wait_failed())]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        for task in done:
            task.result()
    return 0


def _clock(options: argparse.Namespace) -> Clock:
    if options.clock_origin is None and options.speed == 1:
        return RealClock()
    now = datetime.now(UTC)
    real, simulated = options.clock_origin or (now, now)
    return ScaledClock(real, simulated, options.speed)


def _stop_on_signals() -> asyncio.Event:
    """An event that is set by the first SIGINT, SIGTERM or, on Windows, Ctrl+Break."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        # signal.signal and not the loop's own handlers, which Windows lacks.
        with contextlib.suppress(AttributeError):
            signal.signal(getattr(signal, name), lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _print(event: HostEvent) -> None:
    if isinstance(event, LogLine):
        print(f"{timestamp(event.at)[:19]}Z {event.level:7} {event.logger}: {event.message}", flush=True)
    elif isinstance(event, InstanceFinished):
        line = f"{event.name} '{event.instance_id}': {event.status}"
        print(f"{timestamp(event.at)[:19]}Z INFO    {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localhost", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, help="the directory of function_app.py")
    parser.add_argument("--port", type=int, default=7071, help="0 for a free one")
    parser.add_argument("--store", default=":memory:", help="the SQLite file of the state; an existing one is resumed")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds for each real second")
    parser.add_argument(
        "--clock-origin",
        type=_origin,
        metavar="REAL,SIMULATED",
        help="two moments in ISO 8601 that coincide; processes with the same three numbers share their time",
    )
    return parser


def _origin(text: str) -> tuple[datetime, datetime]:
    real, simulated = (datetime.fromisoformat(part.strip()) for part in text.split(","))
    if real.tzinfo is None or simulated.tzinfo is None:
        raise argparse.ArgumentTypeError("both moments need an offset or Z")
    return real, simulated


if __name__ == "__main__":
    sys.exit(main())
