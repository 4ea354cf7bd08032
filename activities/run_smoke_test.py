"""Runs the smoke test on one host of a pool, or asks how it goes."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Struct

from activities.answers import Payload, answering, as_json
from adapters.pool_reader import observe
from adapters.smoke_tests import ScriptRun, read_script, start_script
from adapters.telemetry import measure, span
from rollout.health import judge_host
from rollout.measuring import of_smoke_test
from rollout.model import SessionHost
from rollout.policy import PoolPolicy, SmokeTestGate
from rollout.smoke_test import SmokeRun, kept
from rollout.subject import Subject

bp = df.Blueprint()


class SmokeTestOrder(Struct, frozen=True):
    """Run the gate's script on a host of the pool that is on `version`, under `name`, which no other run has.

    `run` is what is known of it so far, None before the first time. `rollout` is the id of the rollout as a whole, ""
    of one that an earlier version has started.
    """

    version: str
    policy: PoolPolicy
    gate: SmokeTestGate
    name: str
    now: datetime
    run: SmokeRun | None = None
    rollout: str = ""


@bp.activity_trigger(input_name="order")
def run_smoke_test(order: Payload, context: func.Context) -> Payload:
    """In: SmokeTestOrder. Out: `{"run": SmokeRun}` or `{"error": StepError}`.

    Asks about a script that was started; starts it where there is none. Twice is harmless: at worst it runs twice.
    """

    def run() -> Payload:
        given = msgspec.convert(order, SmokeTestOrder)
        pool = given.policy.name
        with span("run_smoke_test", Subject(given.rollout, pool), context) as noted:
            seen = _advance(given)
            noted |= {"host": seen.host, "state": seen.state}
        measure(lambda: of_smoke_test(pool, seen.state))
        return {"run": as_json(seen)}

    return answering(run)


def _advance(order: SmokeTestOrder) -> SmokeRun:
    now = order.now.astimezone(UTC)
    if order.run is not None and order.run.vm_id:
        script = read_script(order.run.vm_id, order.name)
        if script is not None:
            return _judged(order.run, script, now)
        # The host has been replaced or switched to another since: the next one in line runs it.
    host = _choose(order, now)
    if host is None:
        return SmokeRun(now, message="no host on the new version is healthy and running")
    seconds = int(order.gate.timeout.total_seconds())
    start_script(host.vm_id, host.shape.location, order.name, order.gate.script, seconds)
    return SmokeRun(now, "running", host.name, host.vm_id)


def _choose(order: SmokeTestOrder, now: datetime) -> SessionHost | None:
    """The emptiest healthy host on the version."""
    seen = observe(order.policy.host_pool_id, order.version, order.policy, "", (), now)
    fit = [
        host
        for host in seen.hosts
        if host.image_version_id.lower() == order.version.lower()
        and judge_host(host, order.policy.health, now, in_service=True).good
    ]
    return min(fit, key=lambda host: (host.load, host.name), default=None)


def _judged(run: SmokeRun, script: ScriptRun, now: datetime) -> SmokeRun:
    if not script.has_ended:
        return SmokeRun(now, "running", run.host, run.vm_id)
    ended = f"exit code {script.exit_code}" if script.exit_code is not None else script.state
    output = kept(script.output)
    message = f"{ended}: {output}" if output else ended
    return SmokeRun(now, "passed" if script.went_well else "failed", run.host, run.vm_id, message)
