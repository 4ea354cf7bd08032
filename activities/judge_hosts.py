"""Looks at a host pool's hosts on an image version: how many run, and which of them cannot serve people."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from activities.answers import Payload, answering
from adapters.pool_reader import observe
from rollout.health import judge_host
from rollout.policy import PoolPolicy

bp = df.Blueprint()

MOST_NAMED = 50
"""Unhealthy hosts that are named. The answer stays in the history; who has more need not know which."""


class HostsInQuestion(Struct, frozen=True):
    """The pool's hosts on `version`, the id of an image version, at `now`."""

    version: str
    policy: PoolPolicy
    now: datetime


@bp.activity_trigger(input_name="question")
def judge_hosts(question: Payload) -> Payload:
    """In: HostsInQuestion. Out: `{"running": 12, "unhealthy": {"avd-001": "its agent sends no heartbeat"}}` or
    `{"error": StepError}`. Hosts that are switched off are neither.
    """

    def judge() -> Payload:
        asked = msgspec.convert(question, HostsInQuestion)
        now = asked.now.astimezone(UTC)
        seen = observe(asked.policy.host_pool_id, asked.version, asked.policy, "", (), now)
        on_it = [
            host for host in seen.hosts if host.registration and host.image_version_id.lower() == asked.version.lower()
        ]
        running = [host for host in on_it if not host.is_powered_off]
        judged = {host.name: judge_host(host, asked.policy.health, now, in_service=True) for host in running}
        sick = {name: health.why for name, health in judged.items() if not health.good}
        return {"running": len(running), "unhealthy": dict(list(sick.items())[:MOST_NAMED])}

    return answering(judge)
