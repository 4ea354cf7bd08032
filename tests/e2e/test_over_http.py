"""The app over HTTP, as in Azure: an event starts a rollout, a killed host goes on, strange events do no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rollout.model import Phase, Stage
from tests.e2e.stand import VERSION, Stand, write_event
from tests.waiting import wait_for

SOMEBODY_ELSES = (
    "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/rg-other/providers/Microsoft.Compute"
    "/galleries/gal_other/images/other/versions/1.2.3"
)
"""A version of a gallery that no policy knows: announcing it is harmless wherever the tests run."""


@pytest.fixture(scope="module")
def shared_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The app, wherever it runs, for tests that start no rollout."""
    with Stand(tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest.fixture
def own_stand(tmp_path: Path) -> Iterator[Stand]:
    """The app with the simulated Azure behind it, both in processes of the test's own."""
    with Stand(tmp_path) as stand:
        _require_own(stand)
        yield stand


def _require_own(stand: Stand) -> None:
    if not stand.owns_processes:
        pytest.skip("GOLDROLL_E2E_URL names a running app: this test kills its own, or asks its own simulated Azure")


class Moment(NamedTuple):
    """A moment to kill the host at: what the app tells of its pool then, and what has begun in Azure."""

    what: str
    told: Callable[[dict[str, Any]], bool]
    begun: Callable[[dict[str, Any]], bool]

    def has_come(self, stand: Stand, rollout: str) -> bool:
        """Whether it is that moment now. Each lasts a simulated quarter of an hour or more."""
        return self.told(stand.pool(rollout)) and self.begun(stand.azure())


def is_arriving(pool: dict[str, Any]) -> bool:
    """A new host is in the making."""
    return any(stage in pool.get("in_hand", {}) for stage in (Stage.PROVISIONING, Stage.JOINING, Stage.VERIFYING))


MOMENTS = (
    Moment(
        "the canary is in the making",
        told=lambda pool: pool.get("phase") == Phase.CANARY and is_arriving(pool),
        begun=lambda azure: len(azure["machines"]) == 4,
    ),
    Moment(
        "a wave has a host in drain mode, and people are on it",
        told=lambda pool: pool.get("wave", 0) >= 1 and Stage.DRAINING in pool.get("in_hand", {}),
        begun=lambda azure: any(host["drained"] and host["sessions"] for host in azure["hosts"]),
    ),
    Moment(
        "a wave has a new host in the making",
        told=lambda pool: pool.get("wave", 0) >= 1 and is_arriving(pool),
        begun=lambda azure: bool(azure["tagged"]),
    ),
)


def test_a_host_killed_at_three_moments_of_one_rollout_finishes_it(own_stand: Stand) -> None:
    own_stand.publish(VERSION, announced=True)
    rollout = own_stand.started()
    for moment in MOMENTS:
        own_stand.wait_in_rollout(moment.what, partial(moment.has_come, own_stand, rollout))
        own_stand.kill_host()
        own_stand.start_host()
        own_stand.rollouts_once_it_answers()

    ended = own_stand.ended()
    assert (ended["version"], ended["phase"]) == (VERSION, "Succeeded"), ended
    own_stand.assert_all_hosts_are_current()


def test_one_version_announced_again_and_again_in_both_schemas_is_one_rollout(own_stand: Stand) -> None:
    own_stand.publish(VERSION, announced=False)
    event = own_stand.event()
    shouted = {**event, "subject": event["subject"].upper(), "id": "another"}
    cloud_event = {
        "specversion": "1.0",
        "id": "a third one",
        "source": event["topic"],
        "subject": event["subject"],
        "type": event["eventType"],
        "time": event["eventTime"],
        "data": event["data"],
    }

    assert own_stand.post_event(cloud_event, content_type="cloudevents+json") == 202
    assert own_stand.post_event([event, event, shouted]) == 202
    assert own_stand.post_event([event]) == 202

    assert [rollout["version"] for rollout in own_stand.rollouts()] == [VERSION]


def test_events_that_are_foreign_malformed_or_hostile_start_nothing(shared_stand: Stand) -> None:
    before = [rollout["id"] for rollout in shared_stand.rollouts()]
    foreign = write_event(SOMEBODY_ELSES)
    dropped: list[dict[str, Any]] = [
        foreign,
        write_event(SOMEBODY_ELSES, "Microsoft.Compute/virtualMachines/write"),
        write_event(SOMEBODY_ELSES.partition("/providers")[0], "Microsoft.Resources/tags/write"),
        {},
        {"id": "1", "eventType": foreign["eventType"]},
        {**foreign, "subject": "/subscriptions/../../etc/passwd"},
        {**foreign, "subject": SOMEBODY_ELSES + "9" * 5000, "data": None},
        {**foreign, "subject": "'; DROP TABLE rollouts; --\u0000\u202e{0}%s"},
        {**foreign, "subject": ["a", {"list": 1}], "data": "x" * 200_000},
        {**foreign, "eventType": "Contoso.Something", "data": {"operationName": 7}},
    ]
    # Accepted, as delivering them again would not make them better.
    assert [shared_stand.post_event([event]) for event in dropped] == [202] * len(dropped)
    assert shared_stand.post_event(dropped) == 202

    assert shared_stand.post_event('[{"id": "cut off') == 400
    assert shared_stand.post_event("[1, 2]") == 400
    assert shared_stand.post_event([foreign], event_type="Nonsense") == 400
    assert [rollout["id"] for rollout in shared_stand.rollouts()] == before


def test_the_sweep_starts_a_version_whose_event_was_lost(own_stand: Stand) -> None:
    own_stand.publish(VERSION, announced=False)
    wait_for("the version is complete", lambda: own_stand.azure()["versions"][VERSION]["state"] == "Succeeded")
    assert own_stand.rollouts() == []

    assert own_stand.run_sweep() == 202

    own_stand.started()
    assert [rollout["version"] for rollout in own_stand.rollouts()] == [VERSION]


def test_the_plan_for_old_versions_is_seen_and_carried_out_on_request(shared_stand: Stand) -> None:
    _require_own(shared_stand)
    shared_stand.publish(VERSION, announced=False)

    plan = {entry["version"]: entry["reason"] for entry in shared_stand.retirement()["versions"]}
    assert plan[VERSION] == "it may yet be proven good, and it is what latest means"
    assert "it is used by 3 VMs" in plan["1.0.0"]

    run = shared_stand.retire()
    last = wait_for("the run has ended", lambda: _ended(shared_stand.retirement().get("last_run", {})))
    assert (last["id"], last["why"]) == (run["id"], "for the test")
    assert last["message"] == "nothing is retired, because no version has been proven good yet"


def _ended(run: dict[str, Any]) -> dict[str, Any] | None:
    return run if run.get("status") == "Completed" else None
