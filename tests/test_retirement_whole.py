"""Retirement on the local host, with the real Durable replay: whatever happens around an activity, it ends the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters import connect
from demo.access import least_privilege
from demo.old_versions import CURRENT, FATES, PINNED, fill_gallery
from localhost import ActivityCall, CrashHost, DelayResult, DropResult, Host, HostCrashed, RunTwice, VirtualClock
from localhost.faults import Fault, Moment
from rollout.instance_ids import image_instance, retirement_instance
from rollout.policy_file import read_policy
from simulator.builders import MONDAY_MORNING, Office, office_pool
from simulator.estate import Estate
from simulator.faults import Site
from simulator.journal import Kind
from simulator.transport import AnyoneCredential, transport_to
from tests.adapters.office import SUBNET, RecordingArm

ROOT = Path(__file__).resolve().parent.parent
OURS = "rollout"
"""Who the journal says has done what the app asked of Azure."""

POLICY = """
images:
  - name: win11
    definition_id: {definition}
    retention: {{mode: {mode}, pinned: [{pinned}], rollback_regions: [westeurope]}}
host_pools:
  - name: office
    host_pool_id: {pool}
    image: win11
    session_host:
      name_prefix: avd
      subnet_id: {subnet}
      join: {{type: entra}}
"""

Around = Callable[[Moment, ActivityCall], Fault | None]


class World:
    """The office with its twelve versions, its Azure, and hosts that run the app on one store after the other."""

    def __init__(self, folder: Path, mode: str = "apply", around: Around | None = None) -> None:
        self.clock = VirtualClock(MONDAY_MORNING)
        self.estate = Estate(self.clock.now, seed=1)
        self.office: Office = office_pool(self.estate, hosts=2, people=0, current_version=CURRENT)
        fill_gallery(self.office, MONDAY_MORNING, regions=("northeurope",))
        self.requests: list[tuple[str, str, Any]] = []
        self.crashes = 0
        self._around = around
        self._store = folder / "host.db"
        self._policy = folder / "goldroll.yaml"
        text = POLICY.format(
            definition=self.office.definition_id,
            mode=mode,
            pinned=PINNED,
            pool=self.office.pool_id,
            subnet=SUBNET,
        )
        self._policy.write_text(text, encoding="utf-8")
        self.arm = RecordingArm(self.estate, self.requests, least_privilege(read_policy(text), with_roles=["images"]))

    @property
    def instance(self) -> str:
        return retirement_instance(self.office.definition_id)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Host]:
        schedules = {"GOLDROLL_SWEEP_SCHEDULE": "0 0 12 * * *", "GOLDROLL_RETIREMENT_SCHEDULE": "0 30 3 * * *"}
        settings = {"GOLDROLL_POLICY": str(self._policy), **schedules}
        connect.use(connect.Connection("https://management.azure.com", AnyoneCredential(), transport_to(self.arm)))
        try:
            async with Host(ROOT, self.clock, self._store, 0, settings=settings, faults=self._around) as host:
                yield host
        finally:
            connect.use(None)

    async def until_a_run_has_ended(self, limit: timedelta = timedelta(days=2)) -> dict[str, Any]:
        """Let the timer start a run and play it to its end, on another host after each crash; the run's report."""
        while True:
            try:
                async with self.host() as host:

                    def ended() -> bool:
                        return any(one.is_finished for one in host.instances(self.instance))

                    assert await host.run_until(ended, limit=limit)
                    (run,) = host.instances(self.instance)
                    assert run.status == "Completed"
                    report: dict[str, Any] = json.loads(run.output)
                    return report
            except HostCrashed:
                self.crashes += 1

    def changed(self) -> dict[str, list[str]]:
        """What the app has done to each version, by its number: "change" for each PATCH, "delete" for each DELETE."""
        done: dict[str, list[str]] = {}
        for method, path, _ in self.requests:
            if method in ("PATCH", "DELETE"):
                done.setdefault(path.rsplit("/", 1)[-1], []).append({"PATCH": "change", "DELETE": "delete"}[method])
        return done

    def versions(self) -> set[str]:
        return set(self.estate.galleries.definition(self.office.definition_id).versions)


WANTED = {number: [fate] for number, fate in FATES.items() if fate != "keep"}


async def test_the_timer_retires_what_is_due_and_the_next_night_finds_nothing_more(tmp_path: Path) -> None:
    world = World(tmp_path)
    report = await world.until_a_run_has_ended()

    assert report["message"] == "4 versions: 2 changed, 2 deleted"
    assert world.changed() == WANTED
    assert world.clock.now().hour == 3
    world.requests.clear()

    async with world.host() as host:
        await host.run_until(lambda: world.clock.now() > MONDAY_MORNING + timedelta(days=3), limit=timedelta(days=4))
        (run,) = host.instances(world.instance)
        assert json.loads(run.output)["message"] == "there is nothing to retire"
        # The changes were announced like new versions, and started no rollout.
        assert host.instances("image-") == []
    assert world.changed() == {}
    assert world.versions() == set(FATES) - {"1.0.0", "1.4.0"}


async def test_by_default_nothing_is_changed_and_the_report_is_the_plan(tmp_path: Path) -> None:
    world = World(tmp_path, mode="plan")
    report = await world.until_a_run_has_ended()

    assert report["message"] == "planned only: 4 versions: 2 to change, 2 to delete"
    assert world.changed() == {}


async def test_the_plan_is_seen_over_http_then_carried_out_on_request(tmp_path: Path) -> None:
    world = World(tmp_path, mode="plan")
    async with world.host() as host, aiohttp.ClientSession() as http:
        url = f"{host.base_url}/api/images/win11/retirement"
        async with http.get(url) as answer:
            plan = await answer.json()
        assert len(plan["versions"]) == len(FATES)
        assert world.changed() == {}
        async with http.post(url, json={"reason": "make room"}) as answer:
            assert answer.status == 202
        await host.run_until(lambda: host.instances(world.instance)[0].is_finished, limit=timedelta(hours=1))
        async with http.get(url) as answer:
            last = (await answer.json())["last_run"]

    assert world.changed() == WANTED
    assert (last["message"], last["why"], last["apply"]) == ("4 versions: 2 changed, 2 deleted", "make room", True)


async def test_a_version_that_is_being_rolled_out_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.host() as host, aiohttp.ClientSession() as http:
        rolled = world.office.version_id("1.0.0")
        async with http.post(f"{host.base_url}/api/rollouts", json={"image": "win11", "version": "1.0.0"}) as answer:
            assert answer.status == 202
        async with http.post(f"{host.base_url}/api/images/win11/retirement") as answer:
            assert answer.status == 202
        suspended = image_instance(rolled)
        host.client.suspend(suspended, "for the test")
        await host.run_until(lambda: host.instances(world.instance)[0].is_finished, limit=timedelta(hours=1))

    assert "1.0.0" in world.versions()
    assert world.changed() == {number: done for number, done in WANTED.items() if number != "1.0.0"}


async def test_a_vm_made_between_plan_and_deletion_saves_its_version(tmp_path: Path) -> None:
    def make_a_vm(moment: Moment, call: ActivityCall) -> Fault | None:
        if moment == "before" and call.name == "delete_image_version" and not world.estate.machines.find(late):
            world.estate.machines.place(late, world.office.spec_for("late", "1.0.0"))
        return None

    world = World(tmp_path, around=make_a_vm)
    late = world.office.machine_id("late")
    report = await world.until_a_run_has_ended()

    assert report["message"] == "4 versions: 2 changed, 1 deleted, 1 no longer due"
    assert world.changed() == {number: done for number, done in WANTED.items() if number != "1.0.0"}


async def test_lists_that_cannot_be_read_hold_everything_up_until_the_next_night(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.estate.faults.fail_next("LIST", "virtualMachineScaleSets$", Site.SERVER_ERROR, times=4)
    report = await world.until_a_run_has_ended()

    assert "who uses the versions is not fully known" in report["message"]
    assert world.changed() == {}
    async with world.host() as host:
        await host.run_until(lambda: world.changed() == WANTED, limit=timedelta(days=2))
    assert world.changed() == WANTED


# ------------------------------------------------------------------------------------------------ around an activity


ACTIVITIES = {
    "read_running_rollouts",
    "plan_retirement",
    "update_image_version",
    "delete_image_version",
}

FAULTS: dict[str, tuple[Moment, Fault]] = {
    "the host crashes before it": ("before", CrashHost()),
    "the host crashes after it": ("after", CrashHost()),
    "it runs twice": ("before", RunTwice()),
    "its result is lost": ("after", DropResult()),
    "its result is late": ("after", DelayResult(timedelta(minutes=20))),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_run_ends_well_whatever_happens_around_every_activity(fault: str, tmp_path: Path) -> None:
    moment, what = FAULTS[fault]
    struck: set[str] = set()

    def strike(now: Moment, call: ActivityCall) -> Fault | None:
        mark = f"{call.name} {call.input}"
        if now != moment or mark in struck or call.name not in ACTIVITIES:  # the timer sets other things going too
            return None
        struck.add(mark)
        return what

    world = World(tmp_path, around=strike)
    report = await world.until_a_run_has_ended()

    assert {mark.split()[0] for mark in struck} == ACTIVITIES
    assert (world.crashes > 0) == isinstance(what, CrashHost)
    assert report["message"] == "4 versions: 2 changed, 2 deleted"
    assert {number: done[:1] for number, done in world.changed().items()} == WANTED
    async with world.host() as host:
        await host.run_until(lambda: False, limit=timedelta(minutes=10))
    world.estate.now()
    assert world.versions() == set(FATES) - {"1.0.0", "1.4.0"}
    deleted = [entry.subject for entry in world.estate.journal.of(Kind.VERSION_DELETED)]
    assert len(deleted) == len(set(deleted)) == 2


@pytest.mark.parametrize("site", [Site.LOST_RESPONSE, Site.LOST_REQUEST, Site.THROTTLED, Site.SERVER_ERROR])
async def test_a_run_ends_well_when_azures_answers_go_wrong(site: Site, tmp_path: Path) -> None:
    world = World(tmp_path)
    for method in ("PATCH", "DELETE"):
        world.estate.faults.fail_next(method, "/versions/", site, times=2)
    report = await world.until_a_run_has_ended()

    assert report["message"] == "4 versions: 2 changed, 2 deleted"
    assert all(entry.by != OURS or entry.kind != Kind.FAULT for entry in world.estate.journal.entries)
    assert {result["outcome"] for result in report["results"]} == {"done"}
