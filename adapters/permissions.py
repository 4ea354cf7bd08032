"""Every permission that the app's identity needs: one line for each ARM action, what needs it, and where.

The custom roles in infra/roles are written from this table (role_definitions.py), `doctor` compares what the identity
may do with it, and a test compares it with the calls that the app makes. The names are those of Microsoft's published
list of provider operations (learn.microsoft.com, "Azure permissions"); Azure compares them without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, get_args

from msgspec import Struct

from adapters import resource_ids
from rollout.policy import ActiveDirectoryJoin, ImagePolicy, Policy

Scope = Literal[
    "subscription", "host_pools", "session_hosts", "gallery", "virtual_network", "subnet", "key_vault", "identities"
]
"""Where a role is assigned: a subscription, a group (`host_pools`, `session_hosts`, `gallery`) or a resource."""

RoleName = Literal[
    "subscription_reader", "reader", "host_pools", "session_hosts", "network", "key_vault", "identities", "images"
]

Option = Literal[
    "always", "scale_sets", "marketplace", "images", "deletes_images", "smoke_test", "key_vault", "identities"
]
"""What of a policy asks for an action. See `options_of`."""


class Role(Struct, frozen=True):
    """A custom role: its name in Azure, what it is for, and the kinds of scope that it is assigned at."""

    title: str
    description: str
    scopes: tuple[Scope, ...]


ROLES: dict[RoleName, Role] = {
    "subscription_reader": Role(
        "Goldroll Subscription Reader",
        "Read which VMs and scale sets a subscription has, its quota, and which resource providers are registered.",
        ("subscription",),
    ),
    "reader": Role(
        "Goldroll Reader",
        "Read host pools, their sessions and session hosts, image versions and the network of new hosts.",
        ("host_pools", "session_hosts", "gallery", "virtual_network"),
    ),
    "host_pools": Role(
        "Goldroll Host Pool Operator",
        "Set drain mode, send messages, sign people out, register and unregister session hosts.",
        ("host_pools",),
    ),
    "session_hosts": Role(
        "Goldroll Session Host Operator",
        "Create, tag, start, switch off and delete VMs of session hosts.",
        ("session_hosts",),
    ),
    "network": Role("Goldroll Subnet Joiner", "Connect new session hosts to a subnet.", ("subnet",)),
    "key_vault": Role(
        "Goldroll Key Vault Deployer",
        "Let Azure fetch the password for joining a domain when a session host is made. Secrets cannot be read.",
        ("key_vault",),
    ),
    "identities": Role(
        "Goldroll Identity Assigner", "Give new session hosts the identities of those they replace.", ("identities",)
    ),
    "images": Role(
        "Goldroll Image Manager",
        "Mark image versions, change their regions, replicas and end of life, and delete those that are retired.",
        ("gallery",),
    ),
}
"""Required: the first five. `key_vault` with a domain join, `identities` with user-assigned identities of hosts,
`images` when an option of the policy changes image versions."""


class Permission(Struct, frozen=True):
    """One ARM action in one role: the kind of scope it is needed at, who needs it, and for which option of a policy."""

    action: str
    role: RoleName
    scope: Scope
    used_by: tuple[str, ...]
    option: Option = "always"


_AVD = "Microsoft.DesktopVirtualization/hostpools"
_SESSIONS = f"{_AVD}/sessionhosts/usersessions"
_VM = "Microsoft.Compute/virtualMachines"
_SCALE_SETS = "Microsoft.Compute/virtualMachineScaleSets"
_GALLERIES = "Microsoft.Compute/galleries"
_VERSIONS = f"{_GALLERIES}/images/versions"
_PLATFORM_VERSIONS = "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions"
_EVENTS = "Microsoft.EventGrid"
_MAY = "Microsoft.Authorization/permissions/read"

PERMISSIONS: tuple[Permission, ...] = (
    # --------------------------------------------------------------------------------------------- subscription_reader
    Permission(f"{_VM}/read", "subscription_reader", "subscription", ("decide_turn", "plan_retirement")),
    Permission(f"{_SCALE_SETS}/read", "subscription_reader", "subscription", ("plan_retirement",)),
    Permission(
        f"{_SCALE_SETS}/virtualMachines/read", "subscription_reader", "subscription", ("plan_retirement",), "scale_sets"
    ),
    Permission(
        f"{_PLATFORM_VERSIONS}/read",
        "subscription_reader",
        "subscription",
        ("sweep", "provision_host"),
        "marketplace",
    ),
    Permission("Microsoft.Compute/locations/usages/read", "subscription_reader", "subscription", ("doctor",)),
    Permission("Microsoft.Compute/skus/read", "subscription_reader", "subscription", ("doctor",)),
    Permission(f"{_EVENTS}/eventSubscriptions/read", "subscription_reader", "subscription", ("doctor",)),
    Permission(f"{_EVENTS}/systemTopics/read", "subscription_reader", "subscription", ("doctor",)),
    Permission(f"{_EVENTS}/systemTopics/eventSubscriptions/read", "subscription_reader", "subscription", ("doctor",)),
    Permission("Microsoft.Resources/subscriptions/providers/read", "subscription_reader", "subscription", ("doctor",)),
    Permission(_MAY, "subscription_reader", "subscription", ("doctor",)),
    # ---------------------------------------------------------------------------------------------------------- reader
    Permission(f"{_AVD}/read", "reader", "host_pools", ("decide_turn", "read_pool_regions", "doctor")),
    Permission(f"{_AVD}/sessionhosts/read", "reader", "host_pools", ("decide_turn", "remove_host", "doctor")),
    Permission(f"{_AVD}/usersessions/read", "reader", "host_pools", ("decide_turn",)),
    Permission(f"{_SESSIONS}/read", "reader", "host_pools", ("notify_sessions", "sign_out_sessions")),
    Permission(f"{_AVD}/scalingplans/read", "reader", "host_pools", ("decide_turn", "doctor")),
    Permission(_MAY, "reader", "host_pools", ("doctor",)),
    Permission(f"{_VM}/read", "reader", "session_hosts", ("decide_turn", "provision_host", "remove_host", "doctor")),
    Permission(f"{_VM}/extensions/read", "reader", "session_hosts", ("join_host", "install_agent")),
    Permission(f"{_VM}/runCommands/read", "reader", "session_hosts", ("run_smoke_test",), "smoke_test"),
    Permission(_MAY, "reader", "session_hosts", ("doctor",)),
    Permission(f"{_GALLERIES}/read", "reader", "gallery", ("plan_retirement", "doctor")),
    Permission(f"{_GALLERIES}/images/read", "reader", "gallery", ("doctor",)),
    Permission(f"{_VERSIONS}/read", "reader", "gallery", ("read_image_version", "decide_turn", "provision_host")),
    Permission(_MAY, "reader", "gallery", ("doctor",)),
    Permission("Microsoft.Network/virtualNetworks/read", "reader", "virtual_network", ("doctor",)),
    Permission(_MAY, "reader", "virtual_network", ("doctor",)),
    # ------------------------------------------------------------------------------------------------------ host_pools
    Permission(f"{_AVD}/write", "host_pools", "host_pools", ("install_agent",)),
    Permission(f"{_AVD}/retrieveRegistrationToken/action", "host_pools", "host_pools", ("install_agent",)),
    Permission(f"{_AVD}/sessionhosts/write", "host_pools", "host_pools", ("start_draining", "stop_draining")),
    Permission(f"{_AVD}/sessionhosts/delete", "host_pools", "host_pools", ("remove_host",)),
    Permission(f"{_SESSIONS}/sendMessage/action", "host_pools", "host_pools", ("notify_sessions",)),
    Permission(f"{_SESSIONS}/delete", "host_pools", "host_pools", ("sign_out_sessions",)),
    # --------------------------------------------------------------------------------------------------- session_hosts
    Permission(f"{_VM}/write", "session_hosts", "session_hosts", ("provision_host",)),
    Permission(f"{_VM}/delete", "session_hosts", "session_hosts", ("remove_host",)),
    Permission(f"{_VM}/deallocate/action", "session_hosts", "session_hosts", ("release_host", "retain_host")),
    Permission(f"{_VM}/start/action", "session_hosts", "session_hosts", ("restore_host",)),
    Permission(f"{_VM}/extensions/write", "session_hosts", "session_hosts", ("join_host", "install_agent")),
    Permission(f"{_VM}/runCommands/write", "session_hosts", "session_hosts", ("run_smoke_test",), "smoke_test"),
    Permission("Microsoft.Compute/disks/write", "session_hosts", "session_hosts", ("provision_host",)),
    Permission("Microsoft.Compute/disks/delete", "session_hosts", "session_hosts", ("remove_host",)),
    Permission("Microsoft.Network/networkInterfaces/write", "session_hosts", "session_hosts", ("provision_host",)),
    Permission(
        "Microsoft.Network/networkInterfaces/join/action", "session_hosts", "session_hosts", ("provision_host",)
    ),
    Permission("Microsoft.Network/networkInterfaces/delete", "session_hosts", "session_hosts", ("remove_host",)),
    Permission("Microsoft.Resources/tags/write", "session_hosts", "session_hosts", ("start_draining", "stop_draining")),
    # ----------------------------------------------------------------------------------------- what new hosts refer to
    Permission("Microsoft.Network/virtualNetworks/subnets/join/action", "network", "subnet", ("provision_host",)),
    Permission("Microsoft.KeyVault/vaults/deploy/action", "key_vault", "key_vault", ("join_host",), "key_vault"),
    Permission(_MAY, "key_vault", "key_vault", ("doctor",), "key_vault"),
    Permission(
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        "identities",
        "identities",
        ("provision_host",),
        "identities",
    ),
    Permission(_MAY, "identities", "identities", ("doctor",), "identities"),
    # ---------------------------------------------------------------------------------------------------------- images
    Permission(
        f"{_VERSIONS}/write",
        "images",
        "gallery",
        ("mark_version", "set_replicas", "add_target_regions", "update_image_version"),
        "images",
    ),
    Permission(f"{_VERSIONS}/delete", "images", "gallery", ("delete_image_version",), "deletes_images"),
)
"""The table. What lies above the subnet's resource (its permissions, its existence) is read at its virtual network."""


def options_of(policy: Policy) -> frozenset[Option]:
    """Which options the policy makes use of.

    `scale_sets` and `identities` depend on what is found in Azure and are never among them: whether there are uniform
    scale sets, and whether the hosts that are replaced have identities of their own.
    """
    found: set[Option] = {"always"}
    for image in policy.images:
        if image.marketplace is not None:
            found.add("marketplace")
        if writes_versions(image):
            found.add("images")
        if image.marketplace is None and image.retention.mode == "apply":
            found.add("deletes_images")
        if any(ring.gates.smoke_test is not None for ring in image.rings):
            found.add("smoke_test")
    if any(isinstance(pool.session_host.join, ActiveDirectoryJoin) for pool in policy.host_pools):
        found.add("key_vault")
    return frozenset(found)


def writes_versions(image: ImagePolicy) -> bool:
    """An option of the policy changes versions of this image: latest, replicas, regions or retention."""
    if image.marketplace is not None:
        return False
    replication = image.replication
    return (
        image.latest == "earned"
        or replication.raise_replicas
        or replication.add_regions
        or image.retention.mode == "apply"
    )


def needed(scope: Scope, options: Iterable[Option]) -> tuple[Permission, ...]:
    """The permissions that an identity must have at a scope of this kind, given what the policy makes use of."""
    chosen = frozenset(options)
    return tuple(one for one in PERMISSIONS if one.scope == scope and one.option in chosen)


def actions_of(role: RoleName) -> tuple[str, ...]:
    """The actions of a role, sorted."""
    return tuple(sorted({one.action for one in PERMISSIONS if one.role == role}))


def role_titles(action: str) -> tuple[str, ...]:
    """The roles that have an action, in whatever case it is written, by their names in Azure."""
    found = {one.role: ROLES[one.role].title for one in PERMISSIONS if one.action.lower() == action.lower()}
    return tuple(found.values())


def scopes_of(policy: Policy) -> dict[Scope, tuple[str, ...]]:
    """Where a policy needs roles: the ids of the scopes, in lower case and sorted. Raises NotAResourceId.

    Identities of hosts are not in the policy. Subscriptions are those of host pools, new hosts and images, and the
    further ones of `retention`.
    """
    found: dict[Scope, set[str]] = {scope: set() for scope in get_args(Scope)}
    for pool in policy.host_pools:
        template = pool.session_host
        groups = (
            resource_ids.group_id(pool.host_pool_id),
            resource_ids.group_id(template.resource_group_id or pool.host_pool_id),
        )
        subnet = template.subnet_id.rstrip("/").lower()
        found["host_pools"].add(groups[0])
        found["session_hosts"].add(groups[1])
        found["subnet"].add(subnet)
        found["virtual_network"].add(subnet.rpartition("/subnets/")[0])
        found["subscription"] |= {_subscription(group) for group in groups}
        if isinstance(template.join, ActiveDirectoryJoin):
            found["key_vault"].add(template.join.key_vault_id.rstrip("/").lower())
    for image in policy.images:
        if image.marketplace is None:
            group = resource_ids.group_id(image.definition)
            found["gallery"].add(group)
            found["subscription"].add(_subscription(group))
            found["subscription"] |= {f"/subscriptions/{one}".lower() for one in image.retention.subscriptions}
    return {scope: tuple(sorted(ids)) for scope, ids in found.items()}


def is_granted(action: str, granted: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> bool:
    """Any of the grants, each (actions, notActions) and both with `*` for anything, covers the action."""
    return any(
        any(_matches(pattern, action) for pattern in actions)
        and not any(_matches(pattern, action) for pattern in excluded)
        for actions, excluded in granted
    )


def _matches(pattern: str, action: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, action, re.IGNORECASE) is not None


def _subscription(scope: str) -> str:
    return "/".join(scope.split("/")[:3])
