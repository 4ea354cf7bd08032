"""The Federal session host replacer: a rewrite of the Session Host Replacer that ticks every half hour.

From its published description and code. *Side by side*: deploys min(2 x target - S - R, target - G) hosts, so the
pool may double; removes S - target outdated ones once the deployment has ended. *Progressive*: 20 %, then 60 %, then
100 % of what is needed, one step further after each deployment that succeeded. *Delete first*: removes at most so
many that 80 % of the target remain, then deploys as many. Victims: switched off first, then fewest sessions, then
drained, then by name, chosen anew in each tick. Nothing is removed while a new host is not connectable. A host
without sessions is removed in the same tick (side by side) or after 15 minutes of drain mode (delete first); one with
sessions is drained, told once, and deleted after the grace period whoever is on it. Failed deployments are cleaned up
and tried again for ever.

*Capped* is a variant of ours, kinder to the quota than the original: side by side with no more extra hosts than
Goldroll has in the same case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from benchmarks.peers.hands import Hands, not_new
from benchmarks.stage import Stage, is_new
from simulator.host_pools import SessionHost

TICK = timedelta(minutes=30)
MINIMUM_DRAIN = timedelta(minutes=15)
FLOOR = 0.8
_STEPS = (0.2, 0.6, 1.0)
_HEALTHY = frozenset({"Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"})


class Mode(StrEnum):
    """How it is configured."""

    SIDE_BY_SIDE = "side by side"
    CAPPED = "capped"
    PROGRESSIVE = "progressive"
    DELETE_FIRST = "delete first"


@dataclass(slots=True)
class _Memory:
    """What it keeps in its table: drain stamps and how many deployments have succeeded in a row."""

    stamped: dict[str, datetime]
    successes: int = 0
    counted: int = 0


def play(stage: Stage, mode: Mode) -> None:
    """Tick by tick until every host is new."""
    hands, memory = Hands(stage, "federal"), _Memory({})
    while not stage.over:
        _clean_up(hands, memory)
        hosts = hands.look()
        outdated = not_new(hosts)
        if not hands.deploying:
            if mode is Mode.DELETE_FIRST:
                _delete_first(hands, memory, hosts, outdated)
            else:
                _deploy(hands, memory, mode, hosts)
        if mode is not Mode.DELETE_FIRST:
            _remove(hands, memory, mode, hosts, outdated)
        hands.wait(TICK)


def _share(memory: _Memory, mode: Mode) -> float:
    return _STEPS[min(memory.successes, len(_STEPS) - 1)] if mode is Mode.PROGRESSIVE else 1.0


def _deploy(hands: Hands, memory: _Memory, mode: Mode, hosts: list[SessionHost]) -> None:
    case = hands.stage.case
    most = case.hosts + case.extra if mode is Mode.CAPPED else 2 * case.hosts
    need = case.hosts - sum(is_new(host) for host in hosts)
    count = min(most - len(hosts), math.ceil(need * _share(memory, mode)))
    if count > 0:
        hands.deploy(count)


def _remove(hands: Hands, memory: _Memory, mode: Mode, hosts: list[SessionHost], outdated: list[SessionHost]) -> None:
    allowance = math.ceil((len(hosts) - hands.stage.case.hosts) * _share(memory, mode))
    if allowance <= 0 or not _new_hosts_are_healthy(hosts):
        return
    for host in _victims(outdated, memory)[:allowance]:
        if not host.sessions:
            hands.start_draining(host)
            hands.remove(host)
        else:
            _drain_or_remove(hands, memory, host)


def _delete_first(hands: Hands, memory: _Memory, hosts: list[SessionHost], outdated: list[SessionHost]) -> None:
    target = hands.stage.case.hosts
    missing = target - len(hosts)
    if missing > 0:
        hands.deploy(missing)
        return
    allowance = min(len(outdated), len(hosts) - math.ceil(target * FLOOR), hands.stage.case.at_a_time)
    if allowance <= 0 or not _new_hosts_are_healthy(hosts):
        return
    removed = 0
    for host in _victims(outdated, memory)[:allowance]:
        removed += _drain_or_remove(hands, memory, host)
    if removed:
        hands.wait(timedelta(minutes=10))  # it waits until the VMs are gone, because it uses their names again
        hands.deploy(removed)


def _drain_or_remove(hands: Hands, memory: _Memory, host: SessionHost) -> bool:
    """Drain and tell, or remove when the time is over; whether it is removed."""
    now = hands.stage.clock()
    if host.name not in memory.stamped:
        hands.start_draining(host)
        if host.sessions:
            hands.tell(host, "Your session will be disconnected")
        memory.stamped[host.name] = now
        return False
    waited = now - memory.stamped[host.name]
    if waited > hands.stage.case.grace or (not host.sessions and waited >= MINIMUM_DRAIN):
        hands.remove(host)
        return True
    return False


def _victims(outdated: list[SessionHost], memory: _Memory) -> list[SessionHost]:
    return sorted(outdated, key=lambda host: (len(host.sessions), host.name not in memory.stamped, host.name))


def _new_hosts_are_healthy(hosts: list[SessionHost]) -> bool:
    return all(host.status in _HEALTHY for host in hosts if is_new(host))


def _clean_up(hands: Hands, memory: _Memory) -> None:
    for deployment in [one for one in hands.deployments if one.failed]:
        memory.successes = 0
        for name in deployment.names:
            machine = hands.estate.machines.find(hands.stage.office.machine_id(name))
            if machine is not None and name not in hands.stage.office.pool.hosts:
                hands.take_away(machine)
        hands.deployments.remove(deployment)
    succeeded = sum(deployment.succeeded for deployment in hands.deployments)
    memory.successes += max(0, succeeded - memory.counted)
    memory.counted = succeeded
