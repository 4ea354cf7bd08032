"""A ring's hosts as the health gate sees them: those on the version that run, and which of them are unfit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from activities import judge_hosts
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import function_of


def judge(office: SimulatedOffice, version: str = "1.0.0") -> Any:
    question = {
        "version": office.office.version_id(version),
        "policy": msgspec.to_builtins(office.policy()),
        "now": office.clock().isoformat(),
    }
    return function_of(judge_hosts.judge_hosts)(question)


def test_healthy_hosts_are_counted(office: SimulatedOffice) -> None:
    assert judge(office) == {"running": 3, "unhealthy": {}}


def test_hosts_on_another_version_are_not_asked_about(office: SimulatedOffice) -> None:
    office.office.publish_replicated("2.0.0")
    assert judge(office, "2.0.0") == {"running": 0, "unhealthy": {}}


def test_an_unhealthy_host_is_named_with_the_reason(office: SimulatedOffice) -> None:
    office.office.pool.hosts["avd-001"].heartbeat_stopped_at = office.clock() - timedelta(hours=1)

    assert judge(office) == {"running": 3, "unhealthy": {"avd-001": "its agent sends no heartbeat"}}


def test_a_host_that_is_switched_off_is_not_unhealthy(office: SimulatedOffice) -> None:
    office.estate.machines.deallocate(office.office.machine_id("avd-001"))
    office.wait(minutes=10)
    assert judge(office) == {"running": 2, "unhealthy": {}}


def test_a_pool_that_cannot_be_read_is_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/hostPools/", Site.SERVER_ERROR, times=5)
    assert "error" in judge(office)
