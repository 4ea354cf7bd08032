"""The app over HTTP, as in Azure: an event starts a rollout, a killed host goes on, strange events do no harm."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.stand import Stand


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with Stand(tmp_path) as stand:
        yield stand


async def test_an_event_starts_a_rollout_and_a_host_killed_in_the_middle_of_a_wave_finishes_it(stand: Stand) -> None:
    if not stand.owns_processes:
        pytest.skip("a host that this test has not started is not killed")
    assert await stand.post_event(stand.event()) == 202
    (rollout,) = await stand.until("a rollout has started", stand.rollouts)

    async def in_the_middle_of_a_wave() -> bool:
        pool = await stand.pool(rollout["id"])
        return pool.get("wave", 0) >= 1 and "Draining" in pool.get("in_hand", {})

    await stand.until("a wave is under way", in_the_middle_of_a_wave)
    stand.kill_host()
    assert (await stand.azure())["drained"], "killed too late: nothing was drained any more"
    stand.start_host()

    async def has_ended() -> dict[str, Any] | None:
        (only,) = await stand.rollouts()
        return only if only["phase"] not in ("Scheduled", "WaitingReplication", "Rolling") else None

    ended = await stand.until("the rollout has ended", has_ended)
    assert ended["phase"] == "Succeeded", ended
    azure = await stand.azure()
    assert azure["hosts_by_version"] == {"2.0.0": 3}
    assert len(azure["machines"]) == 3
    assert azure["drained"] == []
    assert azure["tagged"] == {}
    assert azure["duplicates"] == []
    assert azure["orphans"] == []


async def test_duplicates_and_strange_events_start_nothing_more(stand: Stand) -> None:
    event = json.loads(stand.event())
    assert await stand.post_event(json.dumps(event + event)) == 202
    assert await stand.post_event(json.dumps(event)) == 202
    strange: list[Any] = [
        [{}],
        [{"id": "1", "eventType": "Microsoft.Resources.ResourceWriteSuccess"}],
        [{**event[0], "subject": "/subscriptions/../../etc/passwd"}],
        [{**event[0], "subject": event[0]["subject"] + "9" * 5000, "data": None}],
        [{**event[0], "data": "x" * 200_000}],
        [{**event[0], "eventType": "Contoso.Something", "data": {"operationName": 7}}],
        [{**event[0], "data": {**event[0]["data"], "operationName": "Microsoft.Compute/virtualMachines/write"}}],
    ]
    for body in strange:
        assert await stand.post_event(json.dumps(body)) == 202
    assert await stand.post_event('[{"id": "cut off') == 400
    assert await stand.post_event(json.dumps(event), event_type="Nonsense") == 400
    rollouts = await stand.until("a rollout has started", stand.rollouts)
    assert [rollout["version"] for rollout in rollouts] == ["2.0.0"]
