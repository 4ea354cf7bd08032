"""Telemetry of a whole rollout: the figures are what has happened, each host's way is found by its name, no secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from demo.result import Result
from demo.run import Run
from rollout.measuring import METRICS
from rollout.model import Stage
from simulator.arm import Arm
from simulator.receivers import WEBHOOK, Receiver
from tests.scenarios.small import small_rollout
from tests.telemetry_in_memory import Heard, heard


class Secretive(Run):
    """A run with a webhook, in which every secret that goes to Azure or comes from it is written down."""

    def __init__(self) -> None:
        webhook = Receiver(WEBHOOK)
        super().__init__(small_rollout(), receivers={"GOLDROLL_WEBHOOK": webhook})
        self.secrets: set[str] = {webhook.address}
        self.arm.handle = self._handle  # type: ignore[method-assign]
        self.logged: list[str] = []

    def _handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None) -> Any:
        answer = Arm.handle(self.arm, method, url, headers, body)
        for text in (body, answer.body):
            self.secrets |= {value for value in secrets_in(text)}
        return answer


def secrets_in(text: Any) -> set[str]:
    return set()


@pytest.fixture(scope="module")
def played() -> tuple[Heard, Secretive, Result]:
    run = Secretive()
    with heard() as found:
        result = asyncio.run(run.play())
    assert result.problems == ()
    return found, run, result


def test_x(played: tuple[Heard, Secretive, Result]) -> None:
    found, run, result = played
    for name in sorted(METRICS):
        print(name, [(dict(p.attributes), getattr(p, "value", None) if not hasattr(p, "sum") else (p.count, p.sum, p.min, p.max)) for p in found.points(name)])
    print(len(found.spans()), {s.name for s in found.spans()})
    for s in found.spans(host="avd-001"): print(s.name, dict(s.attributes), s.start_time)
    for l in found.lines()[:12]: print(l)
    print(result.ledger)
    print(found.all_of_it()[:1500])
