"""The host as a process of its own: starting, stopping on signals, and being killed in the middle of its work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.localhost.building import APPS, write_app
from tests.waiting import wait_for

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def process(app: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A host process and its base URL; it is killed at the end when it still runs."""
    command = [sys.executable, "-m", "localhost", "--app", str(app), "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as running:
        try:
            assert running.stdout is not None
            line = next((line for line in running.stdout if line.startswith("Listening on ")), "")
            yield running, line.removeprefix("Listening on ").strip()
        finally:
            running.kill()


def wait_until_finished(base_url: str, instance_id: str) -> dict[str, object]:
    """Poll the status, as a client would."""

    def finished() -> dict[str, object] | None:
        answer = requests.get(f"{base_url}/durabletask/instances/{instance_id}", timeout=5)
        return answer.json() if answer.status_code == 200 else None

    return wait_for(f"{instance_id} has finished", finished)


def test_a_killed_host_resumes_where_it_was(tmp_path: Path) -> None:
    """kill -9 while an activity runs: the activity runs again, what was done before does not, and the end is right."""
    notes, gate = tmp_path / "notes.txt", tmp_path / "gate"
    source = f"""
import pathlib, time
@app.activity_trigger(input_name="n")
def note(n):
    with open({str(notes)!r}, "a", encoding="utf-8") as notes:
        notes.write(f"{{n}} ")
    while n == 2 and not pathlib.Path({str(gate)!r}).exists():
        time.sleep(0.01)
    return n
@app.orchestration_trigger(context_name="context")
def flow(context):
    total = 0
    for n in range(4):
        total += yield context.call_activity("note", n)
    return total
"""
    app, store = write_app(tmp_path / "app", source), str(tmp_path / "state.db")
    with process(app, "--store", store) as (running, url):
        assert requests.post(f"{url}/durabletask/orchestrators/flow/it", timeout=5).status_code == 202
        wait_for(
            "the third activity has begun", lambda: notes.exists() and notes.read_text(encoding="utf-8") == "0 1 2 "
        )
        running.kill()
    gate.touch()
    with process(app, "--store", store) as (running, url):
        assert wait_until_finished(url, "it")["output"] == 6
    assert notes.read_text(encoding="utf-8") == "0 1 2 2 3 "


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM between processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_host_stops_cleanly_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    with process(APPS / "flow", "--store", str(tmp_path / "state.db")) as (running, url):
        requests.post(f"{url}/durabletask/orchestrators/two_words/it", timeout=5)
        running.send_signal(number)
        assert running.wait(timeout=10) == 0


def test_two_processes_share_simulated_time_by_origin_and_speed() -> None:
    origin = f"{datetime.now(UTC).isoformat()},2026-03-02T08:00:00Z"
    arguments = ("--speed", "3600", "--clock-origin", origin)
    with process(APPS / "flow", *arguments) as (_, first), process(APPS / "flow", *arguments) as (_, second):
        times = [
            datetime.fromisoformat(requests.get(f"{url}/admin/host/status", timeout=5).json()["time"])
            for url in (first, second)
        ]
    assert times[0] <= times[1]
    assert (times[1] - times[0]).total_seconds() < 3600
    assert times[0] > datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--app", "nowhere"], "does not exist"), (["--app", ".", "--clock-origin", "2026-01-01,2026-01-01"], "offset")],
)
def test_a_host_that_cannot_start_says_why(arguments: list[str], text: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "localhost", "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr
