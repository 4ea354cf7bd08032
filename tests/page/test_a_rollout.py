"""An operator watches rollouts on the page, starts one by keyboard, ends one, and pauses one host pool of several."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.async_api import Browser

from demo.policies import policy_text
from demo.scenario import Stage
from demo.scenarios import SCENARIOS
from tests.page.accessibility import obstacles
from tests.page.conftest import Visit, a_visit, tell

pytestmark = pytest.mark.asyncio(loop_scope="module")


QUICK = replace(
    SCENARIOS["happy"],
    policy=policy_text(
        "office",
        surge="50%",
        max_wave="50%",
        max_unavailable=2,
        canary={"bake": "PT10M"},
        drain={"grace": "PT15M", "reminders": []},
    ),
)
"""Twelve hosts on the morning of a working day: all is over by noon."""


async def test_a_whole_rollout_is_watched_paused_resumed_and_seen_to_its_end(browser: Browser) -> None:
    async with a_visit(browser, QUICK) as visit:
        await visit.open()
        await visit.sees("main").to_contain_text("Nothing has been rolled out yet")
        await visit.sees(".rail").to_contain_text("no rollout yet")

        await visit.pass_time(visit.is_in("Canary"), hours=2)
        await visit.sees("main .badge").to_have_text("Canary")
        await visit.sees(".why").to_contain_text("canary")

        await visit.pass_time(visit.is_in("Rolling"), hours=4)
        await visit.pass_time(minutes=20)
        await visit.sees("main .badge").to_have_text("Rolling")
        await visit.sees(".why").to_contain_text("of 12 hosts are on 2.0.0")
        await visit.sees(".tile.Steered >> nth=0").to_be_visible()

        await tell(visit, "Pause", "the town hall begins")
        await visit.sees(".toast").to_contain_text("sent as andrea@contoso.com")
        await visit.pass_time(visit.is_in("Paused"), hours=1)
        await visit.sees("main .badge").to_have_text("Paused")
        await visit.sees(".when").to_contain_text("Paused by andrea@contoso.com: the town hall begins")

        await _skip_and_retry(visit, "avd-011")

        await tell(visit, "Resume", "the town hall is over")
        await visit.pass_time(visit.is_in("Rolling"), hours=1)
        await visit.sees("main .badge").to_have_text("Rolling")

        await visit.pass_time(visit.is_in("Succeeded"), hours=30)
        await visit.pass_time(minutes=5)
        await visit.sees("main .badge").to_have_text("Succeeded")
        await visit.sees(".why").to_have_text("all 12 hosts are on 2.0.0")
        await visit.sees(".progress.bold").to_have_attribute(
            "aria-label", "12 hosts: 12 current, 0 in hand, 0 outdated, 0 set aside"
        )
        await visit.sees(".field .tile.Current").to_have_count(12)
        await visit.sees(visit.page.get_by_role("button", name="Pause")).to_have_count(0)
        await visit.sees(".timeline path.span.Current").to_be_visible()
        await visit.sees(".story").to_contain_text("all 12 hosts are on 2.0.0")
        assert await obstacles(visit.page) == []
        assert visit.troubles == []


async def _skip_and_retry(visit: Visit, host: str) -> None:
    """Let the rollout leave a host alone, and take it up again."""
    for verb, seen in (("Skip", "Skipped"), ("Retry", "Outdated")):
        await visit.page.get_by_role("button", name=f"{verb} {host}").click()
        await visit.page.get_by_label("Why?").fill(f"to see that it is {seen}")
        await visit.page.get_by_role("dialog").get_by_role("button", name=verb).click()
        await visit.pass_time(minutes=11)
        await visit.sees(visit.page.get_by_role("row", name=host)).to_contain_text(seen)
        if verb == "Skip":
            await visit.sees(visit.page.get_by_role("row", name=host)).to_contain_text("skipped by andrea@contoso.com")
            await visit.sees(".aside").to_contain_text(f"{host} skipped by andrea@contoso.com: to see that")


def _held_back(stage: Stage) -> None:
    office = stage.office(hosts=12)
    stage.at("08:10", lambda: office.publish("2.0.0", exclude_from_latest=True), by="image team")


async def test_a_version_that_is_held_back_is_started_by_keyboard_when_its_plan_has_been_read(browser: Browser) -> None:
    async with a_visit(browser, replace(QUICK, set_the_stage=_held_back)) as visit:
        await visit.open()
        await visit.pass_time(hours=1)
        await visit.sees("main").to_contain_text("Nothing has been rolled out yet")
        page = visit.page
        await page.get_by_role("button", name="Start a rollout").focus()
        await page.keyboard.press("Enter")
        await visit.sees(page.get_by_label("Image")).to_be_focused()
        await visit.sees(".plan").to_contain_text("all 12 hosts are on 1.0.0 already")
        await visit.sees(".plan").to_contain_text("There is nothing to start")
        start = page.get_by_role("dialog").get_by_role("button", name="Start", exact=True)
        await visit.sees(start).to_be_disabled()
        await visit.sees(page.get_by_label("Version")).to_contain_text("2.0.0, excluded from latest")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowDown")
        await visit.sees(page.get_by_label("Version")).to_have_value("2.0.0")
        await visit.sees(".plan").to_contain_text("12 hosts would be replaced with version 2.0.0")
        await visit.sees(".plan").to_contain_text("office: 12 of 12 hosts are outdated")
        await visit.sees(start).to_be_enabled()
        await visit.sees(".plan").to_contain_text("It takes about")
        assert await obstacles(page) == []
        await page.keyboard.press("Tab")
        await visit.sees(page.get_by_label("Why?")).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await visit.sees("#tell-problem").to_contain_text("the reason is required")
        await page.keyboard.type("it must be proven at last")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await visit.sees("dialog").to_have_count(0)
        await visit.sees(".toast").to_have_text("The rollout of 2.0.0 has been started.")
        assert "#/rollouts/image-" in page.url
        await visit.pass_time(visit.is_in("Canary"), hours=2)
        await visit.sees("main .badge").to_have_text("Canary")
        (started,) = [one.input for one in visit.instances() if one.id.startswith("image-") and ":" not in one.id]
        assert "it must be proven at last" in str(started)
        assert "duration_p50" in str(started)  # the rollout is compared with its plan at the end
        assert visit.troubles == []


async def test_a_rollout_is_aborted_and_says_who_did_it(browser: Browser) -> None:
    async with a_visit(browser, SCENARIOS["happy"]) as visit:
        await visit.open()
        await visit.pass_time(visit.is_in("Canary"), hours=2)
        await visit.sees("main .badge").to_have_text("Canary")
        await visit.page.get_by_role("button", name="Abort", exact=True).click()
        await visit.sees(visit.page.get_by_role("dialog")).to_contain_text("This cannot be taken back.")
        await visit.sees(visit.page.get_by_role("dialog")).to_contain_text("1 host being made is finished")
        await visit.page.get_by_role("button", name="Leave it").click()
        await tell(visit, "Abort", "a wrong build")
        await visit.pass_time(visit.is_in("Aborted"), hours=3)
        await visit.pass_time(minutes=2)
        await visit.sees("main .badge").to_have_text("Aborted")
        await visit.sees(".why").to_contain_text("by andrea@contoso.com: a wrong build")
        await visit.sees(".verbs").to_have_text("Roll back")


async def test_a_pool_that_is_one_of_several_is_looked_at_and_paused_alone(browser: Browser) -> None:
    async with a_visit(browser, replace(SCENARIOS["aborted"], set_the_stage=_three_offices)) as visit:
        await visit.open()
        await visit.pass_time(visit.is_in("Canary", "branch"), hours=2)
        await visit.page.locator(".pools a", has_text="branch").click()
        await visit.sees(".pool h2").to_have_text("branch")
        await visit.sees(".pool .tile").not_to_have_count(0)
        await visit.page.get_by_role("group", name="Tell pool branch").get_by_role("button", name="Pause").click()
        await visit.page.get_by_label("Why?").fill("the branch counts its stock")
        await visit.page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await visit.pass_time(visit.is_in("Paused", "branch"), hours=1)
        await visit.sees(".pool .badge >> nth=0").to_have_text("Paused")
        assert not visit.is_in("Paused", "office")()


def _three_offices(stage: Stage) -> None:
    office = stage.office("office", hosts=3, people=9)
    stage.office("branch", hosts=2, people=4, image_of=office)
    stage.office("depot", hosts=2, people=4, image_of=office)
    stage.publish("08:10", office, "2.0.0")
