"""What axe-core finds on a page that somebody who cannot see, or has no mouse, would stumble over."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


async def obstacles(page: Page) -> list[str]:
    """Each serious or critical violation of WCAG 2.2 A and AA: the rule, and where."""
    # Evaluated, not added as a script: the page's own rules let no foreign script in.
    await page.evaluate(_AXE)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
