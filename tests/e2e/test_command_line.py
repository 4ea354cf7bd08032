"""The command line as people use it, as a process, against the app over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.run import APP
from tests.e2e.stand import VERSION, Stand
from tests.waiting import wait_for


@pytest.fixture
def goldroll(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs a command line and gives what came of it."""
    with Stand(tmp_path) as stand:
        if not stand.owns_processes:
            pytest.skip("GOLDROLL_E2E_URL names a running app: this test publishes a version of its own")
        stand.publish(VERSION, announced=False)
        wait_for("the version is complete", lambda: stand.azure()["versions"][VERSION]["state"] == "Succeeded")

        def run(*line: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "command_line", "--url", stand.url, *line]
            return subprocess.run(
                command, cwd=APP, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
            )

        yield run


def test_a_rollout_is_planned_started_and_watched_to_its_end(goldroll, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plan = tmp_path / "plan.json"
    planned = goldroll("plan", "office", "--save", str(plan))
    assert planned.returncode == 0, planned.stderr
    assert "3 hosts would be replaced" in planned.stdout

    watched = goldroll("--json", "start", "office", VERSION, "--plan", str(plan), "--watch")

    assert watched.returncode == 0, watched.stdout + watched.stderr
    ended = json.loads(watched.stdout)
    assert ended["phase"] == "Succeeded"
    assert ended["compared"][0].startswith("office: took ")
    assert goldroll("abort", "latest", "--reason", "too late").returncode == 3
