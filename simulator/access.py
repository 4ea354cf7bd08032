"""Who may do what: ARM's check of each call against the actions that are assigned at its scope and above.

An identity has assignments, each a scope and actions. Without any the estate lets everybody do everything. What a call
needs follows from its method and path, as in ARM: GET is read, PUT and PATCH are write, DELETE is delete, POST x is
x/action, each behind the types of the path. A body that refers to other resources needs an action on each of them too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from simulator.errors import AzureError
from simulator.wire import Answer, Json, Request, Route, paged

PRINCIPAL = "0e5d8c1a-7f0e-4a39-9d2b-5d1f6c0f9a11"
"""The object id of the identity that every call comes from."""

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_SUBNET_JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
_OPERATIONS = re.compile(r"/locations/[^/]+/(operations|capsoperations)/[^/]+$", re.IGNORECASE)


class Assignment(NamedTuple):
    """A role at a scope. `actions` may hold `*`."""

    scope: str
    actions: frozenset[str]
    not_actions: frozenset[str] = frozenset()


class Need(NamedTuple):
    """An action at a scope, which is that of the call itself or of something that its body refers to."""

    action: str
    scope: str


class Access:
    """The assignments of one identity; `used` is what was asked for and allowed, in lower case."""

    def __init__(self, assignments: Iterable[Assignment] = ()) -> None:
        self.assignments = list(assignments)
        self.used: set[Need] = set()
        self.denied: list[Need] = []

    def assign(self, scope: str, actions: Iterable[str], not_actions: Iterable[str] = ()) -> None:
        """Assign a role at a scope (a subscription, a resource group or a resource)."""
        self.assignments.append(Assignment(scope, frozenset(actions), frozenset(not_actions)))

    def revoke(self, action: str) -> None:
        """Take an action out of every role that has it."""
        self.assignments = [
            one._replace(actions=frozenset(a for a in one.actions if a.lower() != action.lower()))
            for one in self.assignments
        ]

    def allows(self, need: Need) -> bool:
        """Some assignment at the scope or above it has the action."""
        return any(
            _is_below(need.scope, one.scope)
            and any(_matches(pattern, need.action) for pattern in one.actions)
            and not any(_matches(pattern, need.action) for pattern in one.not_actions)
            for one in self.assignments
        )

    def at(self, scope: str) -> list[Assignment]:
        """The assignments that hold at a scope."""
        return [one for one in self.assignments if _is_below(scope, one.scope)]

    def check(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """Refuse the call with 403 unless everything that it needs is allowed."""
        if _OPERATIONS.search(path):
            return  # whoever has started an operation may ask how it goes
        if not path.lower().startswith(("/subscriptions", "/providers")):
            return  # not of the Resource Manager: other services have roles of their own
        need = need_of(method, path)
        if not self.allows(need):
            self.denied.append(need)
            raise _denied(need)
        self._use(need)
        for linked in linked_needs(method, path, body):
            if not self.allows(linked):
                self.denied.append(linked)
                raise _linked_denied(need, linked)
            self._use(linked)

    def _use(self, need: Need) -> None:
        self.used.add(Need(need.action.lower(), need.scope.lower()))


def need_of(method: str, path: str) -> Need:
    """The action of a call and the scope it is checked at: the resource itself, of a list its parent."""
    head, _, tail = path.rpartition("/providers/")
    namespace, *rest = tail.split("/") if head else ("Microsoft.Resources", *path.strip("/").split("/"))
    if not head:
        return _resource_manager_need(method, path)
    types, names = rest[::2], rest[1::2]
    if not rest:  # a provider itself
        return Need("Microsoft.Resources/subscriptions/providers/read", head)
    if method == "POST":
        *types, verb = types
        action = "/".join((namespace, *types, verb, "action"))
    else:
        action = "/".join((namespace, *types, _VERBS.get(method, "write")))
    scope = path
    if len(types) > len(names) or method == "POST":
        scope = path.rpartition("/")[0] if names else head
    if namespace.lower() in ("microsoft.resources", "microsoft.authorization", "microsoft.eventgrid"):
        scope = head  # extension resources: what they say is about the resource before them
    if namespace.lower() == "microsoft.resources" and types and types[0].lower() == "tags":
        action = f"Microsoft.Resources/tags/{_VERBS.get(method, 'write')}"
    return Need(action, scope)


def linked_needs(method: str, path: str, body: Mapping[str, Any]) -> Iterator[Need]:
    """What the resources need that a call's body refers to, and what comes and goes with a VM."""
    match = re.fullmatch(r"(.+)/providers/Microsoft\.Compute/virtualMachines/[^/]+", path, re.IGNORECASE)
    extension = re.fullmatch(r".+/virtualMachines/[^/]+/extensions/[^/]+", path, re.IGNORECASE)
    if match and method == "PUT":
        yield from _of_new_machine(match[1], body)
    elif match and method == "DELETE":
        # The NIC and the disk of a session host have the delete option Delete.
        yield Need("Microsoft.Network/networkInterfaces/delete", match[1])
        yield Need("Microsoft.Compute/disks/delete", match[1])
    elif extension and method == "PUT":
        vault = _at(body, "properties", "protectedSettingsFromKeyVault", "sourceVault", "id")
        if isinstance(vault, str):
            yield Need("Microsoft.KeyVault/vaults/deploy/action", vault)


def _of_new_machine(group: str, body: Mapping[str, Any]) -> Iterator[Need]:
    image = _at(body, "properties", "storageProfile", "imageReference", "id")
    if isinstance(image, str) and "/galleries/" in image.lower():
        yield Need("Microsoft.Compute/galleries/images/versions/read", image)
    yield Need("Microsoft.Compute/disks/write", group)
    for interface in _at(body, "properties", "networkProfile", "networkInterfaceConfigurations") or ():
        yield Need("Microsoft.Network/networkInterfaces/write", group)
        yield Need("Microsoft.Network/networkInterfaces/join/action", group)
        for address in _at(interface, "properties", "ipConfigurations") or ():
            subnet = _at(address, "properties", "subnet", "id")
            if isinstance(subnet, str):
                yield Need(_SUBNET_JOIN, subnet)
    for identity in _at(body, "identity", "userAssignedIdentities") or ():
        yield Need("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", identity)


def permission_routes(access: Callable[[], Access | None]) -> Iterator[Route]:
    """The routes that tell what the caller may do at a scope; everything when nobody is checked."""
    group = "/subscriptions/{subscription}/resourceGroups/{group}"
    resource = group + "/providers/{namespace}/{type}/{name}"
    for scope in ("/subscriptions/{subscription}", group, resource, resource + "/{subtype}/{subname}"):
        path = scope + "/providers/Microsoft.Authorization/permissions"
        yield Route("GET", path, "permissions.list", lambda request: _permissions(access(), request), lists=True)


def _permissions(access: Access | None, request: Request) -> Answer:
    scope = request.path.rpartition("/providers/")[0]
    held = access.at(scope) if access is not None else [Assignment("/", frozenset({"*"}))]
    return paged(request, held, _permission_body)


def _permission_body(assignment: Assignment) -> Json:
    return {
        "actions": sorted(assignment.actions),
        "notActions": sorted(assignment.not_actions),
        "dataActions": [],
        "notDataActions": [],
    }


def _resource_manager_need(method: str, path: str) -> Need:
    verb = _VERBS.get(method, "write")
    kind = "subscriptions/resourceGroups" if "/resourcegroups/" in path.lower() else "subscriptions"
    if path.lower().endswith("/providers"):
        return Need("Microsoft.Resources/subscriptions/providers/read", path.rpartition("/")[0])
    return Need(f"Microsoft.Resources/{kind}/{verb}", path)


def _at(body: Any, *path: str) -> Any:
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _is_below(scope: str, other: str) -> bool:
    inner, outer = scope.rstrip("/").lower(), other.rstrip("/").lower()
    return inner == outer or inner.startswith(f"{outer}/")


@cache  # roles and calls are few, and every call is checked against every role
def _matches(pattern: str, action: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, action, re.IGNORECASE) is not None


def _denied(need: Need) -> AzureError:
    return AzureError(
        403,
        "AuthorizationFailed",
        f"The client '{PRINCIPAL}' with object id '{PRINCIPAL}' does not have authorization to perform action "
        f"'{need.action}' over scope '{need.scope}' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials.",
    )


def _linked_denied(need: Need, linked: Need) -> AzureError:
    return AzureError(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{PRINCIPAL}' with object id '{PRINCIPAL}' has permission to perform action '{need.action}' on "
        f"scope '{need.scope}'; however, it does not have permission to perform action(s) '{linked.action}' on the "
        f"linked scope(s) '{linked.scope}' (respectively) or the linked scope(s) are invalid.",
    )
