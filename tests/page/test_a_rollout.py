"""An operator watches a rollout of twelve hosts on the page and steers it there."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from demo.scenarios import SCENARIOS
from tests.page.conftest import Visit, a_visit

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def tell(visit: Visit, verb: str, reason: str) -> None:
    """Press the button, read what will happen, say why, and confirm."""
    await visit.page.get_by_role("button", name=verb, exact=True).first.click()
    await visit.page.get_by_label("Why?").fill(reason)
    await visit.page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
    await visit.sees("dialog").to_have_count(0)


async def test_a_whole_rollout_is_watched_paused_resumed_and_seen_to_its_end(browser: Browser) -> None:
    async with a_visit(browser, SCENARIOS["happy"]) as visit:
        await visit.open()
        await visit.sees("main").to_contain_text("Nothing has been rolled out yet")
        await visit.sees(".rail").to_contain_text("no rollout yet")

        await visit.pass_time(visit.is_in("Canary"), hours=2)
        await visit.sees("main .badge").to_have_text("Canary")
        await visit.sees(".why").to_contain_text("canary")

        await visit.pass_time(visit.is_in("Rolling"), hours=4)
        await visit.pass_time(minutes=50)
        await visit.sees("main .badge").to_have_text("Rolling")
        await visit.sees(".why").to_contain_text("of 12 hosts are on 2.0.0")
        await visit.sees(".tile.Steered >> nth=0").to_be_visible()

        await tell(visit, "Pause", "the town hall begins")
        await visit.sees(".toast").to_contain_text("sent as andrea@contoso.com")
        await visit.pass_time(visit.is_in("Paused"), hours=1)
        await visit.sees("main .badge").to_have_text("Paused")
        await visit.sees(".when").to_contain_text("Paused by andrea@contoso.com: the town hall begins")

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
        assert visit.troubles == []
