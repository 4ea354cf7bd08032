"""The one place where tests wait for another process: they ask again until it answers, or too much time is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests

Answer = TypeVar("Answer")

PATIENCE = 100.0
"""Seconds after which what is waited for counts as missing: several times what anything takes on a busy machine."""

ASK_EVERY = 0.05
"""Seconds between two questions: a simulated half minute at the speed of these tests, so that no stage is missed."""


def wait_for(what: str, ask: Callable[[], Answer | None], patience: float = PATIENCE) -> Answer:
    """The first answer of `ask` that is true in Python's sense; nobody listening (yet) counts as no answer.

    Raises AssertionError with `what` and the last answer after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    last: object = None
    while time.monotonic() < deadline:
        try:
            answer = ask()
        except requests.ConnectionError as nobody:
            last = nobody
        else:
            if answer:
                return answer
            last = answer
        time.sleep(ASK_EVERY)
    raise AssertionError(f"after {patience:.0f} seconds still not: {what}; the last answer was {last!r}")
