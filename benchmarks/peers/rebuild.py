"""Weekly rebuild (Automation runbooks): every host is rebuilt in place, three at a time, when nobody is at work on it.

From its published description: a weekly run marks all hosts; an hourly run drains a host, skips it while people are
at work on it, ends disconnected sessions, deletes VM and disk and makes them anew from the latest image; three
workers. Nobody is told and nobody is waited for with a deadline, so a host that always has people on it is never
rebuilt.

Simplified, in its favour: it starts at once instead of on Saturday; a host is drained only when nobody is at work on
it (the description may be read so that all of them are drained meanwhile, which would leave nobody a place); and a
worker takes its next host without waiting for the hour as long as there is one that nobody is at work on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from benchmarks.peers.hands import Deployment, Hands, by_name, not_new
from benchmarks.stage import Stage
from simulator.host_pools import SessionHost, SessionState

WORKERS = 3
HOURLY = timedelta(hours=1)
_TICK = timedelta(minutes=2)
_VM_IS_GONE_AFTER = timedelta(minutes=4)


@dataclass(slots=True)
class _Worker:
    """One host that is being rebuilt."""

    zone: str
    waited: timedelta = timedelta(0)
    deployment: Deployment | None = None


def play(stage: Stage) -> None:
    """Hour by hour until every host is rebuilt."""
    hands = Hands(stage, "rebuild")
    workers: list[_Worker] = []
    while not stage.over:
        hosts = by_name(not_new(hands.look()))
        for host in hosts:
            if len(workers) < WORKERS and not _is_anybody_at_work(host):
                hands.start_draining(host)
                workers.append(_Worker(host.machine.spec.zone if host.machine else ""))
                hands.sign_out(host, only_disconnected=True)
                hands.remove(host)
        _until_free(hands, workers)


def _until_free(hands: Hands, workers: list[_Worker]) -> None:
    """Until a worker is free, or the next hour when all are."""
    waited = timedelta(0)
    while waited < HOURLY and not hands.stage.over:
        hands.wait(_TICK)
        waited += _TICK
        for worker in list(workers):
            worker.waited += _TICK
            if worker.deployment is None and worker.waited >= _VM_IS_GONE_AFTER:
                worker.deployment = hands.deploy(1, [worker.zone])
            elif worker.deployment is not None and hands.is_ready(worker.deployment.names[0]):
                workers.remove(worker)
                waited = HOURLY
            elif worker.deployment is not None and worker.deployment.failed:
                hands.stage.given_up = True


def _is_anybody_at_work(host: SessionHost) -> bool:
    return any(session.state is SessionState.ACTIVE for session in host.sessions.values())
