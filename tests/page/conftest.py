"""A browser for the tests of the page, and a play whose app it visits: time moves when a test says so."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Response, expect

from demo.browser import a_browser, find_browser
from demo.run import Run
from demo.scenario import Scenario
from localhost import Host
from localhost.store import Instance
from tests.triggers.durable import principal

PATIENCE = 45_000
"""Milliseconds after which the page has had time enough on a busy machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser for all tests of a module. Without one they are skipped, unless GOLDROLL_NEEDS_CHROMIUM is set."""
    program = find_browser()
    if program is None:
        why = "there is no Chromium, Chrome or Edge on this machine; GOLDROLL_CHROMIUM can name one"
        if os.environ.get("GOLDROLL_NEEDS_CHROMIUM"):
            pytest.fail(why)
        pytest.skip(why)
    async with a_browser(program) as started:
        yield started


class Visit:
    """A page that looks at the app of a run, and the hands to move time in between."""

    def __init__(self, page: Page, run: Run, host: Host) -> None:
        """`troubles` collects whatever the browser complains of; `largest_answer` is in bytes of JSON."""
        self.page = page
        self.run = run
        self._host = host
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.largest_answer = 0
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", self._weigh)

    def _hear(self, message: ConsoleMessage) -> None:
        # A record and a description are asked for whether there is one or not.
        url = message.location.get("url", "")
        if message.type == "error" and not re.search(r"/events\?|/openapi\.json$", url):
            self.troubles.append(message.text)

    def _weigh(self, response: Response) -> None:
        if "json" in response.headers.get("content-type", ""):
            self.largest_answer = max(self.largest_answer, int(response.headers.get("content-length", 0)))

    @property
    def url(self) -> str:
        """The page's own address."""
        return f"{self._host.base_url}/api/dashboard"

    async def open(self, where: str = "") -> None:
        """Go to the page, at this fragment or query."""
        await self.page.goto(self.url + where)

    async def pass_time(self, until: Callable[[], bool] | None = None, **most: float) -> None:
        """Let time pass until something holds, or so long at most; then the page looks at once."""
        reached = await self._host.run_until(until or (lambda: False), limit=timedelta(**most))
        assert reached or until is None, f"not reached within {most}: {self.statuses()}"
        await self.look()

    async def look(self) -> None:
        """Let the page ask now for what it shows, as it does when somebody comes back to it."""
        await self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def instances(self) -> list[Instance]:
        """Every orchestration that the app has started."""
        return self._host.instances()

    def statuses(self) -> dict[str, Any]:
        """What each orchestration shows of itself, as JSON text."""
        return {instance.id: instance.custom_status for instance in self.instances()}

    def is_in(self, phase: str, pool: str = "office") -> Callable[[], bool]:
        """Whether the pool's rollout is in this phase."""
        return lambda: any(
            f'"phase":"{phase}"' in (status or "").replace(": ", ":")
            for name, status in self.statuses().items()
            if name.endswith(f":{pool}")
        )

    def has_ended(self, phase: str) -> Callable[[], bool]:
        """Whether a rollout as a whole is over, in this phase."""
        return lambda: any(
            instance.is_finished and f'"phase":"{phase}"' in (instance.output or "").replace(": ", ":")
            for instance in self.instances()
            if ":" not in instance.id
        )

    def asks(self) -> bool:
        """Whether the rollout asks people for an answer now."""
        return any('"asked"' in (status or "") for status in self.statuses().values())

    def sees(self, what: str | Locator, **options: Any) -> Any:
        """What is expected of a part of the page, by its selector."""
        return expect(self.page.locator(what) if isinstance(what, str) else what, **options)


@asynccontextmanager
async def a_visit(
    browser: Browser, scenario: Scenario, *, viewport: tuple[int, int] = (1440, 1000), seed: int = 1, **options: Any
) -> AsyncIterator[Visit]:
    """Play a scenario with somebody at the page, who is signed in as andrea@contoso.com with every role."""
    expect.set_options(timeout=PATIENCE)
    signed_in = principal("andrea@contoso.com", "Reader", "Operator", "Approver")
    run = Run(scenario, seed)
    async with run.opened(GOLDROLL_VIEW_SECONDS="0") as host:
        size = {"width": viewport[0], "height": viewport[1]}
        context = await browser.new_context(
            **{"viewport": size, "extra_http_headers": signed_in, "reduced_motion": "reduce", **options}
        )
        try:
            yield Visit(await context.new_page(), run, host)
        finally:
            await context.close()


async def tell(visit: Visit, verb: str, reason: str) -> None:
    """Press the button, read what will happen, say why, and confirm."""
    await visit.page.get_by_role("button", name=verb, exact=True).first.click()
    await visit.page.get_by_label("Why?").fill(reason)
    await visit.page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
    await visit.sees("dialog").to_have_count(0)
