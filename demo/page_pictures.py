"""`python -m demo.page_pictures docs/page`: plays scenarios and takes pictures of the page at their telling moments.

They are made of the page itself in a browser without a window, so they show what it looks like, not what it should.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from demo.browser import a_browser, find_browser
from demo.policies import policy_text
from demo.run import Run
from demo.scenario import Scenario, Stage
from demo.scenarios import SCENARIOS

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

DESKTOP, PHONE = (1440, 1000), (390, 844)

Look = Literal["light", "dark"]


def _set_large(stage: Stage) -> None:
    office = stage.office(hosts=1000, people=4200)
    stage.publish("08:10", office, "2.0.0")


LARGE = replace(
    SCENARIOS["happy"],
    name="large",
    policy=policy_text("office", surge="5%", max_unavailable="2%", finish_within="PT12H"),
    set_the_stage=_set_large,
)
"""A thousand hosts on a working day."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page: what is played until when, and what somebody does there before it is taken.

    The page is open meanwhile and looks `looks` times, as it would in that time.
    """

    name: str
    scenario: Scenario
    after: timedelta
    size: tuple[int, int] = DESKTOP
    look: Look = "light"
    where: str = ""
    act: Callable[[Page], Awaitable[object]] | None = None
    whole: bool = False
    looks: int = 40


async def _approve(page: Page) -> None:
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_label("Why?").fill("two power users and I have worked with it all day")


async def _start(page: Page) -> None:
    await page.get_by_role("button", name="Start a rollout").click()
    await page.locator(".plan", has_text="It takes about").wait_for()
    await page.get_by_label("Why?").fill("the fix for the printers cannot wait for the next patch day")


PICTURES = (
    Picture("rollout", SCENARIOS["happy"], timedelta(hours=4, minutes=40), size=(1440, 1100)),
    Picture("rollout-dark", SCENARIOS["happy"], timedelta(hours=4, minutes=40), size=(1440, 1100), look="dark"),
    Picture("start", SCENARIOS["happy"], timedelta(minutes=12), act=_start, looks=2),
    Picture("approval", SCENARIOS["monthly_cycle"], timedelta(days=2, hours=16), act=_approve),
    Picture("halted", SCENARIOS["sick_later"], timedelta(hours=40), look="dark"),
    Picture("rolling-back", SCENARIOS["roll_back_rebuilt"], timedelta(hours=4, minutes=15)),
    Picture("thousand", LARGE, timedelta(hours=3, minutes=30), looks=6),
    Picture("phone", SCENARIOS["happy"], timedelta(hours=4, minutes=40), size=PHONE, where="#/pools/office"),
    Picture("phone-home", SCENARIOS["monthly_cycle"], timedelta(days=2, hours=16), size=PHONE, look="dark"),
)


async def take(browser: Browser, picture: Picture, folder: Path) -> None:
    """Play until the moment of the picture, and take it."""
    async with Run(picture.scenario).opened(GOLDROLL_VIEW_SECONDS="0") as host:
        context = await browser.new_context(
            viewport={"width": picture.size[0], "height": picture.size[1]},
            color_scheme=picture.look,
            device_scale_factor=1 if picture.size[0] > PHONE[0] else 2,
            reduced_motion="reduce",
            extra_http_headers=_signed_in(),
        )
        page = await context.new_page()
        await page.goto(f"{host.base_url}/api/dashboard{picture.where}")
        for _ in range(picture.looks):
            await host.run_until(lambda: False, limit=picture.after / picture.looks)
            async with page.expect_response(lambda answer: "/api/pools" in answer.url):
                await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.locator(".loading").first.wait_for(state="detached")
        await page.evaluate("document.fonts.ready.then(() => 0)")
        if picture.act is not None:
            await picture.act(page)
        _keep(await page.screenshot(full_page=picture.whole), folder / f"{picture.name}.png")
        await context.close()


def _keep(screenshot: bytes, path: Path) -> None:
    """Write a screenshot with 256 colours, which are all that the page has: a third of the size."""
    from PIL import Image  # noqa: PLC0415 - comes with matplotlib, which only tools need

    with Image.open(io.BytesIO(screenshot)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _signed_in() -> dict[str, str]:
    claims: list[dict[str, Any]] = [{"typ": "preferred_username", "val": "andrea@contoso.com"}]
    claims += [{"typ": "roles", "val": role} for role in ("Reader", "Operator", "Approver")]
    principal = json.dumps({"auth_typ": "aad", "claims": claims}).encode()
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(principal).decode()}


async def take_all(program: str, folder: Path, wanted: Sequence[str]) -> None:
    """Take the pictures of these names, all of them for none."""
    async with a_browser(program) as browser:
        for picture in PICTURES:
            if not wanted or picture.name in wanted:
                await take(browser, picture, folder)
                print(folder / f"{picture.name}.png", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 when there is no browser."""
    options = argparse.ArgumentParser(prog="python -m demo.page_pictures", description=__doc__)
    options.add_argument("folder", type=Path, help="where the pictures go")
    options.add_argument("names", nargs="*", help=f"which ones (all): {', '.join(p.name for p in PICTURES)}")
    given = options.parse_args(arguments)
    program = find_browser()
    if program is None:
        print("there is no Chromium, Chrome or Edge on this machine", file=sys.stderr)
        return 1
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(program, given.folder, given.names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
