"""Host pools, session hosts, user sessions and scaling plans as Virtual Desktop shows them."""

from __future__ import annotations

import uuid
from datetime import datetime, time

from simulator import ids
from simulator.host_pools import HostPool, Session, SessionHost
from simulator.scaling_plans import ScalingPlan, Schedule
from simulator.session_hosts import CHECKS
from simulator.wire import Json, desktop_time


def pool_body(pool: HostPool, api_version: str) -> Json:
    """A host pool. Only preview versions know the management type, and none shows a token (facts 3.2, 3.6)."""
    properties: Json = {
        "objectId": pool.object_id,
        "friendlyName": pool.friendly_name,
        "description": pool.description,
        "hostPoolType": pool.type.value,
        "personalDesktopAssignmentType": "Automatic" if pool.type == "Personal" else None,
        "customRdpProperty": pool.custom_rdp_property,
        "maxSessionLimit": pool.max_session_limit,
        "loadBalancerType": pool.load_balancing.value,
        "validationEnvironment": pool.validation_environment,
        "registrationInfo": None,
        "vmTemplate": pool.vm_template or None,
        "applicationGroupReferences": [],
        "preferredAppGroupType": "Desktop",
        "startVMOnConnect": pool.start_vm_on_connect,
        "cloudPcResource": False,
        "publicNetworkAccess": "Enabled",
        "agentUpdate": {"type": "Default", "useSessionHostLocalTime": False},
    }
    if api_version.endswith("-preview"):
        properties["managementType"] = pool.management_type
    return {
        "id": _desktop_id(pool.id),
        "name": pool.name,
        "type": "Microsoft.DesktopVirtualization/hostpools",
        "location": pool.location,
        "tags": dict(pool.tags),
        "properties": properties,
    }


def host_body(host: SessionHost, now: datetime) -> Json:
    """A session host, named `pool/host`, with the health checks and the machine's id in the casing Azure uses."""
    heartbeat = desktop_time(host.last_heartbeat(now))
    return {
        "id": _desktop_id(host.id),
        "name": host.label,
        "type": "Microsoft.DesktopVirtualization/hostpools/sessionhosts",
        "properties": {
            "objectId": host.object_id,
            "lastHeartBeat": heartbeat,
            "sessions": len(host.sessions),
            "agentVersion": host.agent_version,
            "allowNewSession": host.allow_new_session,
            "virtualMachineId": host.vm_id,
            "resourceId": _lower_case_group(host.machine_id),
            "assignedUser": host.assigned_user or None,
            "friendlyName": host.friendly_name or None,
            "status": host.status,
            "statusTimestamp": desktop_time(host.status_since),
            "osVersion": "10.0.26100.1",
            "sxSStackVersion": "rdp-sxs250600500",
            "updateState": host.update_state,
            "lastUpdateTime": desktop_time(host.registered_at),
            "updateErrorMessage": "",
            "sessionHostHealthCheckResults": [_check_body(host, check, heartbeat) for check in CHECKS],
        },
    }


def session_body(session: Session) -> Json:
    """A user session, named `pool/host/number`."""
    host = session.host
    account = session.person.split("@")[0]
    return {
        "id": f"{_desktop_id(host.id)}/usersessions/{session.number}",
        "name": f"{host.label}/{session.number}",
        "type": "Microsoft.DesktopVirtualization/hostpools/sessionhosts/usersessions",
        "properties": {
            "objectId": str(uuid.uuid5(uuid.UUID(host.object_id), str(session.number))),
            "userPrincipalName": session.person,
            "applicationType": "Desktop",
            "sessionState": session.state.value,
            "activeDirectoryUserName": f"CONTOSO\\{account}",
            "createTime": desktop_time(session.created_at),
        },
    }


def plan_body(plan: ScalingPlan) -> Json:
    """A scaling plan, with its exclusion tag, its schedules and the pools it looks after."""
    return {
        "id": _desktop_id(plan.id),
        "name": plan.name,
        "type": "Microsoft.DesktopVirtualization/scalingplans",
        "location": plan.location,
        "tags": {},
        "properties": {
            "objectId": str(uuid.uuid5(uuid.NAMESPACE_URL, plan.id)),
            "description": "",
            "friendlyName": "",
            "timeZone": plan.time_zone,
            "hostPoolType": "Pooled",
            "exclusionTag": plan.exclusion_tag,
            "schedules": [_schedule_body(schedule) for schedule in plan.schedules],
            "hostPoolReferences": [
                {"hostPoolArmPath": pool, "scalingPlanEnabled": plan.enabled} for pool in plan.pools
            ],
        },
    }


def _schedule_body(schedule: Schedule) -> Json:
    return {
        "name": schedule.name,
        "daysOfWeek": list(schedule.days),
        "rampUpStartTime": _time_body(schedule.ramp_up),
        "rampUpLoadBalancingAlgorithm": schedule.load_balancing,
        "rampUpMinimumHostsPct": schedule.ramp_up_minimum,
        "rampUpCapacityThresholdPct": schedule.ramp_up_threshold,
        "peakStartTime": _time_body(schedule.peak),
        "peakLoadBalancingAlgorithm": schedule.load_balancing,
        "rampDownStartTime": _time_body(schedule.ramp_down),
        "rampDownLoadBalancingAlgorithm": schedule.load_balancing,
        "rampDownMinimumHostsPct": schedule.ramp_down_minimum,
        "rampDownCapacityThresholdPct": schedule.ramp_down_threshold,
        "rampDownForceLogoffUsers": schedule.force_logoff,
        "rampDownStopHostsWhen": schedule.stop_hosts_when,
        "rampDownWaitTimeMinutes": schedule.wait_minutes,
        "rampDownNotificationMessage": schedule.message,
        "offPeakStartTime": _time_body(schedule.off_peak),
        "offPeakLoadBalancingAlgorithm": schedule.load_balancing,
    }


def _time_body(start: time) -> Json:
    return {"hour": start.hour, "minute": start.minute}


def _check_body(host: SessionHost, check: str, checked_at: str | None) -> Json:
    failure = host.failed_checks.get(check)
    if host.heartbeat_stopped_at is not None:
        result, message = "SessionHostShutdown", "The session host is not running."
    elif failure is not None:
        result, message = "HealthCheckFailed", failure
    else:
        result, message = "HealthCheckSucceeded", f"{check} succeeded"
    return {
        "healthCheckName": check,
        "healthCheckResult": result,
        "additionalFailureDetails": {
            "message": message,
            "errorCode": -2147467259 if failure else 0,
            "lastHealthCheckDateTime": checked_at,
        },
    }


def _desktop_id(resource_id: str) -> str:
    """Virtual Desktop writes every type in an id in lower case, and the names as they are."""
    parts = ids.parse(resource_id)
    pairs = "/".join(f"{kind.lower()}/{name}" for kind, name in zip(parts.types, parts.names, strict=True))
    return f"/subscriptions/{parts.subscription}/resourcegroups/{parts.group}/providers/{parts.provider}/{pairs}"


def _lower_case_group(machine_id: str) -> str:
    parts = machine_id.split("/")
    parts[4] = parts[4].lower()
    return "/".join(parts)
