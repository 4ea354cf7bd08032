"""An operator starts a rollout on the page and steers it through all that may happen, with twelve hosts or a thousand.

A thousand hosts take a minute of CPU from end to end. So the suite goes with them as far as the pause, and
GOLDROLL_PAGE_HOSTS=1000 goes the whole way.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.async_api import Browser

from demo.policies import policy_text
from demo.scenario import Scenario, Stage
from demo.scenarios import SCENARIOS
from simulator.galleries import Flaws, Takes
from tests.page.accessibility import obstacles
from tests.page.conftest import Visit, a_visit, tell

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_BYTES = 200_000
"""Of any answer that the page asks for."""

WHOLE = int(os.environ.get("GOLDROLL_PAGE_HOSTS") or "12")
"""Hosts of the pool that goes the whole way."""

POLICY = policy_text(
    "pilot",
    "office",
    image="pilot",
    rings=[
        {"name": "pilot", "host_pools": ["pilot"], "gates": {"approval": {}}},
        {"name": "people", "host_pools": ["office"]},
    ],
    surge="3%",
    max_unavailable="3%",
    max_wave="10%",
    reserve=80,
    canary={"bake": "PT5M"},
    drain={"grace": "PT5M", "reminders": []},
    health={"ready_within": "PT60M"},
)
"""Large enough steps, and few enough of them, that a thousand hosts come to a halt and back in a morning."""


def a_version_that_falls_sick(hosts: int) -> Scenario:
    """A pilot ring of one host and a pool of so many; each new host works for half an hour, and no longer."""

    def set_the_stage(stage: Stage) -> None:
        pilot = stage.office("pilot", hosts=1, people=0)
        stage.office("office", hosts=hosts, people=hosts, image_of=pilot)
        flaws = Flaws(degrades_after=timedelta(minutes=35))
        at_once = {pilot.region: Takes(timedelta(0))}

        def publish() -> None:
            pilot.publish("2.0.0", exclude_from_latest=True, flaws=flaws, takes=at_once)

        stage.at("08:05", publish, by="image team")

    return replace(SCENARIOS["happy"], policy=POLICY, set_the_stage=set_the_stage)


@pytest.mark.parametrize("hosts", sorted({WHOLE, 1000}))
async def test_a_rollout_is_started_approved_paused_resumed_seen_to_halt_and_rolled_back(
    browser: Browser, hosts: int
) -> None:
    async with a_visit(browser, a_version_that_falls_sick(hosts)) as visit:
        await visit.open()
        await visit.pass_time(minutes=10)
        await start(visit, hosts)
        await approve(visit)
        await watch(visit, hosts)
        await tell(visit, "Pause", "the town hall begins")
        await visit.sees(".toast").to_contain_text("sent as andrea@contoso.com")
        await visit.pass_time(visit.is_in("Paused"), hours=1)
        await visit.sees("header .badge >> nth=0").to_have_text("Paused")
        await visit.sees(".when >> nth=0").to_contain_text("Paused by andrea@contoso.com: the town hall begins")
        assert await seconds_of_a_refresh(visit) < 1
        if hosts == WHOLE:
            await tell(visit, "Resume", "the town hall is over")
            await visit.pass_time(visit.is_in("Rolling"), hours=1)
            await see_it_halt(visit)
            await roll_back(visit, hosts)
        assert visit.largest_answer < MOST_BYTES
        assert visit.troubles == []


async def start(visit: Visit, hosts: int) -> None:
    """Choose the version, read its plan, say why."""
    page = visit.page
    await page.get_by_role("button", name="Start a rollout").click()
    await visit.sees(page.get_by_label("Version")).to_contain_text("2.0.0, excluded from latest")
    await page.get_by_label("Version").select_option("2.0.0")
    await visit.sees(".plan").to_contain_text(f"{hosts + 1} hosts would be replaced with version 2.0.0")
    await visit.sees(".plan").to_contain_text("It takes about")
    await page.get_by_label("Why?").fill("it must be proven at last")
    await page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
    await visit.sees("dialog").to_have_count(0)
    assert "#/rollouts/image-" in page.url


async def approve(visit: Visit) -> None:
    """See what the first ring's gate waits for, and let it pass."""
    await visit.pass_time(visit.asks, hours=4)
    await visit.sees("header .badge >> nth=0").to_have_text("Waiting at a gate")
    await visit.sees(".rings li >> nth=0").to_contain_text("Proving")
    await visit.sees(".gates").to_contain_text("nobody has answered yet")
    await visit.sees(".gates").to_contain_text("yes of Approver")
    assert await obstacles(visit.page) == []
    await tell(visit, "Approve", "printing works")
    await visit.pass_time(visit.is_in("Canary"), hours=1)
    await visit.sees(".rings li >> nth=0").to_contain_text("Passed")
    await visit.sees(visit.page.get_by_role("button", name="Approve")).to_have_count(0)


async def watch(visit: Visit, hosts: int) -> None:
    """The canary, then hosts in their states: a tile for each."""
    await visit.sees(".pool .badge >> nth=0").to_have_text("Canary")
    await visit.pass_time(visit.is_in("Rolling"), hours=2)
    await visit.sees(".pool .badge >> nth=0").to_have_text("Rolling")
    await visit.pass_time(minutes=10)
    await visit.sees(".field .tile.Current").not_to_have_count(0)
    await visit.sees(".field .tile.Provisioning, .field .tile.Joining").not_to_have_count(0)
    assert await visit.page.locator(".field .tile").count() > 0.9 * hosts
    await visit.sees(".timeline path.span.Current").to_be_visible()


async def see_it_halt(visit: Visit) -> None:
    """Too many of the new hosts fall sick."""
    await visit.pass_time(visit.is_in("Halted"), hours=4)
    await visit.sees(".pool .why.bad").to_contain_text("hosts on the new version are unhealthy")
    await visit.pass_time(visit.has_ended("Halted"), hours=3)
    await visit.sees("header .badge >> nth=0").to_have_text("Halted")
    await visit.sees(".rail .badge").to_have_text("Halted")
    await visit.sees(visit.page.get_by_role("group", name="Tell this rollout")).to_have_text("Roll back")
    assert await obstacles(visit.page) == []


async def roll_back(visit: Visit, hosts: int) -> None:
    """Every host that is on the version gives way to the one before it."""
    await tell(visit, "Roll back", "printing is broken")
    await visit.pass_time(visit.is_in("RollingBack"), hours=3)
    assert "#/rollouts/back-" in visit.page.url
    await visit.sees("header .badge >> nth=0").to_have_text("Rolling back")
    await visit.sees(visit.page.get_by_role("button", name="Roll back")).to_have_count(0)
    await visit.sees(".rail .badge").to_have_text(["Rolling back", "Halted"])
    await visit.pass_time(visit.has_ended("RolledBack"), hours=12)
    await visit.pass_time(minutes=5)
    await visit.sees("header .badge >> nth=0").to_have_text("Rolled back")
    await visit.page.locator(".pools a", has_text="office").click()
    told = f"rolled back to 1.0.0: {hosts} hosts are in service, none of them on 2.0.0"
    await visit.sees(".pool .why").to_have_text(told)
    await visit.sees(".field .tile.Current").to_have_count(hosts)
    await visit.sees(".timeline path.span.Draining").to_be_visible()
    all_sentences = visit.page.locator(".story + button")
    if await all_sentences.count():
        await all_sentences.click()
    await visit.sees(".story").to_contain_text("rolling back from 2.0.0 to 1.0.0")
    await visit.sees(visit.page.get_by_role("group", name="Tell this rollout")).to_have_count(0)
    assert await obstacles(visit.page) == []


async def seconds_of_a_refresh(visit: Visit) -> float:
    """CPU of this process, in which app and simulated Azure run, for all that the page asks for when it looks."""
    api = visit.url.removesuffix("dashboard")
    rollout = visit.page.url.rpartition("/")[2]
    before = time.process_time()
    for path in ("pools", "rollouts", f"rollouts/{rollout}", f"rollouts/{rollout}/events", "pools/office"):
        assert (await visit.page.request.get(api + path)).ok
    return time.process_time() - before
