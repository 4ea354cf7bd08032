"""A browser without a window, for looking at the page: whichever of Chromium's family is on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser

COMMANDS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge", "msedge")

PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
"""Where they are installed on macOS."""

WINDOWS_PLACES = (
    r"Google\Chrome\Application\chrome.exe",
    r"Chromium\Application\chrome.exe",
    r"Microsoft\Edge\Application\msedge.exe",
)
"""Where they are on Windows, below any of these folders."""

WINDOWS_FOLDERS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")

OPTIONS = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]


def find_browser() -> str | None:
    """The program to start: GOLDROLL_CHROMIUM, one on the path, or one where it is usually installed."""
    if named := os.environ.get("GOLDROLL_CHROMIUM"):
        return named
    on_path = next((found for command in COMMANDS if (found := shutil.which(command))), None)
    return on_path or next((str(path) for path in _usual_places() if path.is_file()), None)


@asynccontextmanager
async def a_browser(program: str) -> AsyncIterator[Browser]:
    """Start it, and end it with the context."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - half a second, for nobody else

    # Inside a container, where one is root, Chromium refuses to start with its sandbox.
    options = [*OPTIONS, "--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else OPTIONS
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            await browser.close()


def _usual_places() -> list[Path]:
    folders = [Path(folder) for name in WINDOWS_FOLDERS if (folder := os.environ.get(name))]
    return [Path(place) for place in PLACES] + [folder / place for folder in folders for place in WINDOWS_PLACES]
