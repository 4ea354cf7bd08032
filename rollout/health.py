"""Judges session hosts: is one fit to serve people, and is so much of the pool unfit that the rollout must halt?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct

from rollout.model import SessionHost
from rollout.policy import HealthPolicy


class HostHealth(Struct, frozen=True):
    """Whether a host can serve people, and if not, why: a CamelCase code and half a sentence."""

    good: bool
    code: str = ""
    why: str = ""


GOOD = HostHealth(True)


def judge_host(host: SessionHost, policy: HealthPolicy, now: datetime, *, in_service: bool) -> HostHealth:
    """Judge one host that ought to run.

    A host in service may be `Upgrading` (the agent updates itself and sessions are still brokered); a host that is not
    in service yet must be plainly Available (or NeedsAssistance where the policy allows it). Unknown status words are
    not good: fail closed.
    """
    if host.provisioning != "Succeeded":
        state = host.provisioning or "unknown"
        return HostHealth(False, "VmNotProvisioned", f"its VM's provisioning state is {state}")
    if host.power != "running":
        return HostHealth(False, "VmNotRunning", f"its VM is {host.power or 'in an unknown power state'}")
    if not host.registration:
        return HostHealth(False, "NotRegistered", "it has not registered with the host pool")
    if host.failed_checks:
        return HostHealth(False, "HealthCheckFailed", f"{', '.join(host.failed_checks)} failed")
    if host.status != "Available" and host.status not in _accepted(policy, in_service=in_service):
        return HostHealth(False, "NotAvailable", f"its status is {host.status or 'unknown'}")
    if host.last_heartbeat is None or now - host.last_heartbeat > policy.heartbeat_within:
        return HostHealth(False, "NoHeartbeat", "its agent sends no heartbeat")
    return GOOD


def _accepted(policy: HealthPolicy, *, in_service: bool) -> tuple[str, ...]:
    """The statuses besides Available with which a host may serve people."""
    if in_service:
        return ("Upgrading", "NeedsAssistance")
    return ("NeedsAssistance",) if policy.allow_needs_assistance else ()


def sick_since(
    hosts: list[SessionHost], known: dict[str, datetime], policy: HealthPolicy, now: datetime
) -> dict[str, datetime]:
    """Since when each unhealthy host in service has been unhealthy; hosts that are switched off are not sick."""
    return {
        host.name: known.get(host.name, now)
        for host in hosts
        if not host.is_powered_off and not judge_host(host, policy, now, in_service=True).good
    }


def lasting(sick: dict[str, datetime], settle: timedelta, now: datetime) -> list[str]:
    """The hosts whose sickness has lasted `settle`: a single bad reading proves nothing."""
    return [name for name, since in sick.items() if now - since >= settle]


def fallen_sick(sick: dict[str, datetime], started_at: datetime, settle: timedelta, now: datetime) -> list[str]:
    """The hosts with a lasting sickness that began after `started_at`: what the rollout may have caused."""
    return [name for name in lasting(sick, settle, now) if sick[name] > started_at]


def judge_pool(
    current: list[SessionHost], in_service: list[SessionHost], unfit: Collection[str], policy: HealthPolicy
) -> HostHealth:
    """Judge the pool: good unless more hosts are unhealthy than the policy tolerates.

    `current` are the hosts in service on the target version, `in_service` those and the outdated ones, `unfit` those
    that have fallen sick since the rollout began. Example: 2 of 9 current hosts sick is 22 %, above 20 %.
    """
    if not unfit:
        return GOOD
    unfit_current = [host.name for host in current if host.name in unfit]
    if _percent_of_running(len(unfit_current), current) > policy.max_unhealthy_current_percent:
        return HostHealth(
            False,
            "TooManyUnhealthyCurrentHosts",
            f"{len(unfit_current)} of {_running(current)} hosts on the new version are unhealthy "
            f"({', '.join(unfit_current[:3])}{', ...' if len(unfit_current) > 3 else ''}), "
            f"more than {policy.max_unhealthy_current_percent} %",
        )
    unfit_in_service = sum(host.name in unfit for host in in_service)
    if _percent_of_running(unfit_in_service, in_service) > policy.max_unhealthy_percent:
        return HostHealth(
            False,
            "TooManyUnhealthyHosts",
            f"{unfit_in_service} of {_running(in_service)} hosts have become unhealthy, "
            f"more than {policy.max_unhealthy_percent} %",
        )
    return GOOD


def _running(hosts: list[SessionHost]) -> int:
    return sum(not host.is_powered_off for host in hosts)


def _percent_of_running(part: int, hosts: list[SessionHost]) -> float:
    whole = _running(hosts) if part else 0
    return 100 * part / whole if whole else 0
