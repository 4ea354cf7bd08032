"""The command line as people use it, as a process, against the app over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.run import APP
from tests.e2e.stand import IN_A_HURRY, VERSION, Stand
from tests.waiting import wait_for


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """The app, and a version that nobody has announced to it."""
    with Stand(tmp_path, speed=IN_A_HURRY) as stand:
        if not stand.owns_processes:
            pytest.skip("GOLDROLL_E2E_URL names a running app: this test publishes a version of its own")
        stand.publish(VERSION, announced=False)
        wait_for("the version is complete", lambda: stand.azure()["versions"][VERSION]["state"] == "Succeeded")
        yield stand


def test_a_rollout_is_planned_started_and_watched_to_its_end(stand: Stand, tmp_path: Path) -> None:
    def goldroll(*line: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "command_line", "--url", stand.url, *line]
        return subprocess.run(
            command, cwd=APP, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
        )

    plan = tmp_path / "plan.json"
    planned = goldroll("plan", "office", "--save", str(plan))
    assert planned.returncode == 0, planned.stderr
    assert "3 hosts would be replaced" in planned.stdout

    watched = goldroll("--json", "start", "office", VERSION, "--plan", str(plan), "--watch")

    assert watched.returncode == 0, watched.stdout + watched.stderr
    ended = json.loads(watched.stdout)
    assert ended["phase"] == "Succeeded"
    assert ended["compared"][0].startswith("office: took ")
    stand.assert_all_hosts_are_current()
    assert goldroll("abort", "latest", "--reason", "too late").returncode == 3
