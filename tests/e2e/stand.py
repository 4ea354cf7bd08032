"""Where the end-to-end tests run: two processes of their own, or wherever GOLDROLL_E2E_URL says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp

from demo.policies import policy_text
from demo.run import APP
from demo.scenario import MORNING
from demo.serve import Place, Setting

SPEED = 400
"""Simulated seconds per second: a rollout of three hosts takes less than half a minute."""

POLICY = policy_text(
    "office",
    surge=1,
    canary={"bake": "PT5M"},
    drain={"grace": "PT20M", "reminders": ["PT5M"], "disconnected_grace": "PT5M"},
    # On a busy machine simulated hours may pass between two turns, which is no fault of a new host.
    health={"settle": "PT2M", "ready_within": "PT12H"},
)

WEBHOOK = "/runtime/webhooks/eventgrid?functionName=image_published"
PATIENCE = 120.0
"""Seconds after which what is waited for counts as missing; nothing here takes a quarter of that."""


class Stand:
    """The app under test and the simulated Azure behind it, over HTTP.

    By default both are processes of this stand's own. GOLDROLL_E2E_URL and GOLDROLL_E2E_AZURE_URL name others, which
    then cannot be killed: `owns_processes` tells.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` holds the store."""
        self.url = os.environ.get("GOLDROLL_E2E_URL", "").rstrip("/")
        self.azure_url = os.environ.get("GOLDROLL_E2E_AZURE_URL", "").rstrip("/")
        self.owns_processes = not self.url
        self._place = Place(folder / "e2e.sqlite")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        """Start what is to be started, and wait until it answers."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        if self.owns_processes:
            port, azure_port = _free_port(), _free_port()
            self.url, self.azure_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{azure_port}"
            setting = Setting(
                real=datetime.now(UTC),
                simulated=MORNING,
                speed=SPEED,
                port=port,
                azure_port=azure_port,
                hosts=3,
                people=9,
                seed=1,
                policy=POLICY,
            )
            self._place.begin(setting)
            self._start("--azure-only")
            await self.until("Azure answers", self.azure)
            self.start_host()
        await self.until("the host answers", lambda: self.get("/api/rollouts"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the processes, whatever they are at."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        await self._http.close()

    def start_host(self) -> None:
        """Start the local host on the store that there is."""
        self._start("--host-only")

    def kill_host(self) -> None:
        """Kill the local host without any warning."""
        process = self._processes["--host-only"]
        process.kill()
        process.wait()

    async def get(self, path: str) -> Any:
        """The JSON that the app answers."""
        async with self._http.get(self.url + path) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post_event(self, body: str, event_type: str = "Notification") -> int:
        """Post to the Event Grid webhook; the status."""
        headers = {"aeg-event-type": event_type, "Content-Type": "application/json"}
        async with self._http.post(self.url + WEBHOOK, data=body, headers=headers) as answer:
            return answer.status

    async def azure(self) -> Any:
        """What the simulated Azure holds."""
        async with self._http.get(self.azure_url + "/simulator/state") as answer:
            answer.raise_for_status()
            return await answer.json()

    def event(self) -> str:
        """The Event Grid event of the version that nobody has announced."""
        return self._place.event.read_text(encoding="utf-8")

    async def rollouts(self) -> list[dict[str, Any]]:
        """Every rollout, in short."""
        answer = await self.get("/api/rollouts")
        return list(answer["rollouts"])

    async def pool(self, rollout: str) -> dict[str, Any]:
        """Where the rollout's only pool stands; empty before it has begun."""
        pools = (await self.get(f"/api/rollouts/{rollout}"))["pools"]
        return dict(pools[0]) if pools else {}

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask again and again until the answer is something; fails when that takes too long."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                if answer := await ask():
                    return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"after {PATIENCE:.0f} seconds still not: {what}")

    def _start(self, half: str) -> None:
        command = [sys.executable, "-m", "demo.serve", half, "--store", str(self._place.store)]
        with (self._place.store.parent / f"{half[2:]}.log").open("ab") as log:
            self._processes[half] = subprocess.Popen(
                command, cwd=APP, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
