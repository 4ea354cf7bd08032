"""Names, reasons and messages that mean harm, from Azure and from people, through the whole app to a real browser."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta

import pytest
import yaml
from playwright.async_api import Browser, Page

from demo.policies import policy_text
from demo.scenario import Stage
from demo.scenarios import SCENARIOS
from rollout.model import QUARANTINE_TAG
from simulator.errors import AzureError
from simulator.workload import OFFICE
from tests.page.conftest import a_visit, tell
from tests.triggers.durable import principal

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = '<img src=x onerror="window.hacked=1">'
HOST = f"=1+1 {PICTURE}"
CALLER = f"{PICTURE}<svg onload=window.hacked=1>@contoso.com"
REASON = f'=HYPERLINK("https://evil.example","x") {PICTURE}</script><script>window.hacked=1</script> javascript:x'
ANSWER = f"{PICTURE} [reset](javascript:hacked=1) <a href='javascript:hacked=1'>here</a> was not found"


def _that_means_harm(stage: Stage) -> None:
    office = stage.office(hosts=4, people=0, host_prefix=HOST)
    office.people += stage.estate.people.add(office.pool_id, 8, replace(OFFICE, arrives=7), PICTURE)
    stage.estate.machines.patch_tags(office.machine_id(f"{HOST}-000"), {QUARANTINE_TAG: ANSWER})
    refusal = AzureError(409, "OperationNotAllowed", ANSWER)
    stage.estate.faults.fail_next("PUT", "virtualMachines/avd-001$", refusal)
    stage.publish("08:10", office, "2.0.0", takes={office.region: timedelta(0)})


def _policy() -> str:
    document = yaml.safe_load(policy_text("office", canary={"bake": "PT5M"}))
    document["images"][0]["name"] = document["host_pools"][0]["image"] = PICTURE
    return yaml.safe_dump(document)


HARMFUL = replace(SCENARIOS["happy"], policy=_policy(), set_the_stage=_that_means_harm)


async def harmless(page: Page) -> bool:
    """Nothing of it has run or been made an element, nothing was even refused, and every link stays on the page."""
    made = await page.locator("#app img, #app script, #app iframe, #app svg[onload], #app b[onclick]").count()
    links = await page.evaluate("[...document.querySelectorAll('#app a')].map((link) => link.getAttribute('href'))")
    ran, refused = await page.evaluate("[window.hacked, window.refused]")
    return (made, ran, refused) == (0, None, []) and all(link.startswith("#") for link in links)


async def test_what_azure_and_people_write_is_text_on_the_page(browser: Browser) -> None:
    signed_in = principal(CALLER, "Reader", "Operator", "Approver")
    async with a_visit(browser, HARMFUL, extra_http_headers=signed_in) as visit:
        page = visit.page
        await page.add_init_script(
            "window.refused = []; addEventListener('securitypolicyviolation', (told) => refused.push(told.blockedURI))"
        )
        await visit.open()
        await visit.sees(".rail h3").to_have_text(PICTURE)
        await visit.pass_time(visit.is_in("Rolling"), hours=4)
        await visit.pass_time(minutes=10)
        await tell(visit, "Pause", REASON)
        await visit.pass_time(visit.is_in("Paused"), hours=1)

        # The rollout: operator and reason, what Azure answered, hosts, the image.
        await visit.sees(".when").to_contain_text(f"Paused by {CALLER}: {REASON}")
        await visit.sees(".story").to_contain_text(ANSWER)
        await visit.sees("#list ~ .scroll").to_contain_text(f"{HOST}-003")
        await visit.sees("#list ~ .scroll").to_contain_text(ANSWER[:90])
        await visit.sees("#rollout-title").to_contain_text(PICTURE)
        await visit.sees(page.locator(".tile[title*='onerror']")).not_to_have_count(0)
        assert await harmless(page)
        await page.locator(".rail li a").first.click()
        await visit.sees(".pool h2").to_contain_text(PICTURE)
        await visit.sees("#list ~ .scroll").to_contain_text(f"{HOST}-003")
        assert await harmless(page)
        await page.get_by_role("button", name="Start a rollout").click()
        await visit.sees(page.get_by_label("Image")).to_have_value(PICTURE)
        await visit.sees(".plan").to_contain_text("2.0.0")
        assert await harmless(page)
        # Who works on the hosts is nowhere on the page.
        assert "-0001@contoso.com" not in await page.content()
        assert visit.troubles == []

        # The same over HTTP: an answer that a browser opens by itself is no page, and an export holds no formula.
        (rollout,) = [one.id for one in visit.instances() if one.id.startswith("image-") and ":" not in one.id]
        api = visit.url.removesuffix("dashboard")
        for path in ("pools", "pools/office", "rollouts", f"rollouts/{rollout}", f"rollouts/{PICTURE}", "pools/=1+1"):
            answer = await page.request.get(api + path)
            assert answer.headers["content-type"].startswith(("application/json", "application/problem+json"))
            assert answer.headers["x-content-type-options"] == "nosniff"
        export = await page.request.get(f"{api}rollouts/{rollout}/events?format=csv")
        assert export.headers["x-content-type-options"] == "nosniff"
        assert export.headers["content-disposition"].startswith("attachment")
        cells = [cell for row in csv.reader(io.StringIO(await export.text())) for cell in row]
        assert f"'{HOST}-003" in cells
        assert any(f"{CALLER} pauses the rollout: {REASON}" in cell for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
