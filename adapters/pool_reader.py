"""Takes the picture of a host pool that a rollout decides on: both of Azure's views of each host, put together.

A fixed number of lists however large the pool is. What a list tells is not read again: power is looked up only where no
agent reports from the VM, sessions only when some host counts one, and a new VM only when its list says that it rests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from adapters import resource_ids, session_hosts, virtual_machines
from adapters.connect import connection
from adapters.image_sources import read_version
from adapters.scaling_plans import read_scaling
from adapters.vm_bodies import POOL_TAG
from adapters.wire import Json, at, flag, number, tags, text, texts
from rollout.instance_ids import is_rollout_of_pool
from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    HostPool,
    HostShape,
    ImageVersion,
    PoolSnapshot,
    SessionHost,
    UserSession,
    normalise_region,
)
from rollout.policy import PoolPolicy, SessionHostTemplate

FRESH = timedelta(minutes=3)
"""A heartbeat that is at most so old shows that the VM runs. Agents send one every 30 seconds or so."""

REPORTING_STATUSES = frozenset({"Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"})
"""Statuses of a host that AVD hears from and sends people to."""

READ_KEPT = timedelta(minutes=15)
"""How long the properties of a host pool serve further turns: nobody changes them often."""

IMAGE_KEPT = timedelta(hours=1)
"""How long a sound image version serves further turns. That somebody has deleted it shows when a VM is made from it."""

SESSIONS_KEPT = timedelta(minutes=5)
"""How long a list of sessions serves further turns that deal with no single session. How many there are on each host
is read in every turn, with the hosts."""

FEW_VMS = 4
"""So many VMs are asked one by one how they are powered; more by the list of all VMs of the subscription, which has a
page for every 200 of them. Compute allows 27 times as many reads of one VM as of lists."""

_MADE = ("Succeeded", "Failed")
"""Provisioning states of a VM of which the instance view tells more than the list."""

_OWN_TAGS = frozenset({ROLLOUT_TAG, QUARANTINE_TAG, RETAINED_TAG})


def observe(
    pool_id: str,
    target: str,
    policy: PoolPolicy,
    rollout_id: str,
    in_hand: Iterable[str],
    now: datetime,
    *,
    untouched: Collection[str] = (),
    fresh_sessions: bool = True,
) -> PoolSnapshot:
    """The pool as Azure shows it at `now`; without `fresh_sessions` the sessions as they were listed minutes ago.

    `in_hand` names the hosts that are being created: of those the instance view is read, for the code of a failed
    creation and the state of their extensions, unless the list says that Azure is at work on them. The `untouched` ones
    among them have been asked for and nothing more: once made, they have no extension of ours. A host that cannot be
    read is shown with empty fields, which nobody takes for healthy. Raises StepFailed when a list cannot be read,
    ResourceNotFound when the pool is gone.
    """
    pool = _pool(pool_id, now)
    registered = session_hosts.list_hosts(pool_id)
    some_session = any(number(host, "properties", "sessions") for host in registered)
    sessions = _sessions(pool_id, now, fresh=fresh_sessions) if some_session else {}
    new_vms = target_group(policy.session_host, pool_id)
    groups = vm_groups(new_vms, registered)
    machines = {text(vm, "id").lower(): vm for group in groups for vm in virtual_machines.list_in_group(group)}
    hosts = _registered_hosts(pool_id, registered, machines, sessions)
    for vm in machines.values():
        if is_unregistered_host(vm, pool_id, policy.name, rollout_id):
            host = vm_half(vm, "")
            hosts.setdefault(host.name, host)
    new = {name for name in in_hand if name in hosts and hosts[name].vm_id and not hosts[name].registration}
    made = {name for name in untouched if name in new and hosts[name].provisioning == "Succeeded"}
    hosts |= {name: _looked_into(hosts[name], now) for name in sorted(new - made)}
    hosts |= _with_power(
        {name: host for name, host in hosts.items() if host.registration and not _is_put_by(host)}, pool_id, now
    )
    return PoolSnapshot(
        pool=structs.replace(pool, id=pool_id),
        observed_at=now,
        hosts=tuple(hosts[name] for name in sorted(hosts)),
        names_in_use=_names_in_use(hosts, machines, new_vms),
        image=_image(target, now) if target else None,
        scaling=read_scaling(pool_id, now),
    )


def _is_put_by(host: SessionHost) -> bool:
    """It is kept switched off and in nobody's hands: how it is powered does not matter until somebody takes it."""
    return host.is_retained and not host.is_tagged


def _pool(pool_id: str, now: datetime) -> HostPool:
    found = _kept(pool_id, now)
    if not isinstance(found, HostPool):
        found = session_hosts.read_pool(pool_id)
        connection().kept_reads[pool_id] = (now, found)
    return found


def _sessions(pool_id: str, now: datetime, *, fresh: bool) -> dict[str, tuple[UserSession, ...]]:
    key = f"{pool_id}/userSessions"
    kept = None if fresh else _kept(key, now, SESSIONS_KEPT)
    if isinstance(kept, dict):
        return kept
    found = session_hosts.list_pool_sessions(pool_id)
    connection().kept_reads[key] = (now, found)
    return found


def _image(version_id: str, now: datetime) -> ImageVersion | None:
    kept = _kept(version_id, now, IMAGE_KEPT)
    if isinstance(kept, ImageVersion):
        return kept
    found = read_version(version_id)
    # One that is on its way somewhere, or in trouble, is news each time.
    if found is not None and found.provisioning == "Succeeded":
        connection().kept_reads[version_id] = (now, found)
    return found


def _kept(id: str, now: datetime, how_long: timedelta = READ_KEPT) -> object:
    read_at, found = connection().kept_reads.get(id, (now, None))
    return found if read_at <= now < read_at + how_long else None


def count_by_region(pool_id: str) -> dict[str, int]:
    """How many VMs the pool has in each region, where its new ones will be too; its own region when it has no VM.

    Raises StepFailed.
    """
    registered = session_hosts.list_hosts(pool_id)
    groups = vm_groups("", registered)
    used = {text(host, "properties", "resourceId").lower() for host in registered}
    found = Counter(
        normalise_region(text(vm, "location"))
        for group in groups
        for vm in virtual_machines.list_in_group(group)
        if text(vm, "id").lower() in used
    )
    found.pop("", None)
    return dict(sorted(found.items())) or {normalise_region(session_hosts.read_pool(pool_id).location): 0}


def target_group(template: SessionHostTemplate, pool_id: str) -> str:
    """The id of the resource group for new VMs: the template's, else the one that the host pool lies in."""
    return resource_ids.group_id(template.resource_group_id or pool_id)


# ------------------------------------------------------------------------------------------------- reading the bodies


def vm_half(vm: Json, power: str) -> SessionHost:
    """A session host as far as its VM tells: everything but the registration, the status and the sessions."""
    return SessionHost(
        name=text(vm, "name").lower(),
        vm_id=text(vm, "id"),
        image_version_id=image_of(vm),
        zone=next(iter(texts(vm, "zones")), ""),
        shape=host_shape(vm),
        tags=tags(vm),
        provisioning=text(vm, "properties", "provisioningState"),
        power=power.lower(),
    )


def registered_host(host: SessionHost, pool_id: str, body: Json, sessions: tuple[UserSession, ...]) -> SessionHost:
    """`host` completed with what its registration tells."""
    return structs.replace(
        host,
        registration=session_hosts.registration_of(pool_id, body),
        status=text(body, "properties", "status"),
        allows_new_sessions=session_hosts.allows_new_sessions(body),
        last_heartbeat=session_hosts.last_heartbeat(body),
        failed_checks=session_hosts.failed_checks(body),
        sessions=sessions,
        session_count=number(body, "properties", "sessions"),
        assigned_user=text(body, "properties", "assignedUser"),
    )


def image_of(vm: Json) -> str:
    """The id of the image version that the VM was made from: a gallery's, or publisher:offer:sku:version."""
    image = at(vm, "properties", "storageProfile", "imageReference")
    if found := text(image, "id"):
        return found
    version = text(image, "exactVersion") or text(image, "version")
    parts = [text(image, key) for key in ("publisher", "offer", "sku")]
    return ":".join([*parts, version]) if all(parts) else ""


def host_shape(vm: Json) -> HostShape:
    """What the host that replaces this VM inherits; without the tags that a rollout sets."""
    properties = at(vm, "properties")
    disk = at(properties, "storageProfile", "osDisk")
    security = at(properties, "securityProfile")
    return HostShape(
        location=text(vm, "location"),
        vm_size=text(properties, "hardwareProfile", "vmSize"),
        os_disk_type=text(disk, "managedDisk", "storageAccountType"),
        ephemeral_placement=_ephemeral_placement(disk),
        security_type=text(security, "securityType"),
        secure_boot=flag(security, "uefiSettings", "secureBootEnabled"),
        vtpm=flag(security, "uefiSettings", "vTpmEnabled"),
        encryption_at_host=flag(security, "encryptionAtHost"),
        license_type=text(properties, "licenseType"),
        identity_type=text(vm, "identity", "type"),
        user_identities=tuple(sorted(_keys(vm, "identity", "userAssignedIdentities"))),
        tags={key: value for key, value in tags(vm).items() if key not in _OWN_TAGS},
    )


def is_unregistered_host(vm: Json, pool_id: str, pool_name: str, rollout_id: str) -> bool:
    """The VM belongs to this pool's rollout or to an earlier one, going by its tags.

    VMs of other pools may lie in the same resource group and must never be mistaken for strays of this one.
    """
    tag = tags(vm).get(ROLLOUT_TAG, "")
    if tag == rollout_id:
        return True
    parent = tags(vm).get(POOL_TAG, "")
    return is_rollout_of_pool(tag, pool_name) and (not parent or resource_ids.same(parent, pool_id))


def _registered_hosts(
    pool_id: str,
    registered: list[Json],
    machines: Mapping[str, Json],
    sessions: Mapping[str, tuple[UserSession, ...]],
) -> dict[str, SessionHost]:
    hosts = {}
    for body in registered:
        full_name = resource_ids.last(text(body, "name") or text(body, "id")).lower()
        vm_id = text(body, "properties", "resourceId").lower()
        vm = machines.get(vm_id)
        # The VM's name, even when the VM is gone: that is how the rollout knows the host.
        gone = SessionHost(name=resource_ids.last(vm_id) or full_name.split(".")[0])
        half = gone if vm is None else vm_half(vm, "")
        hosts[half.name] = registered_host(half, pool_id, body, sessions.get(full_name, ()))
    return hosts


def _looked_into(host: SessionHost, now: datetime) -> SessionHost:
    if isinstance(kept := _kept(host.vm_id, now), SessionHost):
        return kept
    if host.provisioning == "Updating":
        # Azure is at work on one of its extensions, and starts no other one meanwhile.
        return structs.replace(host, extensions=dict.fromkeys((JOIN_EXTENSION, AGENT_EXTENSION), "Updating"))
    body = virtual_machines.read_with_instance_view(host.vm_id) if host.provisioning in _MADE else None
    if body is None:
        return host
    seen = structs.replace(
        host,
        provisioning=text(body, "properties", "provisioningState"),
        provisioning_error=virtual_machines.provisioning_error(body),
        power=virtual_machines.power_state(body).lower(),
        extensions=virtual_machines.extension_states(body),
    )
    if all(seen.extensions.get(name) == "Succeeded" for name in (JOIN_EXTENSION, AGENT_EXTENSION)):
        connection().kept_reads[host.vm_id] = (now, seen)  # all is done: what is left is that it registers
    return seen


def _with_power(hosts: dict[str, SessionHost], pool_id: str, now: datetime) -> dict[str, SessionHost]:
    """Those of the hosts that have a VM, with its power state."""
    known = {name: "running" for name, host in hosts.items() if _is_heard_of(host, now)}
    asked = {
        name: host.vm_id
        for name, host in hosts.items()
        if name not in known and host.vm_id and host.provisioning not in ("Creating", "Deleting")
    }
    if len(asked) <= FEW_VMS:
        known |= {name: virtual_machines.read_power_state(vm_id) for name, vm_id in asked.items()}
    else:
        for subscription in sorted({resource_ids.parse(vm_id).subscription for vm_id in asked.values()}):
            states = virtual_machines.power_states(subscription, pool_id, now)
            known |= {name: states[vm_id.lower()] for name, vm_id in asked.items() if vm_id.lower() in states}
    return {name: structs.replace(hosts[name], power=power.lower()) for name, power in known.items()}


def _is_heard_of(host: SessionHost, now: datetime) -> bool:
    """The agent on the VM has reported this very moment that people can sign in: so the VM runs."""
    if not host.vm_id or host.status not in REPORTING_STATUSES or host.last_heartbeat is None:
        return False
    return abs(now - host.last_heartbeat) <= FRESH


def vm_groups(target: str, registered: list[Json]) -> list[str]:
    """The resource groups that hold the VMs of these registrations, and `target`, each once, in a fixed order."""
    groups = {target} - {""}
    for body in registered:
        try:
            groups.add(resource_ids.group_id(text(body, "properties", "resourceId")))
        except resource_ids.NotAResourceId:
            continue  # a host that says of no VM where it lies has none that could be read
    return sorted(groups)


def _names_in_use(hosts: Mapping[str, SessionHost], machines: Mapping[str, Json], group: str) -> tuple[str, ...]:
    names = {text(vm, "name").lower() for vm_id, vm in machines.items() if vm_id.startswith(f"{group}/")}
    return tuple(sorted(names | set(hosts)))


def _ephemeral_placement(disk: Any) -> str:
    # Azure chooses the cache disk when a VM was made without naming a place.
    return text(disk, "diffDiskSettings", "placement") or ("CacheDisk" if at(disk, "diffDiskSettings") else "")


def _keys(body: Json, *path: str) -> list[str]:
    value = at(body, *path)
    return list(value) if isinstance(value, Mapping) else []
