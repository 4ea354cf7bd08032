"""Answers of the API as it gives them, for states that no play reaches in seconds: a thousand hosts, hostile names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from playwright.async_api import Page, Route

from rollout.model import Phase, PoolCounts
from rollout.pool_view import view_pool
from rollout.status import PoolStatus
from tests.rollout.builders import MORNING, a_draining_host, a_host, a_policy, a_pool, version_id

ROLLOUT = "image-gal-office-2.0.0-abcdef"


def a_pool_answer(hosts: int, **changes: Any) -> dict[str, Any]:
    """GET /api/pools/office for a pool of so many hosts in the middle of a rollout."""
    names = [f"avd-{n:04}" for n in range(hosts)]
    status = PoolStatus("office", "2.0.0", Phase.ROLLING, draining={"2026-11-20T16:00:00Z": " ".join(names[::10])})
    snapshot = a_pool(
        [
            a_host(name, version="2.0.0", sessions=n % 7, zone=str(n % 3 + 1))
            if n % 3 == 1
            else a_draining_host(name, sessions=n % 9, zone=str(n % 3 + 1))
            if n % 5 == 0
            else a_host(name, sessions=n % 8, zone=str(n % 3 + 1))
            for n, name in enumerate(names)
        ]
    )
    view = view_pool(snapshot, a_policy(), "", version_id("2.0.0"), ROLLOUT, status)
    return {**msgspec.to_builtins(msgspec.structs.replace(view, kept_seconds=30)), **changes}


def a_rollout_answer(hosts: int, **changes: Any) -> dict[str, Any]:
    """GET /api/rollouts/{id} for it."""
    counts = PoolCounts(outdated=hosts // 2, in_hand=hosts // 10, current=hosts - hosts // 2 - hosts // 10, free=90)
    status = PoolStatus("office", "2.0.0", Phase.ROLLING, message="rolling", since=MORNING, counts=counts)
    return {
        "id": ROLLOUT,
        "image": "office",
        "version": "2.0.0",
        "phase": "Rolling",
        "message": "1 host pool: 1 Rolling",
        "created": MORNING.isoformat(),
        "updated": (MORNING + timedelta(hours=5)).isoformat(),
        "pools": [msgspec.to_builtins(status)],
        **changes,
    }


def some_events(hosts: int) -> list[dict[str, Any]]:
    """GET /api/rollouts/{id}/events: ten events for each host, as a large rollout has them."""
    stages = ("Provisioning", "Joining", "Verifying", "Current", "Steered", "Draining", "Removing", "Removed")
    return [
        {
            "number": host * len(stages) + at + 1,
            "at": (MORNING + timedelta(minutes=host // 4 + 9 * at)).isoformat(),
            "pool": "office",
            "host": f"avd-{host:04}",
            "kind": "HostStageChanged",
            "stage": stage,
            "message": f"avd-{host:04} is {stage}",
        }
        for host in range(hosts)
        for at, stage in enumerate(stages[:4] if host % 2 else stages[4:])
    ]


async def answer_with(page: Page, answers: Mapping[str, Any]) -> None:
    """Let the API answer this from now on: by the end of the path, with a body, or with (status, body)."""

    async def give(route: Route) -> None:
        path = route.request.url.split("/api/")[1].split("?")[0]
        if path not in answers:
            await route.fallback()
            return
        found = answers[path]
        if found is None:
            await route.abort()
            return
        status, body = found if isinstance(found, tuple) else (200, found)
        await route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    await page.route("**/api/**", give)
