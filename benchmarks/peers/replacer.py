"""AVD Session Host Replacer: an hourly function with a buffer.

From its published description and code: once an hour it counts the hosts (S), those being deployed (R) and the good
ones (G). It deploys min(target + buffer - S - R, target - G) hosts in one deployment, in the background, and drains
or deletes the first S - target outdated hosts in list order: one without sessions is deleted at once, without drain
mode; one with sessions is drained and told once, and deleted after the grace period whoever is on it. A new host
counts as good as soon as it is registered. A failed deployment stops everything until somebody deletes its record.

Simplified, in its favour: somebody does so, two hours later; the phase of the hour is that of the start.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from benchmarks.peers.hands import Hands, by_name, not_new
from benchmarks.stage import Stage

TICK = timedelta(hours=1)
OPERATOR_COMES_AFTER = timedelta(hours=2)
_MOST_REPAIRS = 5


def play(stage: Stage) -> None:
    """Tick by tick until every host is new."""
    hands = Hands(stage, "replacer")
    target, buffer = stage.case.hosts, stage.case.at_a_time
    stamped: dict[str, datetime] = {}
    while not stage.over:
        hosts = by_name(hands.look())
        if any(deployment.failed for deployment in hands.deployments):
            if stage.operator >= _MOST_REPAIRS:
                stage.given_up = True
                return
            hands.wait(OPERATOR_COMES_AFTER)
            _clean_up(hands)
            continue
        outdated = not_new(hosts)
        coming = hands.deploying
        good = {host.name for host in hosts if host not in outdated} | set(coming)
        room, need = target + buffer - len(hosts) - len(coming), target - len(good)
        if room > 0 and need > 0:
            hands.deploy(min(room, need))
        for host in outdated[: max(0, len(hosts) - target)]:
            if not host.sessions:
                hands.remove(host)
            elif host.name not in stamped:
                hands.start_draining(host)
                hands.tell(host, "Your session will be disconnected")
                stamped[host.name] = stage.clock()
            elif stage.clock() - stamped[host.name] > stage.case.grace:
                hands.remove(host)
        if not outdated:
            stage.measure()
            stage.given_up = stage.finished_at is None and not coming and len(hosts) <= target
        hands.wait(TICK)


def _clean_up(hands: Hands) -> None:
    """Somebody deletes the failed deployment and what it left behind."""
    hands.stage.operator += 1
    for deployment in [one for one in hands.deployments if one.failed]:
        for name in deployment.names:
            machine = hands.estate.machines.find(hands.stage.office.machine_id(name))
            if machine is not None and name not in hands.stage.office.pool.hosts:
                hands.take_away(machine)
        hands.deployments.remove(deployment)
