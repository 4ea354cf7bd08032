"""The local Functions host: loads an app, keeps its durable state, runs its functions and listens for requests."""

import asyncio
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from azure.durable_functions.models.utils import http_utils

from localhost.activity_runs import ActivityRuns
from localhost.app import AppError, load_app
from localhost.client import DurableClient
from localhost.clock import Clock, VirtualClock
from localhost.dispatcher import Dispatcher
from localhost.engine import Engine
from localhost.entity_batches import EntityBatches
from localhost.events import HostEvent, LogLine
from localhost.faults import ActivityFaults, CommitHook, HostCrashed
from localhost.management import ManagementApi
from localhost.schedule import TimerTrigger
from localhost.server import Server
from localhost.settings import AppSettings
from localhost.stats import Stats
from localhost.store import Instance, Store
from localhost.triggers import Triggers
from localhost.worker import Worker

# Azure's default is ten activities for each core; local apps and their simulated Azure share two cores or so.
_THREADS = 16


class Host:
    """Use it with `async with`.

    With a `VirtualClock` nothing happens outside `run_until`, except that requests run their functions at once. With
    other clocks the host works all the time.
    """

    def __init__(
        self,
        app_dir: str | Path,
        clock: Clock,
        store_path: str | Path = ":memory:",
        port: int = 7071,
        *,
        settings: Mapping[str, str] | None = None,
        faults: ActivityFaults | None = None,
        on_commit: CommitHook | None = None,
    ) -> None:
        """Nothing starts before `async with`.

        app_dir: where function_app.py is. store_path: the SQLite file; an existing one is resumed. port: 0 for a free
        one. settings: app settings, over the environment and local.settings.json. faults and on_commit are for tests:
        asked around each activity, told of each commit.
        """
        self._directory = Path(app_dir).resolve()
        self._clock = clock
        self._store_path = store_path
        self._wanted_port = port
        self._settings = settings
        self._faults = faults
        self._on_commit = on_commit
        self.stats = Stats()
        self._listeners: list[Callable[[HostEvent], None]] = []
        self._stack = AsyncExitStack()
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Load the app and listen. Raises AppError for an app that the real worker refuses, StoreError, OSError."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; work that was cut short runs again after the next start with the same store."""
        await self._stack.aclose()

    async def _start(self) -> None:
        virtual = isinstance(self._clock, VirtualClock)
        self._stack.enter_context(_without_sdk_advice())
        self._stack.enter_context(AppSettings(self._directory, self._settings))
        app = load_app(self._directory)
        options = _host_json(self._directory)
        self._store = Store(self._store_path, self._on_commit)
        self._stack.callback(self._store.close)
        worker = Worker(self._directory, self._client_binding, None if virtual else _THREADS)
        self._stack.callback(worker.close)
        engine = Engine(app, self._store, worker, self._clock, self._tell, self.stats)
        activities = ActivityRuns(app, self._store, worker, self._clock, self._tell, self.stats, self._faults)
        entities = EntityBatches(app, self._store, worker, self._clock)
        triggers = Triggers(worker, self._clock, self._tell)
        self._dispatcher = Dispatcher(
            self._store, engine, activities, entities, self._clock, triggers.run_timer, _THREADS
        )
        self.client = DurableClient(app, self._store, engine, self._clock, self._dispatcher.wake)
        self._management = ManagementApi(self.client, _hub(options), lambda: self.base_url)
        timers = [TimerTrigger(function) for function in app.of_kind("timerTrigger")]
        self._server = Server(
            app, _route_prefix(options), triggers, timers, self._management, self._dispatcher, in_parallel=not virtual
        )
        handler = _LogHandler(self._clock, self._tell)
        logging.getLogger().addHandler(handler)
        self._stack.callback(logging.getLogger().removeHandler, handler)
        # The SDK keeps one client session for the process; it must not outlive this event loop.
        self._stack.push_async_callback(http_utils._close_session)  # noqa: SLF001 -- it has no public one
        await self._server.start(self._wanted_port)
        self._stack.push_async_callback(self._server.stop)
        self._dispatcher.plan(timers)
        self._stack.push_async_callback(self._dispatcher.stop)
        if not virtual:
            self._serving = asyncio.create_task(self._serve())
            self._stack.push_async_callback(self._stop_serving, self._serving)

    async def _serve(self) -> None:
        try:
            await self._dispatcher.serve()
        except (HostCrashed, Exception) as error:  # noqa: BLE001 -- whoever waits for the host gets it
            self._dispatcher.crash(error)

    async def _stop_serving(self, serving: asyncio.Task[None]) -> None:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    @property
    def base_url(self) -> str:
        """The origin, such as http://127.0.0.1:7071, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.port}"

    def subscribe(self, listener: Callable[[HostEvent], None]) -> None:
        """Call `listener` with everything that happens from now on (see `localhost.events`); it must be quick."""
        self._listeners.append(listener)

    def instances(self, prefix: str = "") -> list[Instance]:
        """Every orchestration instance whose id begins with prefix, in the order of creation."""
        return self._store.instances(prefix)

    async def run_until(
        self, done: Callable[[], bool] | None = None, *, limit: datetime | timedelta | None = None
    ) -> bool:
        """Work until `done()`, or without it until nothing is left to do (recurring timer triggers aside).

        limit: a moment of the clock, or a span from now, at which to give up. True when the end was reached, False at
        the limit or, in virtual time, when nothing can happen any more. Raises HostCrashed when a test made it crash.
        """
        if isinstance(limit, timedelta):
            limit = self._clock.now() + limit
        return await self._dispatcher.run_until(done, limit)

    async def wait_failed(self) -> None:
        """Wait for ever, or until the host's own work fails; raises why."""
        await self._dispatcher.run_until(lambda: False, None)

    def _client_binding(self) -> str:
        return self._management.client_binding()

    def _tell(self, event: HostEvent) -> None:
        for listener in self._listeners:
            listener(event)


class _LogHandler(logging.Handler):
    """Turns log records into `LogLine` events at the host's time."""

    def __init__(self, clock: Clock, tell: Callable[[HostEvent], None]) -> None:
        super().__init__()
        self._clock = clock
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(LogLine(self._clock.now(), record.name, record.levelname, record.getMessage()))


@contextmanager
def _without_sdk_advice() -> Iterator[None]:
    """Silence two warnings of the SDK that apps cannot help: where warnings are errors they fail orchestrations."""
    with warnings.catch_warnings():
        # Once per process: advice to name types wherever JSON is decoded, also where the SDK itself decodes.
        warnings.filterwarnings("ignore", "azure.functions df_loads was called without", DeprecationWarning)
        # An event that comes before anybody waits for it, which is ordinary.
        warnings.filterwarnings("ignore", "Potential duplicate Task completion", UserWarning)
        yield


def _host_json(directory: Path) -> dict[str, Any]:
    path = directory / "host.json"
    if not path.is_file():
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise AppError(f"{path} is not JSON: {error}") from error
    return options if isinstance(options, dict) else {}


def _hub(options: Mapping[str, Any]) -> str:
    return str(options.get("extensions", {}).get("durableTask", {}).get("hubName", "TestHubName"))


def _route_prefix(options: Mapping[str, Any]) -> str:
    return str(options.get("extensions", {}).get("http", {}).get("routePrefix", "api"))
