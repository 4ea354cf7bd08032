"""The smoke test through Run Command: chosen host, script, output, and what becomes of hosts that vanish."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from activities import run_smoke_test
from rollout.policy import SmokeTestGate
from simulator.faults import Site
from simulator.galleries import Flaws
from tests.activities.orders import INVOCATION
from tests.adapters.office import SimulatedOffice
from tests.telemetry_in_memory import heard
from tests.triggers.durable import function_of

GATE = SmokeTestGate(script="if (-not (Test-Path C:\\app)) { exit 1 }")
NAME = "goldroll-smoke-test-0123abcd"


def smoke(office: SimulatedOffice, run: Any = None, version: str = "1.0.0", name: str = NAME, **more: str) -> Any:
    order = {
        "version": office.office.version_id(version),
        "policy": msgspec.to_builtins(office.policy()),
        "gate": msgspec.to_builtins(GATE),
        "name": name,
        "now": office.clock().isoformat(),
        "run": run,
        **more,
    }
    return function_of(run_smoke_test.run_smoke_test)(order, INVOCATION)


def puts(office: SimulatedOffice) -> list[tuple[str, Any]]:
    return [(path, body) for method, path, body in office.requests if method == "PUT" and "runCommands" in path]


def test_the_script_runs_on_a_host_of_the_version_and_its_output_comes_back(office: SimulatedOffice) -> None:
    begun = smoke(office)["run"]
    assert (begun["state"], begun["host"]) == ("running", "avd-000")
    ((path, body),) = puts(office)
    assert path.endswith(f"/virtualMachines/avd-000/runCommands/{NAME}")
    assert body["properties"]["source"] == {"script": GATE.script}
    assert body["properties"]["timeoutInSeconds"] == 900

    assert smoke(office, begun)["run"]["state"] == "running"
    office.wait(minutes=30)
    done = smoke(office, begun)["run"]
    assert (done["state"], done["message"]) == ("passed", "exit code 0: The smoke test passed.")
    assert len(puts(office)) == 1


def test_a_script_that_fails_says_so_with_its_exit_code_and_output(office: SimulatedOffice) -> None:
    for machine in office.estate.machines.in_group(office.office.subscription, office.office.group):
        machine.flaws = Flaws(smoke_test_fails=True)
    begun = smoke(office)["run"]
    office.wait(minutes=30)

    done = smoke(office, begun)["run"]
    assert (done["state"], done["message"]) == ("failed", "exit code 1: The smoke test failed.")


def test_its_verdict_is_counted_once_and_each_look_is_found_by_the_host(office: SimulatedOffice) -> None:
    with heard() as found:
        begun = smoke(office, rollout="image-gal-win11-2.0.0-abcdef")["run"]
        office.wait(minutes=30)
        smoke(office, begun, rollout="image-gal-win11-2.0.0-abcdef")

    looks = found.spans(rollout="image-gal-win11-2.0.0-abcdef", pool="office", host="avd-000")
    assert [dict(span.attributes or {})["goldroll.state"] for span in looks] == ["running", "passed"]
    assert found.value("rollout_gate_result", gate="smoke_test", verdict="passed") == 1


def test_the_emptiest_host_runs_it(busy_office: SimulatedOffice) -> None:
    loads = {host.name: host.load for host in busy_office.look(version="1.0.0").hosts}
    assert loads[smoke(busy_office)["run"]["host"]] == min(loads.values())


def test_no_host_on_the_version_is_nobody_to_ask(office: SimulatedOffice) -> None:
    run = smoke(office, version="2.0.0")["run"]
    assert run.get("state", "waiting") == "waiting"
    assert run["message"] == "no host on the new version is healthy and running"
    assert puts(office) == []


def test_starting_it_twice_is_harmless(office: SimulatedOffice) -> None:
    assert smoke(office)["run"]["state"] == "running"
    assert smoke(office)["run"]["state"] == "running"


def test_an_earlier_runs_result_is_not_taken_for_this_ones(office: SimulatedOffice) -> None:
    smoke(office, name="goldroll-smoke-test-earlier1")
    office.wait(minutes=30)
    assert smoke(office)["run"]["state"] == "running"


def test_a_host_that_is_gone_leaves_it_to_another_one(office: SimulatedOffice) -> None:
    begun = smoke(office)["run"]
    office.estate.machines.delete(office.office.machine_id("avd-000"))
    office.wait(minutes=10)

    again = smoke(office, begun)["run"]
    assert (again["state"], again["host"]) == ("running", "avd-001")


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_what_azure_refuses_comes_back_as_an_error(office: SimulatedOffice, method: str) -> None:
    begun = smoke(office)["run"] if method == "GET" else None
    office.faults.fail_next(method, "/runCommands/", Site.SERVER_ERROR)
    assert "error" in smoke(office, begun)
