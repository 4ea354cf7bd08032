"""An operator starts a rollout on the page, and steers it through everything that may happen, in a pool of any size."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.async_api import Browser

from demo.policies import policy_text
from demo.scenario import Stage
from demo.scenarios import SCENARIOS
from simulator.galleries import Flaws, Takes
from tests.page.accessibility import obstacles
from tests.page.conftest import a_visit, tell

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = int(os.environ.get("GOLDROLL_PAGE_HOSTS", "12"))


def _a_version_that_falls_sick(stage: Stage) -> None:
    pilot = stage.office("pilot", hosts=1, people=0)
    stage.office("office", hosts=HOSTS, people=HOSTS, image_of=pilot)
    flaws = Flaws(degrades_after=timedelta(minutes=35))
    takes = {pilot.region: Takes(timedelta(0))}

    def publish() -> None:
        pilot.publish("2.0.0", exclude_from_latest=True, flaws=flaws, takes=takes)

    stage.at("08:05", publish, by="image team")


THROUGH_EVERYTHING = replace(
    SCENARIOS["happy"],
    policy=policy_text(
        "pilot",
        "office",
        image="pilot",
        rings=[
            {"name": "pilot", "host_pools": ["pilot"], "gates": {"approval": {}}},
            {"name": "people", "host_pools": ["office"]},
        ],
        reserve=80,
        surge="3%",
        max_unavailable="3%",
        max_wave="10%",
        canary={"bake": "PT5M"},
        drain={"grace": "PT5M", "reminders": []},
        health={"ready_within": "PT60M"},
    ),
    set_the_stage=_a_version_that_falls_sick,
)


async def test_a_rollout_is_started_approved_paused_resumed_seen_to_halt_and_rolled_back_to_its_end(
    browser: Browser,
) -> None:
    began = [time.perf_counter(), time.process_time()]

    def say(what: str) -> None:
        print(f"{time.perf_counter() - began[0]:.1f} s, cpu {time.process_time() - began[1]:.1f} s: {visit.run.clock.now():%d %H:%M} {what}", flush=True)

    async with a_visit(browser, THROUGH_EVERYTHING) as visit:
        await visit.open()
        await visit.pass_time(minutes=10)
        say("open")
        page = visit.page
        await page.get_by_role("button", name="Start a rollout").click()
        await visit.sees(page.get_by_label("Version")).to_contain_text("2.0.0, excluded from latest")
        await page.get_by_label("Version").select_option("2.0.0")
        await visit.sees(".plan").to_contain_text(f"{HOSTS + 1} hosts would be replaced with version 2.0.0")
        await visit.sees(".plan").to_contain_text("It takes about")
        say("plan")
        await page.get_by_label("Why?").fill("it must be proven at last")
        await page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
        await visit.sees("dialog").to_have_count(0)
        say("started")

        await visit.pass_time(visit.asks, hours=4)
        say("asks")
        await visit.sees(".gates").to_contain_text("nobody has answered yet")
        await tell(visit, "Approve", "printing works")
        await visit.pass_time(visit.is_in("Canary", "office"), hours=1)
        say("canary")
        await visit.sees(".rings li >> nth=0").to_contain_text("Passed")
        await visit.sees(page.get_by_role("button", name="Approve")).to_have_count(0)

        await visit.pass_time(visit.is_in("Rolling", "office"), hours=2)
        say("rolling")
        await visit.pass_time(minutes=15)
        say("15 min")
        await visit.sees(".field .tile").not_to_have_count(0)
        say("seen")

        await tell(visit, "Pause", "the town hall begins")
        await visit.pass_time(visit.is_in("Paused", "office"), hours=1)
        say("paused")
        await visit.sees(".when >> nth=0").to_contain_text("Paused by andrea@contoso.com: the town hall begins")
        await tell(visit, "Resume", "the town hall is over")
        await visit.pass_time(visit.is_in("Rolling", "office"), hours=1)
        say("resumed")

        await visit.pass_time(visit.is_in("Halted", "office"), hours=8)
        say("halted")
        await visit.pass_time(visit.has_ended("Halted"), hours=3)
        say("over")
        await visit.sees("main .badge >> nth=0").to_have_text("Halted")
        await visit.sees(".why.bad >> nth=0").to_contain_text("unhealthy")
        await tell(visit, "Roll back", "printing is broken")
        await visit.pass_time(visit.is_in("RollingBack", "office"), hours=3)
        say("rolling back")
        await visit.pass_time(visit.is_in("RolledBack", "office"), hours=12)
        say("rolled back")
        await visit.pass_time(visit.is_in("RolledBack", "pilot"), hours=12)
        await visit.pass_time(minutes=5)
        await visit.sees("main .badge >> nth=0").to_have_text("Rolled back")
        say("seen")
        assert await obstacles(page) == []
        assert visit.troubles == []
        import collections
        print(collections.Counter(u.split("/api/")[1].split("?")[0] for u in visit.asked))
