"""Session host update, the service's own way (preview).

From Microsoft's documentation: hosts are taken by name; first one alone, then batches of `maxVmsRemoved`. Everybody
on a batch gets one message, after `logOffDelayMinutes` whoever is left is signed out, the hosts go into drain mode
and leave the pool, as many new ones are made, and the next batch begins when the whole batch is back. When a host
fails, the rest of its batch is finished and the update stops; an administrator may retry. When the first one fails it
stops at once.

Simplified, in its favour: new hosts take as long as the simulated Azure takes for anybody (the documentation says
about 20 minutes), quota is not counted twice, and the host that failed is not rolled back to its old VM.
"""

from __future__ import annotations

from datetime import timedelta

from benchmarks.peers.hands import Deployment, Hands, by_name
from benchmarks.stage import Stage
from simulator.host_pools import SessionHost

OPERATOR_COMES_AFTER = timedelta(hours=2)
"""How long until an administrator has seen that an update has failed, and retries it."""

READY_WITHIN = timedelta(minutes=60)
"""So long a new host may take to be connectable; then it has failed."""

LONGEST_DELAY = timedelta(minutes=60)
"""The service allows no longer notice."""


def play(stage: Stage, delay: timedelta) -> None:
    """Update the pool with this delay before people are signed out."""
    hands = Hands(stage, "native")
    size, retried = 1, False
    while not stage.over and (outdated := by_name(stage.outdated())):
        batch = outdated[:size]
        if not _update(hands, batch, delay):
            if size == 1 or retried:
                stage.given_up = True
                return
            hands.wait(OPERATOR_COMES_AFTER)
            stage.operator += 1
            retried = True
        size = stage.case.at_a_time
    hands.wait(stage.case.horizon if not stage.outdated() else timedelta(0))


def _update(hands: Hands, batch: list[SessionHost], delay: timedelta) -> bool:
    """One batch, from the message to the last host that is back; whether all are."""
    for host in batch:
        hands.tell(host, "You will be signed out")
    hands.wait(delay)
    zones = [host.machine.spec.zone if host.machine else "" for host in batch]
    for host in batch:
        hands.start_draining(host)
        hands.sign_out(host)
        hands.remove(host)
    hands.wait(timedelta(minutes=4))  # the VMs are deleted before new ones take their cores
    deployment = hands.deploy(len(batch), zones)
    return _are_ready(hands, deployment)


def _are_ready(hands: Hands, deployment: Deployment) -> bool:
    waited = timedelta(0)
    while waited < READY_WITHIN and not hands.stage.over:
        if all(hands.is_ready(name) for name in deployment.names):
            return True
        if deployment.failed:
            return False
        hands.wait(timedelta(minutes=1))
        waited += timedelta(minutes=1)
    return hands.stage.over
