"""The JSON Schema of `goldroll.yaml`, for editors: `python -m rollout.policy_schema` writes goldroll.schema.json.

It describes the file as people write it, with `defaults`; read_policy checks far more than a schema can say.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from datetime import timedelta
from typing import Any

import msgspec

from rollout.image_rules import SOURCES
from rollout.policy import ImagePolicy, PoolPolicy
from rollout.policy_rules import iso
from rollout.presets import PRESETS
from rollout.query_gate import known_names

_REQUIRED_OF_POOLS = (
    ("name",),
    ("host_pool_id",),
    ("image",),
    ("session_host", "name_prefix"),
    ("session_host", "subnet_id"),
    ("session_host", "join"),
)
"""A host pool says these unless `defaults` does."""

_DESCRIPTIONS = {
    "ImagePolicy": {
        "name": "What host pools call this image.",
        "definition_id": "Resource id of the gallery image definition, without /versions/...",
        "version_id": "Instead: resource id of the one gallery image version to roll out.",
        "marketplace": "Instead: an image of Azure's marketplace.",
        "include_excluded": "Also roll out versions that are excluded from latest.",
        "sweep_lookback": "The sweep for versions whose event was missed looks at those published since then.",
        "replication": "How long to wait for replicas, and in which regions.",
        "retention": "What becomes of versions that newer ones have overtaken.",
        "latest": "as_published: excludeFromLatest is left alone. earned: it is set until the last ring has passed.",
        "rings": "In which order host pools get a version; no list: all at once. A ring that fails stops the rest.",
        "schedule": "When versions are rolled out; without it, as soon as they are published.",
    },
    "RingPolicy": {
        "name": "Short name of the ring in messages and approvals.",
        "host_pools": "Names of the host pools that get a version together.",
        "concurrency": "Host pools that are rolled at the same time at most; not set for all.",
        "start": "When the ring may start, once the ring before it has passed.",
        "gates": "What must hold, besides the host pools' success, before the ring has passed.",
    },
    "PeoplePolicy": {
        "work": "office: they come and leave every day. around_the_clock: one follows the other.",
        "begins": "When people come on a working day, in the pool's zone.",
        "ends": "When people leave on a working day, in the pool's zone.",
        "session": "How long a session lasts where people work around the clock.",
        "usual_load": "Percent of the session slots in use on a working day, for plans that are made at another time.",
        "weekend": "Percent of the people who work at the weekend.",
        "heed_notice": "Percent of those who get a message that sign out.",
        "stay_signed_in": "Percent of the people who leave for the day without signing out.",
    },
    "RingStart": {
        "after": "So long after the ring before has passed.",
        "windows": "Only while one of these is open; no list means always.",
    },
    "GatesPolicy": {
        "soak": "The version must have been in use in the ring for so long.",
        "smoke_test": "A script must have ended well on a host of each pool.",
        "approval": "A person must have said yes.",
        "health": "The ring's hosts on the new version must be healthy, judged when the other gates hold.",
        "sign_in_failures": "Few enough sign-ins to the ring's host pools may have failed since they were done.",
        "queries": "Log Analytics queries by name, each of which gives a number that must hold.",
    },
    "QueryGate": {
        "workspace_id": "The Workspace ID of the Log Analytics workspace.",
        "query": "KQL; the first column of the first row of the first table is the number. It may use "
        f"{', '.join(known_names())}.",
        "at_most": "The number must not be higher.",
        "at_least": "The number must not be lower.",
        "timespan": "How far back the query looks; not set for since the ring's first host pool was started.",
        "within": "How long the number has to hold, from when it is first asked.",
        "every": "How often it is asked.",
        "on_no_data": "When there is still no data after `within`: fail, pass, or wait for as long as it takes.",
    },
    "SignInFailuresGate": {
        "workspace_id": "The Workspace ID of the workspace that has the host pools' connection logs (WVDConnections).",
        "at_most_percent": "Percent of the sign-ins that may have failed.",
        "least_sign_ins": "Fewer sign-ins than this are no data.",
        "within": "How long to wait for enough sign-ins, and for few enough failures.",
        "every": "How often it is asked.",
        "on_no_data": "When there are still too few sign-ins after `within`: fail, pass, or wait.",
    },
    "SmokeTestGate": {
        "script": "PowerShell; exit code 0 means that the host can serve people.",
        "timeout": "Azure ends the script after this.",
        "within": "How long a host pool has to have a healthy host that can run it.",
    },
    "ApprovalGate": {
        "deadline": "How long people have to answer, from when the ring's host pools are done.",
        "on_timeout": "When nobody has: wait on, reject the version, or go on as if it had been approved.",
        "roles": "Who may answer: app roles of the caller, or FunctionKey for whoever holds a function key.",
        "other_than_starter": "Who has started the rollout must not approve it.",
    },
    "HealthGate": {
        "max_unhealthy_percent": "Percent of the running hosts on the new version that may be unhealthy.",
        "within": "How long unhealthy hosts, or hosts that are all switched off, have to get better.",
    },
    "SchedulePolicy": {
        "zone": "IANA time zone of `start`.",
        "start": "Time of day on the wall, such as 20:00.",
        "recurrence": "RFC 5545 recurrence of the days, such as FREQ=MONTHLY;BYDAY=2WE.",
        "days_after_patch_tuesday": "Instead of a recurrence: so many days after the second Tuesday of the month.",
        "min_age": "A version is rolled out when it was published at least so long before the run.",
        "missed": "Runs that were missed: catch_up starts one rollout for all of them, skip none.",
        "also_on_publish": "Also roll out a version as soon as it is published.",
    },
    "MarketplaceImage": {
        "publisher": "Such as MicrosoftWindowsDesktop.",
        "offer": "Such as office-365.",
        "sku": "Such as win11-24h2-avd-m365.",
        "version": "latest, or one version such as 26100.4061.250506.",
    },
    "ReplicationPolicy": {
        "deadline": "How long a version may take to reach a region; what then is for on_missing to say.",
        "regions": "Regions to wait for besides those of the host pools.",
        "on_missing": "A region without a replica by then: wait for it, go_on without its host pools, or halt.",
        "on_missing_in": "The same for single regions.",
        "approved_regions": "Regions in which the image may be; empty for all. In any other a host pool is not rolled.",
        "vms_per_replica": "VMs that one replica carries when they are created at once.",
        "add_regions": "Copy the version to a ring's regions when its turn comes, to `regions` once one has passed.",
        "raise_replicas": "Raise the replicas for the largest wave, and put them back at the end. Needs write access.",
    },
    "RetentionPolicy": {
        "mode": "plan: only say what would happen. apply: do it, once a day.",
        "keep": "So many good versions are kept; failed and vetoed ones do not count.",
        "end_of_life_after": "End of life of an overtaken version, from its publication.",
        "delete_after": "A version is deleted so long after its end of life.",
        "max_deletions": "Versions that are deleted in one run at most.",
        "rollback_regions": "Overtaken versions keep replicas here and in their home region; empty for everywhere.",
        "pinned": "Numbers of versions that are never touched.",
        "subscriptions": "Ids of further subscriptions whose VMs and scale sets may use the image.",
    },
    "PoolPolicy": {
        "name": "Short name of the host pool in messages and addresses.",
        "host_pool_id": "Resource id of the host pool.",
        "image": "Name of one of the images.",
        "session_host": "How new hosts are made. What is left out is taken from the host that is replaced.",
        "zone": "IANA time zone in which people read deadlines.",
        "preset": "A set of values for the keys that neither the pool nor `defaults` says; empty for none. "
        + " ".join(f"{name}: {preset.purpose}" for name, preset in PRESETS.items()),
        "strategy": "surge: provision new hosts first. in_place: remove outdated hosts first.",
        "surge": "Extra hosts at a time with strategy surge, at least 1.",
        "max_unavailable": "Hosts that may be missing at a time; with strategy in_place at least 1.",
        "reserve": "Percent of the session slots that stay free for sign-ins at all times.",
        "people": "What a plan's forecast assumes about people; a rollout goes by what it sees.",
        "max_wave": "Hosts that are emptied at the same time at most.",
        "max_creating": "New hosts that are made at the same time at most.",
        "finish_within": "When the rollout shall be over, from its start; people are asked to leave late.",
        "finish_by": "The same as a time of day in `zone`: the first one at least twelve hours after the start.",
        "expected_provisioning": "How long a new host takes until people can use it.",
        "retain_outdated": "Replaced hosts are kept, switched off, for so long, for a quick roll back; PT0S: removed.",
        "on_failure": "halt: stop when too many hosts fail. roll_back: then go back to the version before.",
        "on_newer_version": "supersede: a newer version takes over. wait: it starts when this rollout has ended.",
        "scaling_exclusion_tag": "Tag that keeps a scaling plan away from the hosts in hand; empty for none.",
        "canary": "The first hosts on the new version.",
        "drain": "How people on an outdated host are asked to leave.",
        "health": "When a new host is good, and how much failure halts the rollout.",
        "windows": "When work may start; no list means always.",
    },
    "CanaryPolicy": {
        "hosts": "How many hosts prove the version first.",
        "bake": "How long they must have been in service before anything else is touched.",
    },
    "DrainPolicy": {
        "grace": "Time from the first notice to the deadline.",
        "reminders": "Further notices, so long before the deadline.",
        "disconnected_grace": "Disconnected sessions are ended after this.",
        "on_timeout": "At the deadline: sign_out, wait for as long as it takes, or skip the host.",
        "sign_out_in_window_only": "Sign nobody out outside the windows.",
        "notice": "What people read.",
    },
    "NoticeText": {
        "title": "Title of a notice; {deadline}, {minutes} and {pool} are filled in.",
        "body": "Text of a notice; {deadline}, {minutes} and {pool} are filled in.",
        "withdrawn_title": "Title when the deadline no longer holds; {pool} is filled in.",
        "withdrawn_body": "Text when the deadline no longer holds; {pool} is filled in.",
    },
    "HealthPolicy": {
        "settle": "A host counts as good, or as sick, when it has been so for this long.",
        "ready_within": "A new host that takes longer has failed.",
        "heartbeat_within": "Oldest heartbeat of a healthy host.",
        "allow_needs_assistance": "Hosts with the status NeedsAssistance count as healthy.",
        "max_failed_hosts": "New hosts that may fail; one more halts the rollout.",
        "max_unhealthy_percent": "Percent of all hosts that may be unhealthy; more halts the rollout.",
        "max_unhealthy_current_percent": "Percent of the hosts on the new version that may be unhealthy.",
    },
    "Window": {
        "zone": "IANA time zone of `start`.",
        "recurrence": "RFC 5545 recurrence of the days, such as FREQ=WEEKLY;BYDAY=SA.",
        "start": "Time of day on the wall, such as 22:00.",
        "duration": "How long the window stays open.",
    },
    "SessionHostTemplate": {
        "name_prefix": "Hosts are named with this, a hyphen and a number: avd-012.",
        "subnet_id": "Resource id of the subnet of new hosts.",
        "join": "What new hosts are joined to.",
        "resource_group_id": "Resource group of new hosts; empty for the host pool's own.",
        "vm_size": "Size of new hosts; empty for that of the host that is replaced.",
        "os_disk_type": "Type of the OS disk; empty for that of the host that is replaced.",
        "ephemeral_placement": "Where an ephemeral OS disk lies; empty for that of the host that is replaced.",
        "security_type": "Security type of new hosts; empty for that of the host that is replaced.",
        "license_type": "Licence type of new hosts; empty for that of the host that is replaced.",
        "accelerated_networking": "Accelerated networking of new hosts.",
        "admin_username": "Local administrator of new hosts; the password is random and kept nowhere.",
        "agent_package_url": "The package that installs the Azure Virtual Desktop agent.",
        "tags": "Tags of new hosts besides those of the host that is replaced.",
    },
    "EntraJoin": {
        "type": "Microsoft Entra ID.",
        "intune": "Enrol new hosts in Intune.",
    },
    "ActiveDirectoryJoin": {
        "type": "An Active Directory domain.",
        "domain": "DNS name of the domain.",
        "user": "Account that joins hosts.",
        "password_secret_url": "Address of the Key Vault secret that holds its password; the VM fetches it.",
        "key_vault_id": "Resource id of that key vault.",
        "organizational_unit": "Distinguished name of the OU; empty for the domain's default.",
    },
}


def policy_schema() -> dict[str, Any]:
    """The schema (2020-12) of the policy file."""
    _, components = msgspec.json.schema_components([ImagePolicy, PoolPolicy])
    for name, component in components.items():
        _explain(component, _DESCRIPTIONS.get(name, {}))
        if name in ("PoolPolicy", "SessionHostTemplate", "EntraJoin", "ActiveDirectoryJoin"):
            component.pop("required")  # `defaults` may say it; see _required_unless_default
        if name == "ImagePolicy":
            component["oneOf"] = [{"required": [source]} for source in SOURCES]
    pool = {"$ref": "#/$defs/PoolPolicy"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Goldroll policy",
        "description": "Which golden images are rolled out to which host pools, and how.",
        "type": "object",
        "properties": {
            "images": {
                "description": "Gallery image definitions whose new versions are rolled out.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/ImagePolicy"},
            },
            "defaults": {"description": "What host pools have in common; a pool's own keys win.", **pool},
            "host_pools": {"description": "The host pools.", "type": "array", "minItems": 1, "items": pool},
        },
        "required": ["images", "host_pools"],
        "additionalProperties": False,
        "allOf": [_required_unless_default(keys) for keys in _REQUIRED_OF_POOLS],
        "$defs": components,
    }


def main() -> None:
    """Write the schema to standard output."""
    sys.stdout.write(json.dumps(policy_schema(), indent=2) + "\n")


def _required_unless_default(keys: tuple[str, ...]) -> dict[str, Any]:
    says = _says(keys)
    in_defaults = {"required": ["defaults"], "properties": {"defaults": says}}
    return {"if": {"not": in_defaults}, "then": {"properties": {"host_pools": {"items": says}}}}


def _says(keys: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a mapping in which the keys, one below the other, are present."""
    first, *below = keys
    inner: dict[str, Any] = {"properties": {first: _says(tuple(below))}} if below else {}
    return {"required": [first], **inner}


def _explain(component: dict[str, Any], descriptions: dict[str, str]) -> None:
    # Python 3.13 takes the indentation off docstrings, older ones leave it.
    component["description"] = inspect.cleandoc(component["description"])
    for key, schema in component["properties"].items():
        if key in descriptions:
            schema["description"] = descriptions[key]
        if "default" in schema:
            schema["default"] = _readable(schema["default"])


def _readable(default: Any) -> Any:
    """A default with durations as people write them: PT8H rather than PT28800S."""
    if isinstance(default, dict):
        return {key: _readable(value) for key, value in default.items()}
    if isinstance(default, list | tuple):
        return [_readable(value) for value in default]
    if isinstance(default, str) and re.fullmatch(r"PT\d+S", default):
        return iso(msgspec.convert(default, timedelta))
    return default


if __name__ == "__main__":
    main()
