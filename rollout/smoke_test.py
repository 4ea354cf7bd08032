"""The smoke test: a script that runs in the guest of a ring's hosts and says whether they can serve, by its exit code.

A running process proves little. On each host pool one host in service runs it; what it has written is kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from rollout.policy import SmokeTestGate

LOOK_AGAIN = timedelta(minutes=2)
"""How often a host is asked whether the script has ended."""

OVERDUE = timedelta(minutes=10)
"""Azure ends a script at its timeout; one that is silent for so much longer is given up."""

LONGEST_OUTPUT = 500
"""The end of what a script has written is kept, as that is where it says what went wrong."""

SmokeTestState = Literal["waiting", "running", "passed", "failed"]


class SmokeRun(Struct, frozen=True, omit_defaults=True):
    """A smoke test in one host pool. `waiting`: no host could be asked. `message` says why, or how it has ended."""

    at: datetime
    state: SmokeTestState = "waiting"
    host: str = ""
    vm_id: str = ""
    message: str = ""


class SmokeVerdict(Struct, frozen=True):
    """What the runs of a ring's pools come to. `ask`: the pools whose run is to be begun, or asked about, now."""

    state: Literal["open", "passed", "failed"]
    reason: str
    message: str
    wake_at: datetime | None = None
    ask: tuple[str, ...] = ()


def judge_smoke_tests(
    gate: SmokeTestGate, pools: tuple[str, ...], runs: dict[str, SmokeRun], opened_at: datetime, now: datetime
) -> SmokeVerdict:
    """Judge the smoke tests of a ring's pools, by what is known of them so far; one that failed fails the ring at once.

    A pool without a host that could be asked has `within` to get one; so has one whose script never ends.
    """
    for pool in pools:
        run = runs.get(pool)
        if run is not None and run.state == "failed":
            return SmokeVerdict("failed", "SmokeTestFailed", f"the smoke test failed on {run.host}: {run.message}")
    open_pools = [pool for pool in pools if pool not in runs or runs[pool].state != "passed"]
    if not open_pools:
        hosts = ", ".join(runs[pool].host for pool in pools[:3])
        return SmokeVerdict("passed", "SmokeTestPassed", f"the smoke test passed on {hosts}")
    longest = max(gate.within, gate.timeout + OVERDUE)
    if now - opened_at >= longest:
        silent = runs.get(open_pools[0])
        why = (silent.message if silent is not None else "") or "it has not ended in time"
        return SmokeVerdict("failed", "SmokeTestUnknown", f"no smoke test in host pool {open_pools[0]}: {why}")
    ask = tuple(pool for pool in open_pools if pool not in runs or now - runs[pool].at >= LOOK_AGAIN)
    looked = [runs[pool].at + LOOK_AGAIN for pool in open_pools if pool in runs and pool not in ask]
    waits = [runs[pool].message for pool in open_pools if pool in runs and runs[pool].state == "waiting"]
    message = f"the smoke test runs in {', '.join(open_pools[:3])}" + (f" ({waits[0]})" if waits else "")
    return SmokeVerdict("open", "SmokeTesting", message, min(looked, default=None), ask)


def kept(output: str) -> str:
    """What is kept of a script's output: its end, on one line."""
    text = " / ".join(line.strip() for line in output.strip().splitlines() if line.strip())
    return text if len(text) <= LONGEST_OUTPUT else "..." + text[3 - LONGEST_OUTPUT :]
