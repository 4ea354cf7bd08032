"""Where the end-to-end tests run: two processes of their own, or an app that runs already."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import requests

from demo.halves import WEBHOOK, Half, Place, Setting, start
from demo.policies import policy_text
from demo.scenario import MORNING
from demo.serve import free_ports
from rollout.model import Phase
from tests.waiting import wait_for

SPEED = 600
"""Simulated seconds per second: a rollout of three hosts, about three simulated hours, takes some twenty seconds, and
every stage of it is long enough to be met."""

IN_A_HURRY = 1800
"""For a test that meets no stage and waits for the end alone."""

POLICY = policy_text(
    "office",
    surge=1,
    canary={"bake": "PT5M"},
    drain={"grace": "PT20M", "reminders": ["PT5M"], "disconnected_grace": "PT5M"},
    # On a busy machine simulated hours may pass between two turns, which is no fault of a new host.
    health={"settle": "PT2M", "ready_within": "PT12H"},
)

NEVER_BY_ITSELF = "0 0 6 * * *"
"""The sweep's schedule: six in the morning is 22 simulated hours away, so that only a test runs it."""

VERSION = "2.1.0"


class Stand:
    """The app under test, and the simulated Azure behind it unless GOLDROLL_E2E_URL names an app that runs already.

    Of such an app nothing is known but its HTTP functions; `owns_processes` tells.
    """

    def __init__(self, folder: Path, *, speed: float = SPEED) -> None:
        """`folder` holds the store and the logs of both processes, `speed` are simulated seconds per second."""
        self.url = os.environ.get("GOLDROLL_E2E_URL", "").rstrip("/")
        self.owns_processes = not self.url
        self._azure_url = ""
        self._folder = folder
        self._speed = speed
        self._place = Place(folder / "e2e.sqlite")
        self._processes: dict[Half, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start what is to be started, and wait until it answers."""
        try:
            if self.owns_processes:
                self._start_both()
            self.rollouts_once_it_answers()
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what was started, whatever it is at."""
        self._kill_all()

    def _kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start_both(self) -> None:
        port, azure_port = free_ports(2)
        setting = Setting(
            real=datetime.now(UTC),
            simulated=MORNING,
            speed=self._speed,
            port=port,
            azure_port=azure_port,
            hosts=3,
            people=9,
            workload="stubborn",  # never sign out by themselves: each drain lasts the whole grace period
            seed=1,
            policy=POLICY,
        )
        self.url, self._azure_url = setting.host_url, setting.azure_url
        self._place.begin(setting)
        self._start("azure")
        wait_for("Azure answers", self.azure)
        self.start_host()

    # ------------------------------------------------------------------------------------------------------ processes

    def start_host(self) -> None:
        """Start the local host on the store that there is."""
        self._start("host")

    def kill_host(self) -> None:
        """Kill the local host without any warning (kill -9)."""
        process = self._processes["host"]
        process.kill()
        process.wait()

    def _start(self, half: Half) -> None:
        with (self._folder / f"{half}.log").open("ab") as log:
            never = dict.fromkeys(("GOLDROLL_SWEEP_SCHEDULE", "GOLDROLL_RETIREMENT_SCHEDULE"), NEVER_BY_ITSELF)
            self._processes[half] = start(half, self._place, log=log, environment=never)

    # -------------------------------------------------------------------------------------------------------- the app

    def post_event(self, body: object, *, event_type: str = "Notification", content_type: str = "json") -> int:
        """Post to the Event Grid webhook, text as it is and anything else as JSON; returns the status."""
        headers = {"aeg-event-type": event_type, "Content-Type": f"application/{content_type}; charset=utf-8"}
        data = body if isinstance(body, str) else json.dumps(body)
        return self._ask("POST", self.url + WEBHOOK, data=data.encode(), headers=headers).status_code

    def run_sweep(self) -> int:
        """Run the timer function now, as an administrator may; returns the status."""
        return self._ask("POST", f"{self.url}/admin/functions/sweep", json={}).status_code

    def rollouts(self) -> list[dict[str, Any]]:
        """Every rollout, in short."""
        return list(self._json("GET", f"{self.url}/api/rollouts")["rollouts"])

    def rollouts_once_it_answers(self) -> list[dict[str, Any]]:
        """Every rollout, as soon as there is somebody to ask."""
        return wait_for("the app answers", lambda: {"rollouts": self.rollouts()})["rollouts"]

    def pool(self, rollout_id: str) -> dict[str, Any]:
        """Where the rollout's only pool stands; empty before it has begun."""
        pools = self._json("GET", f"{self.url}/api/rollouts/{rollout_id}")["pools"]
        return dict(pools[0]) if pools else {}

    def started(self) -> str:
        """The id of the only rollout, as soon as there is one."""
        (rollout,) = wait_for("a rollout has started", self.rollouts)
        return str(rollout["id"])

    def wait_in_rollout(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until `reached`; fails at once when the only rollout is over before."""

        def ask() -> bool:
            if reached():
                return True
            (only,) = self.rollouts()
            assert only["phase"] not in _FINAL, f"the rollout ended before this: {what}; {only}"
            return False

        wait_for(what, ask)

    def ended(self) -> dict[str, Any]:
        """The only rollout, as soon as it has ended."""

        def ask() -> dict[str, Any] | None:
            (only,) = self.rollouts()
            return only if only["phase"] in _FINAL else None

        return wait_for("the rollout has ended", ask)

    def retirement(self) -> dict[str, Any]:
        """What would become of the versions of the image, and how the last run went."""
        return self._json("GET", f"{self.url}/api/images/office/retirement")

    def retire(self) -> dict[str, Any]:
        """Carry that out; the run."""
        return self._json("POST", f"{self.url}/api/images/office/retirement", json={"reason": "for the test"})

    # ---------------------------------------------------------------------------------------------------------- Azure

    def azure(self) -> dict[str, Any]:
        """What the simulated Azure holds."""
        return self._json("GET", f"{self._azure_url}/simulator/state")

    def assert_all_hosts_are_current(self) -> None:
        """Every host is on the version, in service, registered once and backed by one VM; nothing is left over."""
        azure = self.azure()
        assert azure["hosts_by_version"] == {VERSION: 3}
        assert sorted(azure["machines"]) == sorted(host["name"] for host in azure["hosts"])
        assert [host["status"] for host in azure["hosts"]] == ["Available"] * 3
        left = {kind: azure[kind] for kind in ("drained", "tagged", "orphans", "duplicates")}
        assert left == {"drained": [], "tagged": {}, "orphans": [], "duplicates": []}

    def publish(self, version: str, *, announced: bool) -> None:
        """Publish a version that is in its region a simulated minute later; unannounced, its event is lost."""
        body = {"name": version, "takes": {"uksouth": 1}, "announced": announced}
        self._json("POST", f"{self._azure_url}/simulator/versions", json=body)

    def event(self, version: str = VERSION) -> dict[str, Any]:
        """The event that announces a version, in Event Grid's own schema."""
        return write_event(f"{self.azure()['definition']}/versions/{version}")

    # ------------------------------------------------------------------------------------------------------- requests

    def _json(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        answer = self._ask(method, url, **content)
        answer.raise_for_status()
        return dict(answer.json())

    def _ask(self, method: str, url: str, **content: Any) -> requests.Response:
        return requests.request(method, url, timeout=30, **content)


_FINAL = {
    Phase.HALTED,
    Phase.SUPERSEDED,
    Phase.SUCCEEDED,
    Phase.SUCCEEDED_WITH_SKIPS,
    Phase.REFUSED,
    Phase.FAILED,
}


def write_event(
    resource_id: str, operation: str = "Microsoft.Compute/galleries/images/versions/write"
) -> dict[str, Any]:
    """An event that tells that a resource was written."""
    return {
        "id": "4d1c1bf2-3f2c-4f0e-9d0c-9a9f4c0a7e11",
        "topic": "/subscriptions/11111111-2222-4333-8444-555555555555",
        "subject": resource_id,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "eventTime": "2026-11-23T08:00:00.0000000Z",
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {"resourceUri": resource_id, "operationName": operation, "status": "Succeeded"},
    }
