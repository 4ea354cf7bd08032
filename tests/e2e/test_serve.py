"""`serve` as a newcomer meets it: what it prints works, a killed half is told of, and Ctrl+C ends everything."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.commands import commands
from demo.halves import OWN_GROUP, Place, Setting
from demo.run import APP
from demo.scenario import MORNING
from demo.serve import free_ports, main
from tests.waiting import wait_for


class Served:
    """A `serve` that runs: what it told programs, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        """Start it on free ports and wait until both halves listen."""
        self._log = folder / "serve.log"
        self._ready = folder / "ready.json"
        options = ["--port", "0", "--azure-port", "0", "--hosts", "2", "--people", "0", "--speed", "600"]
        where = ["--store", str(folder / "a store.sqlite"), "--ready-file", str(self._ready)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo.serve", *options, *where],
                cwd=APP,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **OWN_GROUP,
            )
        self.told: dict[str, Any] = wait_for("both halves listen", self._what_it_tells)

    def _what_it_tells(self) -> Any:
        assert self.process.poll() is None, self.printed()
        return json.loads(self._ready.read_text(encoding="utf-8")) if self._ready.exists() else None

    def printed(self) -> str:
        """Everything on its terminal."""
        return self._log.read_text(encoding="utf-8")

    def line(self, *, containing: str) -> str:
        """The first printed line with these words, as soon as there is one."""
        return wait_for(
            f"{containing!r} is printed",
            lambda: next((line.strip() for line in self.printed().splitlines() if containing in line), None),
        )

    def press_ctrl_c(self) -> None:
        """What Ctrl+C does on POSIX; on Windows a test can only send Ctrl+Break."""
        if sys.platform == "win32":
            self.process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self.process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A `serve` of two hosts without people, for every test that leaves it running: starting both halves costs."""
    yield from _serve(tmp_path_factory.mktemp("served"))


@pytest.fixture
def own_served(tmp_path: Path) -> Iterator[Served]:
    """As `served`, of the test's own; it is stopped when the test has not done so."""
    yield from _serve(tmp_path)


def _serve(folder: Path) -> Iterator[Served]:
    if "GOLDROLL_E2E_URL" in os.environ:
        pytest.skip("GOLDROLL_E2E_URL names a running app: this test starts and kills its own")
    served = Served(folder)
    yield served
    if served.process.poll() is None:
        served.press_ctrl_c()
        served.process.wait(timeout=30)


def answers(url: str) -> Callable[[], bool]:
    """Whether somebody answers there now."""
    return lambda: requests.get(url, timeout=10).ok


def is_silent(url: str) -> bool:
    """Whether nobody listens there."""
    try:
        requests.get(url, timeout=10)
    except requests.ConnectionError:
        return True
    return False


def test_both_halves_run_until_ctrl_c_and_a_killed_one_is_told_of_and_started_again_as_printed(
    own_served: Served,
) -> None:
    rollouts, state = f"{own_served.told['host_url']}/api/rollouts", f"{own_served.told['azure_url']}/simulator/state"
    os.kill(own_served.told["pids"]["host"], getattr(signal, "SIGKILL", signal.SIGTERM))

    assert "The simulated Azure goes on" in own_served.line(containing="The local host has ended")
    assert is_silent(rollouts)
    assert answers(state)()

    printed = own_served.line(containing="Start it again, in another terminal: ")
    _, script, _, *options = shlex.split(printed.partition("terminal: ")[2])
    assert script == "dev.py"
    # Through this very Python: dev.py would look for an environment first, and make one.
    with subprocess.Popen([sys.executable, "-m", "demo.serve", *options], cwd=APP, **OWN_GROUP) as again:
        try:
            wait_for("the host answers again", answers(rollouts))
            own_served.press_ctrl_c()
            assert own_served.process.wait(timeout=30) == 0
            assert "Traceback" not in own_served.printed()
            assert is_silent(state)
        finally:
            again.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_the_printed_curl_commands_start_a_rollout_and_show_it(served: Served) -> None:
    def type_in(line: str) -> str:
        command = shlex.split(line.partition(" | ")[0])
        return subprocess.run(command, capture_output=True, check=True, encoding="utf-8", timeout=30).stdout

    assert "202 Accepted" in type_in(served.line(containing="curl -i -X POST"))
    (rollout,) = json.loads(type_in(served.line(containing="/api/rollouts |")))["rollouts"]
    assert rollout["version"] == "2.0.0"
    shown = json.loads(type_in(served.line(containing="/api/rollouts/ID |").replace("ID |", f"{rollout['id']} |")))
    assert shown["id"] == rollout["id"]
    told = wait_for(
        "its start is told",
        lambda: json.loads(type_in(served.line(containing="/simulator/notifications |")))["notifications"],
    )
    assert (told[0]["type"], told[0]["data"]["version"]) == ("Goldroll.RolloutStarted", "2.0.0")
    assert "versions/2.1.0" in type_in(served.line(containing='{"name": "2.1.0"}'))
    assert "2.1.0" in json.loads(type_in(served.line(containing="/simulator/state |")))["versions"]


def test_bash_and_powershell_get_the_same_addresses(tmp_path: Path) -> None:
    setting = Setting(
        real=MORNING,
        simulated=MORNING,
        speed=1,
        port=7071,
        azure_port=7072,
        hosts=1,
        people=0,
        workload="office",
        seed=1,
        policy="",
    )
    for command in commands(setting, Place(tmp_path / "it's mine.sqlite"), 4711):
        in_bash = {word for word in shlex.split(command.bash) if word.startswith("http")}
        in_powershell = {word.strip("'") for word in command.powershell.split() if word.strip("'").startswith("http")}
        assert in_bash == in_powershell, command.purpose
        assert ("4711" in command.bash) == ("4711" in command.powershell)


def test_a_taken_port_is_named_before_anything_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        assert main(["--azure-port", str(port), "--port", "0", "--store", str(tmp_path / "store.sqlite")]) == 1
    assert f"port {port} is taken; choose another with --azure-port" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "precious.sqlite"
    store.write_bytes(b"something else")
    assert main(["--port", "0", "--azure-port", "0", "--store", str(store)]) == 1
    assert "choose another --store" in capsys.readouterr().err
    assert store.read_bytes() == b"something else"


def test_half_of_nothing_cannot_be_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host-only", "--store", str(tmp_path / "store.sqlite")]) == 1
    assert "start both halves first" in capsys.readouterr().err


def test_free_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5


def test_the_printed_address_of_the_page_is_its_own(served: Served) -> None:
    address = served.line(containing="Watch it at ").partition("Watch it at ")[2].strip()
    page = requests.get(address, timeout=10)

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Goldroll</title>" in page.text
