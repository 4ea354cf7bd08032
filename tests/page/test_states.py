"""What the page shows when there is nothing, when something is wrong, and when somebody means harm."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Route

from demo.scenarios import SCENARIOS
from tests.page.accessibility import obstacles
from tests.page.answers import ROLLOUT, a_pool_answer, a_rollout_answer, answer_with, some_events
from tests.page.conftest import a_visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

HAPPY = SCENARIOS["happy"]
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}${window.hacked=1}\u202e'


def a_problem(status: int, code: str, detail: str) -> tuple[int, dict[str, Any]]:
    return status, {"type": "about:blank", "title": "Wrong", "status": status, "detail": detail, "code": code}


def a_large_pool(hosts: int = 1000, **pool: Any) -> dict[str, Any]:
    listed = {"pool": "office", "image": "office", "rollout": ROLLOUT, "version": "2.0.0", "phase": "Rolling"}
    rollout = a_rollout_answer(hosts)
    return {
        "pools": {"pools": [listed]},
        "pools/office": a_pool_answer(hosts, **pool),
        "rollouts": {"rollouts": [{key: value for key, value in rollout.items() if key != "pools"}]},
        f"rollouts/{ROLLOUT}": rollout,
        f"rollouts/{ROLLOUT}/events": {"events": some_events(hosts), "next": "office:9", "more": False},
    }


async def test_without_a_key_the_page_asks_for_one_and_shows_no_data(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        locked = a_problem(401, "", "no key")
        keys: list[str | None] = []
        visit.page.on("request", lambda request: keys.append(request.headers.get("x-functions-key")))
        await answer_with(visit.page, {"pools": locked, "rollouts": locked})
        await visit.open()
        await visit.sees(".door h2").to_have_text("Who is there?")
        await visit.sees(".rail").to_have_count(0)
        assert await obstacles(visit.page) == []

        await visit.page.unroute_all()
        await visit.page.get_by_label("Function key").fill("a-secret-key")
        await visit.page.keyboard.press("Enter")
        await visit.sees(".rail").to_contain_text("office")

        assert "a-secret-key" in keys
        assert await visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
        assert not [url for url in visit.asked if "a-secret-key" in url]
        await visit.page.get_by_role("button", name="Forget the key").click()
        assert await visit.page.evaluate("sessionStorage.length") == 0


async def test_a_key_in_the_fragment_is_taken_and_leaves_the_address(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await visit.open("#code=from%2Da%2Dlink")
        await visit.sees(".rail").to_contain_text("office")

        assert await visit.page.evaluate("sessionStorage.getItem('goldroll.key')") == "from-a-link"
        assert visit.page.url == visit.url
        assert not [url for url in visit.asked if "from-a-link" in url.split("#")[0]]


async def test_an_app_that_does_not_answer_leaves_what_was_known_and_is_asked_again(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await visit.open()
        await visit.sees(".rail").to_contain_text("office")
        await answer_with(visit.page, {"pools": None, "rollouts": None})
        await visit.look()
        await visit.sees(".rail .trouble").to_contain_text("Goldroll cannot be reached")
        await visit.sees(".live").to_contain_text("asking again")
        await visit.sees(".rail b >> text=office").to_be_visible()

        await visit.page.unroute_all()
        await visit.page.get_by_role("button", name="Ask again").first.click()
        await visit.sees(".trouble").to_have_count(0)
        await visit.sees(".live").to_have_text("live")


@pytest.mark.parametrize(
    ("problem", "title"),
    [
        (a_problem(403, "NoRole", "you need the role Reader"), "You may not see this"),
        (a_problem(503, "PolicyUnusable", "host_pools[0].surge: expected"), "The policy is broken"),
        ((500, {}), "The host pools cannot be shown"),
    ],
    ids=["forbidden", "broken policy", "failed"],
)
async def test_what_is_wrong_is_said_in_the_apps_own_words(browser: Browser, problem: Any, title: str) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await answer_with(visit.page, {"pools": problem})
        await visit.open()
        await visit.sees(".rail .trouble b").to_have_text(title)
        await visit.sees(".rail .trouble").to_contain_text(problem[1].get("detail", "its log says why"))
        assert await obstacles(visit.page) == []


async def test_a_command_that_is_refused_says_why_and_keeps_the_reason(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers = a_large_pool(12)
        answers[f"rollouts/{ROLLOUT}/pause"] = a_problem(409, "PausedAlready", "it has been paused by raj@contoso.com")
        await answer_with(visit.page, answers)
        await visit.open()
        await visit.page.get_by_role("button", name="Pause", exact=True).click()
        send = visit.page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True)
        await send.click()
        await visit.sees("#tell-problem").to_contain_text("the reason is required")
        await visit.page.get_by_label("Why?").fill("printing is slow")
        await send.click()
        await visit.sees("#tell-problem").to_have_text("it has been paused by raj@contoso.com")
        await visit.sees(visit.page.get_by_label("Why?")).to_have_value("printing is slow")
        assert await obstacles(visit.page) == []


async def test_a_host_is_skipped_and_retried_where_its_state_allows_it(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers, page, sent = a_large_pool(12), visit.page, list[tuple[str, Any]]()
        hosts = {host["name"]: host for host in answers["pools/office"]["hosts"]}
        hosts["avd-0002"] |= {"state": "Skipped", "why": "SkippedByOperator: raj@contoso.com: a disk"}
        hosts["avd-0008"] |= {"told": "skip"}
        for verb in ("skip", "retry"):
            answers[f"rollouts/{ROLLOUT}/{verb}"] = (202, {"id": ROLLOUT, "by": "andrea@contoso.com"})
        page.on("requestfinished", lambda one: sent.append((one.url.rsplit("/")[-1], one.post_data_json)))
        await answer_with(page, answers)
        await visit.open()
        # One that is on the version is neither.
        await visit.sees(page.get_by_role("button", name="avd-0001")).to_have_count(0)
        await visit.sees(page.get_by_role("button", name="avd-0008")).to_have_count(0)
        await visit.sees(page.get_by_role("row", name="avd-0008")).to_contain_text(
            "to be skipped when the rollout looks"
        )
        await visit.sees(page.get_by_role("row", name="avd-0002")).to_contain_text("skipped by raj@contoso.com: a disk")
        assert await obstacles(page) == []

        await page.get_by_role("button", name="Skip avd-0005").focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Skip avd-0005")
        await visit.sees(dialog).to_contain_text("The rollout of 2.0.0 leaves avd-0005 alone: it stays on 1.0.0.")
        await visit.sees(dialog).to_contain_text("It takes new sign-ins again.")
        await visit.sees(page.get_by_label("Why?")).to_be_focused()
        assert await obstacles(page) == []
        await dialog.get_by_role("button", name="Skip").click()
        await visit.sees("#tell-problem").to_contain_text("the reason is required")
        assert [name for name, _ in sent if name == "skip"] == []
        await page.get_by_label("Why?").fill("it is being repaired")
        await dialog.get_by_role("button", name="Skip").click()
        await visit.sees("dialog").to_have_count(0)
        await visit.sees(page.get_by_role("button", name="Skip avd-0005")).to_be_focused()

        await page.get_by_role("button", name="Retry avd-0002").click()
        await visit.sees("dialog").to_contain_text("avd-0002 is to be replaced with 2.0.0 after all.")
        await page.get_by_label("Why?").fill("it is repaired")
        await page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        await visit.sees("dialog").to_have_count(0)
        assert [one for one in sent if one[0] in ("skip", "retry")] == [
            ("skip", {"reason": "it is being repaired", "pool": "office", "host": "avd-0005"}),
            ("retry", {"reason": "it is repaired", "pool": "office", "host": "avd-0002"}),
        ]


async def test_nothing_is_started_without_a_plan(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        posted: list[str] = []
        visit.page.on("request", lambda one: posted.append(one.url) if one.method == "POST" else None)
        answers = {"plan": a_problem(409, "NothingEligible", HOSTILE), "images/office/regions": a_problem(404, "", "")}
        await answer_with(visit.page, answers)
        await visit.open()
        await visit.page.get_by_role("button", name="Start a rollout").click()
        await visit.sees(".plan .problem").to_have_text(HOSTILE)
        await visit.page.get_by_label("Why?").fill("we need it")
        await visit.page.get_by_role("button", name="Start", exact=True).click()
        await visit.sees("#tell-problem").to_have_text(HOSTILE)
        # Of an image whose versions are not listed a version can be written.
        await visit.page.get_by_role("textbox", name="Version").fill("2.0.0")
        await visit.page.keyboard.press("Tab")
        await visit.sees(visit.page.get_by_label("Why?")).to_be_focused()
        await visit.page.keyboard.press("Escape")
        await visit.sees("dialog").to_have_count(0)
        await visit.sees(":focus").to_have_text("Start a rollout")
        assert {url.split("/api/")[1] for url in posted} == {"plan"}
        assert await visit.page.evaluate("window.hacked") is None


async def test_a_verb_is_offered_where_the_phase_allows_it(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers, back = a_large_pool(12), f"{ROLLOUT}-back"
        await answer_with(visit.page, answers)
        verbs = visit.page.get_by_role("group", name="Tell this rollout")
        answers[f"rollouts/{ROLLOUT}/rollback"] = (202, {"id": back, "by": "andrea@contoso.com"})
        answers[f"rollouts/{back}"] = a_rollout_answer(12, id=back, phase="RollingBack", pools=[])
        await visit.open()
        await visit.sees(verbs).to_have_text("PauseRoll backAbort")
        await visit.sees(visit.page.get_by_role("button", name="Skip avd-")).not_to_have_count(0)
        pool = answers[f"rollouts/{ROLLOUT}"]["pools"][0]
        pool |= {"phase": "WaitingCapacity", "reason": "OperationNotAllowed"}
        await visit.look()
        await visit.sees(verbs).to_have_text("RetryPauseRoll backAbort")
        pool |= {"phase": "Rolling", "reason": "NewerVersion"}
        await visit.look()
        await visit.sees(visit.page.get_by_role("button", name="Skip avd-")).to_have_count(0)
        answers[f"rollouts/{ROLLOUT}"]["phase"] = "Succeeded"
        await visit.look()
        await visit.sees(verbs).to_have_text("Roll back")
        await verbs.get_by_role("button").click()
        await visit.sees("dialog").to_contain_text("5 hosts on 2.0.0 give way to the version before it")
        await visit.page.get_by_label("Why?").fill("printing is broken")
        await visit.page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        await visit.sees("dialog").to_have_count(0)
        await visit.sees("main .badge").to_have_text("Rolling back")
        assert visit.page.url.endswith(f"#/rollouts/{back}")


async def test_names_and_reasons_are_text_whatever_is_in_them(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers = json.loads(json.dumps(a_large_pool(12)).replace("avd-0003", json.dumps(HOSTILE)[1:-1]))
        rollout = answers[f"rollouts/{ROLLOUT}"]
        rollout["command"] = {"kind": "pause", "by": HOSTILE, "reason": HOSTILE}
        rollout["pools"][0] |= {"message": HOSTILE, "skipped": {HOSTILE: HOSTILE}}
        rollout |= {"message": HOSTILE, "rings": {HOSTILE: HOSTILE}, "image": HOSTILE, "phase": HOSTILE}
        rollout["gates"] = [
            {"ring": HOSTILE, "kind": HOSTILE, "state": HOSTILE, "value": HOSTILE, "threshold": HOSTILE}
        ]
        answers["pools"]["pools"][0] |= {"image": HOSTILE, "ring": HOSTILE, "trouble": HOSTILE, "message": HOSTILE}
        await answer_with(visit.page, answers)
        await visit.open()
        await visit.sees(".why").to_have_text(HOSTILE)
        await visit.sees(".rings b").to_have_text(HOSTILE)
        await visit.page.get_by_role("searchbox").fill("onerror")
        await visit.sees("#list ~ .scroll tbody th >> text=onerror").to_be_visible()

        assert await visit.page.evaluate("window.hacked") is None
        assert await visit.page.locator("#app img, #app script, #app iframe").count() == 0


async def test_nothing_is_asked_of_anybody_but_the_app(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await visit.open()
        await visit.sees(".rail").to_contain_text("office")
        await visit.page.evaluate("fetch('https://example.com/').catch(() => 0)")

        assert {url.split("/api/")[0] for url in visit.asked} == {visit.url.removesuffix("/api/dashboard")}


async def test_a_pool_of_a_thousand_hosts_is_shown_whole_and_quickly_enough(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers = a_large_pool()
        await answer_with(visit.page, answers)
        await visit.open()
        await visit.sees(".field .tile").to_have_count(1000)
        await visit.sees(".timeline svg").to_be_visible()
        await visit.sees("#list + .tablehead").to_contain_text("1000 hosts")
        # A tile for each host is all that grows with the pool: rows wait until somebody asks for them.
        elements = await visit.page.evaluate("document.querySelectorAll('*').length")
        assert elements < 2500
        assert len(json.dumps(answers["pools/office"], separators=(",", ":"))) < 200_000
        assert await obstacles(visit.page) == []

        await visit.page.get_by_role("searchbox").fill("avd-0999")
        await visit.sees("#list ~ .scroll tbody tr").to_have_count(1)
        await visit.page.get_by_role("searchbox").fill("")
        await visit.page.get_by_role("button", name="Draining").click()
        await visit.sees("#list + .tablehead").to_contain_text("Draining: 67 hosts")


async def test_a_host_in_service_that_is_not_well_stands_out(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        answers = a_large_pool(12)
        sick = next(host for host in answers["pools/office"]["hosts"] if host["state"] == "Current")
        sick["why"] = "Unavailable"
        await answer_with(visit.page, answers)
        await visit.open()
        await visit.sees(".field .tile.ill").to_have_attribute("title", re.compile(f"^{sick['name']}: Current"))
        await visit.sees(".states").to_contain_text("not well 1")
        assert await obstacles(visit.page) == []


@pytest.mark.parametrize("last", ["", "image-gal-office-3.0.0-abcdef"], ids=["nobody yet", "a later one"])
async def test_hosts_are_not_shown_as_another_rollout_sees_them(browser: Browser, last: str) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await answer_with(visit.page, a_large_pool(12, rollout=last))
        async with visit.page.expect_response("**/api/pools/office"):
            await visit.open()
        await visit.sees(".timeline svg").to_be_visible()
        await visit.sees(".field").to_have_count(0)
        await visit.page.locator(".rail li a").first.click()
        await visit.sees(".field .tile").to_have_count(12)


async def test_what_has_not_changed_is_not_sent_again(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        async with visit.page.expect_response("**/api/pools") as first:
            await visit.open()
        await visit.sees(".rail").to_contain_text("office")
        async with visit.page.expect_response("**/api/pools") as second:
            await visit.look()

        assert ((await first.value).status, (await second.value).status) == (200, 304)


async def test_an_app_that_answers_slowly_is_asked_less_often(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        page, asked = visit.page, 0

        async def answer_late(route: Route) -> None:
            nonlocal asked
            asked += 1
            await page.clock.run_for(2_000)
            await route.continue_()

        await page.clock.install()
        await page.route("**/api/pools", answer_late)
        await visit.open()
        await visit.sees(".rail").to_contain_text("office")
        await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 1"))
        async with page.expect_response("**/api/pools"):
            await visit.look()
        await visit.sees(".live").to_have_text("live")

        before = asked
        await page.clock.run_for(19_000)
        assert asked == before
        async with page.expect_response("**/api/pools"):
            await page.clock.run_for(2_000)
        assert asked == before + 1


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, look: str) -> None:
    async with a_visit(browser, HAPPY, viewport=(360, 740), color_scheme=look, has_touch=True) as visit:
        await answer_with(visit.page, a_large_pool(60))
        await visit.open()
        await visit.sees(".rail").to_be_visible()
        await visit.sees("main").to_be_hidden()
        await visit.page.locator(".rail a >> nth=1").tap()
        await visit.sees("main h2").to_contain_text("2.0.0")
        await visit.sees(".timeline svg").to_be_visible()
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await obstacles(visit.page) == []
        await visit.page.get_by_role("link", name="All host pools").tap()
        await visit.sees(".rail").to_be_visible()


async def test_everything_can_be_done_with_the_keyboard(browser: Browser) -> None:
    async with a_visit(browser, HAPPY) as visit:
        await answer_with(visit.page, a_large_pool(12))
        await visit.open()
        await visit.sees("main h2").to_contain_text("2.0.0")
        page = visit.page
        await page.keyboard.press("Tab")
        await visit.sees(":focus").to_have_text("Skip to what is shown")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await visit.sees(":focus").to_have_text("Pause")
        await page.keyboard.press("Enter")
        await visit.sees(page.get_by_label("Why?")).to_be_focused()
        await page.keyboard.press("Escape")
        await visit.sees("dialog").to_have_count(0)
        await visit.sees(":focus").to_have_text("Pause")


async def test_the_search_for_obstacles_finds_one(browser: Browser) -> None:
    """Without this, a search that finds nothing anywhere would satisfy every other test here."""
    async with a_visit(browser, HAPPY) as visit:
        await visit.open()
        await visit.sees(".rail").to_contain_text("office")
        await visit.page.evaluate("document.documentElement.lang = ''")
        await visit.page.evaluate("document.querySelector('.rail h2').style.color = '#eee'")

        assert {found.split(":")[0] for found in await obstacles(visit.page)} == {"html-has-lang", "color-contrast"}
