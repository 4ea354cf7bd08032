"""Lower bounds: how soon a pool can be finished at best, whoever does it, under the limits of the case.

They hold for every schedule that proves a canary first and leaves it time to bake, replaces at most k hosts at a time
(extra ones and missing ones together), and signs nobody out before a notice of the grace period. What nobody can
avoid:

* the canary: T + bake, before anything else is touched (a gate);
* the work: each of the other hosts takes a place for T, the time in which a host is removed and its successor is made
  and has settled, and there are k places: (n - 1) T / k;
* the drain: a host cannot go before it is empty. Let E(i) be the moment at which the i-th host to become empty would
  be so if all were drained at the start. From E(m) on the hosts m..n have still to be replaced, of which s may have
  their successors already: E(m) + (n - m + 1 - s) T / k, for every m. Where people may be signed out, a host is empty
  at the latest when they may have been asked (once the canary has passed, or when the policy asks them) and the grace
  period is over.

Taken from the scheduling bounds for rolling updates (work, critical path, drain floor, order statistics).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from benchmarks.stage import LONGEST_PAUSE, Stage
from benchmarks.workloads import Case
from rollout.policy import HealthPolicy
from simulator.host_pools import SessionState
from simulator.timings import Range, Timings

_LOOKED_AT = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Bound:
    """The tightest bound in hours, and its name: canary, work or drain."""

    hours: float
    name: str


def host_takes(timings: Timings) -> float:
    """T in hours: mean times to remove a host and to make its successor, and the settling time that proves it."""
    steps = (
        timings.delete_machine,
        timings.create_machine,
        timings.join,
        timings.install_agent,
        timings.register,
        timings.agent_update,
    )
    return (sum(_mean(step) for step in steps) + HealthPolicy().settle.total_seconds()) / 3600


def tightest(case: Case, seed: int, *, bake: timedelta, asks_from: float | None) -> Bound:
    """The largest of the bounds for this case and seed.

    People may be asked to leave `asks_from` hours after the start at the earliest (0: when the canary has passed); None
    when nobody is signed out whatever it takes.
    """
    takes, bake_hours = host_takes(case.timings), bake / timedelta(hours=1)
    gate = takes + bake_hours
    emptied = sorted(empty_times(case, seed))
    if asks_from is not None:
        signed_out = max(gate, asks_from) + case.grace / timedelta(hours=1)
        emptied = sorted(min(hours, signed_out) for hours in emptied)
    bounds = [
        Bound(gate, "canary"),
        Bound(gate + max(0, case.hosts - 1) * takes / case.at_a_time, "work"),
        Bound(_drain_bound(emptied, case, takes), "drain"),
    ]
    return max(bounds, key=lambda bound: bound.hours)


@lru_cache(maxsize=1024)
def empty_times(case: Case, seed: int) -> tuple[float, ...]:
    """For each host the hours until nobody is at work on it any more, were all of them drained at the start."""
    stage = Stage(case, seed)
    hosts = stage.hosts()
    for host in hosts:
        stage.estate.hosts.update(stage.office.pool_id, host.name, allow_new_session=False)
    empty: dict[str, float] = {}
    begun = stage.clock()
    while len(empty) < len(hosts) and stage.clock() - begun < _LOOKED_AT:
        for host in hosts:
            if host.name not in empty and not any(s.state is SessionState.ACTIVE for s in host.sessions.values()):
                empty[host.name] = (stage.clock() - begun) / timedelta(hours=1)
        stage.clock.advance(LONGEST_PAUSE)
        stage.estate.now()
    return tuple(empty.get(host.name, _LOOKED_AT / timedelta(hours=1)) for host in hosts)


def _drain_bound(emptied: list[float], case: Case, takes: float) -> float:
    hosts = len(emptied)
    return max(
        hours + max(0, hosts - index - case.extra) * takes / case.at_a_time for index, hours in enumerate(emptied)
    )


def _mean(span: Range) -> float:
    return sum(span) / 2
