"""A turn: what is decided where the pool is observed, and what happens when it cannot be."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from rollout.measuring import METRICS
from rollout.model import Phase, RolloutState
from rollout.pool import start
from rollout.travelling import pack, unpack
from simulator.errors import AzureError
from simulator.faults import Site
from simulator.host_pools import PoolType
from tests.activities.orders import CALLED_BY, run
from tests.adapters.office import ROLLOUT, SimulatedOffice, simulated_office
from tests.telemetry_in_memory import heard


def turn(office: SimulatedOffice, **policy: Any) -> Any:
    state = start(ROLLOUT, office.pool_id, office.office.version_id("2.0.0"), office.clock())
    order = {"state": pack(state), "policy": office.policy(**policy), "now": office.clock()}
    return run("decide_turn", order)["decision"]


def state_of(decision: Any) -> RolloutState:
    return unpack(decision["state"])


def test_the_first_turn_provisions_the_canary_and_tells_the_story(
    office: SimulatedOffice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="goldroll.story")

    decision = turn(office)

    assert [step["type"] for step in decision["steps"]] == ["ProvisionHost"]
    assert state_of(decision).phase == Phase.CANARY
    assert decision["wake_at"]
    assert "story" not in decision
    assert all(record.getMessage().startswith("office: ") for record in caplog.records)
    assert any("provisioning" in record.getMessage() for record in caplog.records)


def test_a_turn_that_durable_runs_again_tells_the_same_state_and_counts_what_it_saw_again(
    office: SimulatedOffice,
) -> None:
    with heard() as once:
        turn(office)
    with heard() as twice:
        turn(office)
        turn(office)

    for name in sorted(once.metrics):
        of_one, of_two = once.points(name), twice.points(name)
        if METRICS[name].kind == "gauge":
            assert [(p.attributes, p.value) for p in of_one] == [(p.attributes, p.value) for p in of_two]
    assert once.value("rollout_phase_transitions_total", to="Canary") == 1
    assert twice.value("rollout_phase_transitions_total", to="Canary") == 2


def test_a_turn_is_told_below_its_functions_own_request(office: SimulatedOffice) -> None:
    with heard() as found:
        turn(office)

    (span,) = found.spans(pool="office")
    _, trace, parent, _ = CALLED_BY.split("-")
    assert span.name == "decide_turn"
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)
    assert dict(span.attributes or {})["goldroll.reason"] == "ProvingCanary"


def test_a_pool_of_a_thousand_hosts_passes_through_in_a_few_kilobytes() -> None:
    with simulated_office(hosts=1000, zones=("1", "2", "3")) as office:
        office.office.publish_replicated("2.0.0")

        decision = turn(office)

        assert len(json.dumps(decision)) < 45_000  # more would not stay in Durable's own table


@pytest.mark.parametrize("site", [Site.SERVER_ERROR, Site.LOST_REQUEST, Site.THROTTLED])
def test_a_pool_that_cannot_be_read_is_looked_at_again(office: SimulatedOffice, site: Site) -> None:
    office.faults.fail_next("LIST", "sessionHosts", site)

    decision = turn(office)

    assert not decision.get("done", False)
    assert state_of(decision).unreadable == 1
    assert decision["wake_at"]


def test_a_pool_that_is_gone_ends_the_rollout(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "hostPools/[^/]+$", AzureError(404, "404", "ActivityId: x Error: not found"))
    decision = turn(office)

    assert decision["done"]
    assert (state_of(decision).phase, state_of(decision).reason) == (Phase.FAILED, "HostPoolGone")


def test_a_bug_does_not_end_the_rollout_and_is_logged_in_full(
    office: SimulatedOffice, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("secret-looking text")

    monkeypatch.setattr("activities.decide_turn.decide", broken)

    decision = turn(office)

    assert not decision.get("done", False)
    assert "KeyError" in state_of(decision).message
    assert "secret-looking" not in repr(state_of(decision))
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("pool_type", [PoolType.PERSONAL, PoolType.BYO_DESKTOP])
def test_a_pool_that_belongs_to_people_is_refused_before_anything_is_touched(pool_type: PoolType) -> None:
    with simulated_office(pool_type=pool_type) as office:
        office.office.publish_replicated("2.0.0")

        decision = turn(office)

        assert decision["done"]
        assert state_of(decision).phase == Phase.REFUSED
        assert all(method == "GET" for method, _, __ in office.requests)


def test_an_image_version_is_read_with_its_replication(office: SimulatedOffice) -> None:
    answer = run("read_image_version", office.office.version_id("2.0.0"))

    assert answer["version"]["regions"]["westeurope"]["state"] == "Completed"


def test_an_image_version_that_is_gone_is_null(office: SimulatedOffice) -> None:
    assert run("read_image_version", office.office.version_id("9.9.9")) == {"version": None}


def test_an_image_version_that_cannot_be_read_is_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "versions/2.0.0", Site.THROTTLED)

    assert run("read_image_version", office.office.version_id("2.0.0"))["error"]["code"] == "TooManyRequests"


def test_the_regions_of_a_pool_are_answered(office: SimulatedOffice) -> None:
    assert run("read_pool_regions", office.pool_id) == {"regions": ["westeurope"], "hosts": {"westeurope": 3}}
