"""The state of a simulated office as plain JSON values, for whoever watches from outside."""

from __future__ import annotations

from collections import Counter

from simulator.arm import Arm
from simulator.builders import Office
from simulator.host_pools import SessionHost
from simulator.wire import Json


def summary(office: Office, arm: Arm | None = None, tag_prefix: str = "goldroll-") -> Json:
    """What there is now: hosts with their version and sessions, what is drained, tagged, orphaned or doubled, and the
    ledger; with `arm` also how often it was called. `tagged` lists machines with a tag whose name has the prefix.
    """
    estate = office.estate
    now = estate.now()
    hosts = [] if office.pool.deleted else estate.hosts.list(office.pool_id)
    definition = estate.galleries.definition(office.definition_id)
    shown: Json = {
        "now": now.isoformat(),
        "seed": estate.seed,
        "pool": office.pool_id,
        "definition": office.definition_id,
        "hosts": [_host(host) for host in hosts],
        "versions": {
            version.name: {"state": version.provisioning_state, "replication": version.aggregated_state}
            for version in definition.versions.values()
        },
        "hosts_by_version": dict(
            sorted(Counter(host.machine.exact_version for host in hosts if host.machine is not None).items())
        ),
        "machines": [machine.name for machine in estate.machines.everything()],
        "sessions": len(office.pool.sessions),
        "free_slots": office.pool.free_slots,
        "drained": [host.name for host in hosts if not host.allow_new_session],
        "tagged": estate.tagged(tag_prefix),
        "orphans": [orphan.id for orphan in estate.orphans()],
        "duplicates": estate.duplicates(),
        "ledger": estate.ledger.as_dict(),
        "faults": {str(site): times for site, times in sorted(estate.faults.counts.items())},
    }
    if arm is not None:
        shown["arm_calls"] = arm.calls.total()
        shown["arm_calls_by_operation"] = dict(sorted(arm.calls.items()))
        shown["arm_answers"] = {str(status): times for status, times in sorted(arm.statuses.items())}
    return shown


def _host(host: SessionHost) -> Json:
    machine = host.machine
    return {
        "name": host.name,
        "status": host.status,
        "accepting": host.accepting,
        "drained": not host.allow_new_session,
        "drained_by": host.drained_by,
        "sessions": len(host.sessions),
        "version": machine.exact_version if machine else None,
        "power": machine.power if machine else None,
        "zone": machine.spec.zone if machine else None,
    }
