"""ARM routes of virtual machines, their extensions, disks and network interfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulator import ids
from simulator.attachments import Attachment
from simulator.errors import AzureError, group_not_found, not_found
from simulator.estate import Estate
from simulator.extensions import ExtensionSpec
from simulator.machine_bodies import (
    disk_body,
    etag_of,
    extension_body,
    instance_view_body,
    interface_body,
    machine_body,
    parse_request,
    status_view_body,
)
from simulator.machines import Machine
from simulator.operations import Operation
from simulator.wire import Answer, Json, Request, Route, accepted, invalid, paged

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}/providers"
_ROOT = _GROUP + "/Microsoft.Compute/virtualMachines"
_MACHINE = _ROOT + "/{machine}"
_EXTENSION = _MACHINE + "/extensions/{extension}"
_DISKS = _GROUP + "/Microsoft.Compute/disks"
_INTERFACES = _GROUP + "/Microsoft.Network/networkInterfaces"


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    everywhere = _SUBSCRIPTION + "/providers/Microsoft.Compute/virtualMachines"
    yield Route("GET", _MACHINE, "virtualMachines.get", these.get)
    yield Route("PUT", _MACHINE, "virtualMachines.put", these.put)
    yield Route("PATCH", _MACHINE, "virtualMachines.patch", these.patch)
    yield Route("DELETE", _MACHINE, "virtualMachines.delete", these.delete)
    yield Route("PATCH", _MACHINE + "/providers/Microsoft.Resources/tags/default", "tags.patch", these.edit_tags)
    yield Route("GET", _MACHINE + "/instanceView", "virtualMachines.instanceView", these.instance_view)
    yield Route("POST", _MACHINE + "/start", "virtualMachines.start", these.start)
    yield Route("POST", _MACHINE + "/powerOff", "virtualMachines.powerOff", these.power_off)
    yield Route("POST", _MACHINE + "/deallocate", "virtualMachines.deallocate", these.deallocate)
    yield Route("GET", _ROOT, "virtualMachines.list", these.list_in_group, lists=True)
    yield Route("GET", everywhere, "virtualMachines.listAll", these.list_in_subscription, lists=True)
    yield Route("GET", _EXTENSION, "virtualMachineExtensions.get", these.get_extension)
    yield Route("PUT", _EXTENSION, "virtualMachineExtensions.put", these.put_extension)
    yield Route("DELETE", _EXTENSION, "virtualMachineExtensions.delete", these.delete_extension)
    extensions = _MACHINE + "/extensions"
    yield Route("GET", extensions, "virtualMachineExtensions.list", these.list_extensions, lists=True)
    disks, interfaces = _Disks(estate), _Interfaces(estate)
    yield Route("GET", _DISKS + "/{attachment}", "disks.get", disks.get)
    yield Route("DELETE", _DISKS + "/{attachment}", "disks.delete", disks.delete)
    yield Route("GET", _DISKS, "disks.list", disks.list_in_group, lists=True)
    yield Route("GET", _INTERFACES + "/{attachment}", "networkInterfaces.get", interfaces.get)
    yield Route("DELETE", _INTERFACES + "/{attachment}", "networkInterfaces.delete", interfaces.delete)
    yield Route("GET", _INTERFACES, "networkInterfaces.list", interfaces.list_in_group, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._machines = estate.machines
        self._extensions = estate.extensions

    def get(self, request: Request) -> Answer:
        machine = self._machines.get(_machine_id(request))
        with_view = request.query.get("$expand", "").lower() == "instanceview"
        return Answer(200, machine_body(machine, instance_view=with_view))

    def put(self, request: Request) -> Answer:
        machine_id = _machine_id(request)
        condition = request.headers.get("if-none-match")
        if condition not in (None, "*"):
            raise invalid("The If-None-Match header of a virtual machine can only be '*'.", "If-None-Match")
        existed = self._machines.find(machine_id) is not None
        if existed and condition is None and "properties" not in request.body:
            return self.patch(request)
        spec = parse_request(request.body, request.names["machine"])
        operation = self._machines.put(machine_id, spec, only_if_absent=condition == "*")
        machine = self._machines.get(machine_id)
        return accepted(request, operation, status=200 if existed else 201, body=machine_body(machine))

    def patch(self, request: Request) -> Answer:
        unknown = request.body.keys() - {"tags", "location"}
        if unknown:
            raise AzureError(
                409,
                "PropertyChangeNotAllowed",
                f"Changing property '{min(unknown)}' is not allowed.",
                target=min(unknown),
            )
        condition = request.headers.get("if-match")
        if condition not in (None, "*", etag_of(self._machines.get(_machine_id(request)))):
            raise AzureError(412, "PreconditionFailed", "The resource has changed since the etag was read.")
        machine = self._machines.patch_tags(_machine_id(request), _string_tags(request.body))
        return Answer(200, machine_body(machine))

    def edit_tags(self, request: Request) -> Answer:
        """Tags - Update At Scope: Merge, Replace or Delete, names without regard to case."""
        operation, edited = request.body.get("operation"), _string_tags(request.properties())
        kept = dict(self._machines.get(_machine_id(request)).tags)
        named = {name.lower(): value for name, value in edited.items()}
        if operation == "Merge":
            tags = {name: value for name, value in kept.items() if name.lower() not in named} | edited
        elif operation == "Delete":
            tags = {name: value for name, value in kept.items() if named.get(name.lower()) not in (value, "")}
        elif operation == "Replace":
            tags = edited
        else:
            raise invalid("The operation of a change of tags must be Merge, Replace or Delete.", "operation")
        machine = self._machines.patch_tags(_machine_id(request), tags)
        tags_id = f"{machine.id}/providers/Microsoft.Resources/tags/default"
        body: Json = {"id": tags_id, "name": "default", "type": "Microsoft.Resources/tags"}
        return Answer(200, {**body, "properties": {"tags": dict(machine.tags)}})

    def delete(self, request: Request) -> Answer:
        operation = self._machines.delete(_machine_id(request))
        return Answer(204) if operation is None else accepted(request, operation, status=202)

    def instance_view(self, request: Request) -> Answer:
        return Answer(200, instance_view_body(self._machines.get(_machine_id(request))))

    def start(self, request: Request) -> Answer:
        return self._power(request, self._machines.start)

    def power_off(self, request: Request) -> Answer:
        return self._power(request, self._machines.power_off)

    def deallocate(self, request: Request) -> Answer:
        return self._power(request, self._machines.deallocate)

    def list_in_group(self, request: Request) -> Answer:
        if not self._estate.has_group(request.subscription, request.group):
            raise group_not_found(request.group)
        return self._listed(request, self._machines.in_group(request.subscription, request.group))

    def list_in_subscription(self, request: Request) -> Answer:
        return self._listed(request, self._machines.in_subscription(request.subscription))

    def get_extension(self, request: Request) -> Answer:
        extension = self._extensions.get(_machine_id(request), request.names["extension"])
        with_view = request.query.get("$expand", "").lower() == "instanceview"
        return Answer(200, extension_body(extension, instance_view=with_view))

    def put_extension(self, request: Request) -> Answer:
        machine_id, name = _machine_id(request), request.names["extension"]
        existed = name.lower() in self._machines.get(machine_id).extensions
        operation = self._extensions.put(machine_id, name, _extension_spec(request))
        body = extension_body(self._extensions.get(machine_id, name))
        return accepted(request, operation, status=200 if existed else 201, body=body)

    def delete_extension(self, request: Request) -> Answer:
        operation = self._extensions.delete(_machine_id(request), request.names["extension"])
        return Answer(204) if operation is None else accepted(request, operation, status=202)

    def list_extensions(self, request: Request) -> Answer:
        machine = self._machines.get(_machine_id(request))
        with_view = request.query.get("$expand", "").lower() == "instanceview"
        return Answer(
            200, {"value": [extension_body(one, instance_view=with_view) for one in machine.extensions.values()]}
        )

    def _power(self, request: Request, act: Callable[[str], Operation]) -> Answer:
        return accepted(request, act(_machine_id(request)), status=202)

    def _listed(self, request: Request, machines: list[Machine]) -> Answer:
        status_only = request.flag("statusOnly")
        return paged(request, machines, lambda machine: _listed_body(machine, status_only))


class _Disks:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def get(self, request: Request) -> Answer:
        disk_id = ids.disk_id(request.subscription, request.group, request.names["attachment"])
        self._estate.now()
        return Answer(200, disk_body(_found(request, self._estate.attachments.disks, disk_id)))

    def delete(self, request: Request) -> Answer:
        disk_id = ids.disk_id(request.subscription, request.group, request.names["attachment"])
        return Answer(200 if self._estate.attachments.delete_disk(disk_id) else 204)

    def list_in_group(self, request: Request) -> Answer:
        self._estate.now()
        return paged(request, _in_group(request, self._estate.attachments.disks), disk_body)


class _Interfaces:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def get(self, request: Request) -> Answer:
        interface_id = ids.interface_id(request.subscription, request.group, request.names["attachment"])
        self._estate.now()
        return Answer(200, interface_body(_found(request, self._estate.attachments.interfaces, interface_id)))

    def delete(self, request: Request) -> Answer:
        interface_id = ids.interface_id(request.subscription, request.group, request.names["attachment"])
        return Answer(200 if self._estate.attachments.delete_interface(interface_id) else 204)

    def list_in_group(self, request: Request) -> Answer:
        self._estate.now()
        return paged(request, _in_group(request, self._estate.attachments.interfaces), interface_body)


def _found(request: Request, kept: dict[str, Attachment], attachment_id: str) -> Attachment:
    found = kept.get(attachment_id.lower())
    if found is None:
        raise not_found(ids.parse(attachment_id).kind, request.names["attachment"], request.group)
    return found


def _in_group(request: Request, kept: dict[str, Attachment]) -> list[Attachment]:
    wanted = (request.subscription.lower(), request.group.lower())
    return [one for one in kept.values() if (one.subscription.lower(), one.group.lower()) == wanted]


def _listed_body(machine: Machine, status_only: bool) -> Json:
    body = machine_body(machine, upper_case_group=True)
    if status_only:
        body["properties"]["instanceView"] = status_view_body(machine)
    return body


def _machine_id(request: Request) -> str:
    return ids.machine_id(request.subscription, request.group, request.names["machine"])


def _extension_spec(request: Request) -> ExtensionSpec:
    properties = request.properties()
    if not request.body.get("location"):
        raise invalid("The location property is required for this definition.", "location")
    missing = [name for name in ("publisher", "type", "typeHandlerVersion") if not properties.get(name)]
    if missing:
        raise invalid(f"Required parameter '{missing[0]}' is missing (null).", missing[0])
    settings, protected = properties.get("settings") or {}, properties.get("protectedSettings") or {}
    key_vault = properties.get("protectedSettingsFromKeyVault") or {}
    if not all(isinstance(one, dict) for one in (settings, protected, key_vault)):
        raise invalid("The settings of an extension must be objects.", "settings")
    return ExtensionSpec(
        str(properties["publisher"]),
        str(properties["type"]),
        str(properties["typeHandlerVersion"]),
        settings,
        protected,
        _string_tags(request.body),
        properties.get("autoUpgradeMinorVersion") is True,
        key_vault,
    )


def _string_tags(body: Json) -> dict[str, str]:
    tags = body.get("tags") or {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise invalid("The tags must be strings.", "tags")
    return tags
