"""Every body that goes over the wire, in either direction, fits Microsoft's published types."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from simulator import ids
from simulator.arm import Arm
from simulator.builders import Office
from simulator.extensions import domain_join
from simulator.host_pools import PoolType
from simulator.images import Takes
from simulator.wire import Answer, Json
from tests.simulator.arm_types import (
    COMPUTE,
    DESKTOP,
    DESKTOP_PREVIEW,
    DISKS,
    GALLERIES,
    SCALE_SETS,
    patch_problems,
    request_problems,
    response_problems,
)
from tests.simulator.azure_clients import agent_request, join_request, vm_request
from tests.simulator.building_hosts import new_host, office, pass_time

MACHINE = (COMPUTE, "Microsoft.Compute/virtualMachines")
EXTENSION = (COMPUTE, "Microsoft.Compute/virtualMachines/extensions")
COMMAND = (COMPUTE, "Microsoft.Compute/virtualMachines/runCommands")
SCALE_SET = (SCALE_SETS, "Microsoft.Compute/virtualMachineScaleSets")
INSTANCE = (SCALE_SETS, "Microsoft.Compute/virtualMachineScaleSets/virtualMachines")
DISK = (DISKS, "Microsoft.Compute/disks")
GALLERY = (GALLERIES, "Microsoft.Compute/galleries")
IMAGE = (GALLERIES, "Microsoft.Compute/galleries/images")
VERSION = (GALLERIES, "Microsoft.Compute/galleries/images/versions")
POOL = (DESKTOP, "Microsoft.DesktopVirtualization/hostPools")
HOST = (DESKTOP, "Microsoft.DesktopVirtualization/hostPools/sessionHosts")
SESSION = (DESKTOP, "Microsoft.DesktopVirtualization/hostPools/sessionHosts/userSessions")
PLAN = (DESKTOP, "Microsoft.DesktopVirtualization/scalingPlans")
TOKEN = (DESKTOP, "Microsoft.DesktopVirtualization/hostPools/retrieveRegistrationToken")
TOKENS = (DESKTOP, "Microsoft.DesktopVirtualization/hostPools/listRegistrationTokens")
PREVIEW_POOL = (DESKTOP_PREVIEW, "Microsoft.DesktopVirtualization/hostPools")

Kind = tuple[str, str]


class Wire:
    """An estate in which a bit of everything is going on, and ARM in front of it."""

    def __init__(self) -> None:
        self.place = busy_office()
        self.arm = Arm(self.place.estate)
        place = self.place
        self.compute = place.machine_id("x").removesuffix("/virtualMachines/x")
        self.group = self.compute.removesuffix("/Microsoft.Compute")
        self.everywhere = f"/subscriptions/{place.subscription}/providers"
        self.gallery = place.definition_id.split("/images/")[0]

    def ask(self, method: str, path: str, body: Json | None = None, version: str = "2026-04-01") -> Answer:
        mark = "&" if "?" in path else "?"
        url = f"https://management.azure.com{path}{mark}api-version={version}"
        return self.arm.handle(method, url, {}, json.dumps(body) if body is not None else None)


def busy_office() -> Office:
    """Hosts new, stopped, drained, unhealthy and failed; people; a version on its way and one that has failed."""
    place = office(hosts=4, people=12, powered_off=1, drained_by_somebody=1)
    new_host(place, "avd-010")
    failing = Takes(timedelta(minutes=1), fails="There is no room.")
    place.publish("2.0.0", ["westeurope", "northeurope"], takes={"westeurope": Takes(None), "northeurope": failing})
    place.estate.galleries.update(place.version_id("1.0.0"), end_of_life=place.estate.now() + timedelta(days=90))
    place.estate.quota.set_stock("westeurope", place.spec.size, "2", 0)
    place.estate.machines.put(place.machine_id("avd-011"), place.spec_for("avd-011", "1.0.0", "2"))
    place.estate.hosts.set_health(place.pool_id, "avd-001", "SxSStackListenerCheck", "gone")
    pass_time(place, minutes=30)
    place.estate.machines.put(place.machine_id("avd-012"), place.spec_for("avd-012", "1.0.0", "3"))
    place.estate.extensions.put(place.machine_id("avd-001"), "domain", domain_join("contoso.com"))
    place.estate.run_commands.put(place.machine_id("avd-000"), "smoke", "exit 0")
    place.estate.pools.issue_token(place.pool_id, place.estate.now() + timedelta(hours=2))
    flexible, uniform = (ids.scale_set_id(place.subscription, place.group, name) for name in ("x-1", "x-2"))
    place.estate.scale_sets.place(flexible, "westeurope", place.definition_id, capacity=1)
    place.estate.scale_sets.place(uniform, "westeurope", place.version_id("1.0.0"), capacity=1, flexible=False)
    session = next(iter(place.pool.sessions.values()))
    place.estate.sessions.disconnect(place.pool_id, session.host.name, session.number)
    return place


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


def problems(kind: Kind, body: Any) -> list[str]:
    bodies = body["value"] if "value" in body and "value" not in str(kind[1]) and kind is not TOKENS else [body]
    assert bodies, "an empty list proves nothing"
    return [problem for one in bodies for problem in response_problems(*kind, one)]


def reads(wire: Wire) -> dict[str, tuple[str, Kind]]:
    """Each route that reads: the name it is counted by, a path for it, and the type of what it answers."""
    place, compute, group, everywhere = wire.place, wire.compute, wire.group, wire.everywhere
    desktop = f"{group}/Microsoft.DesktopVirtualization"
    machine, pool = place.machine_id("avd-010"), place.pool_id
    session = next(iter(place.pool.sessions.values()))
    host = f"{pool}/sessionHosts/{session.host.name}"
    return {
        "galleries.get": (wire.gallery, GALLERY),
        "galleries.list": (wire.gallery.rsplit("/", 1)[0], GALLERY),
        "galleries.listAll": (f"{everywhere}/Microsoft.Compute/galleries", GALLERY),
        "galleryImages.get": (place.definition_id, IMAGE),
        "galleryImages.list": (f"{wire.gallery}/images", IMAGE),
        "galleryImageVersions.get": (f"{place.version_id('2.0.0')}?$expand=ReplicationStatus", VERSION),
        "galleryImageVersions.list": (f"{place.definition_id}/versions", VERSION),
        "virtualMachines.get": (f"{machine}?$expand=instanceView", MACHINE),
        "virtualMachines.list": (f"{compute}/virtualMachines", MACHINE),
        "virtualMachines.listAll": (f"{everywhere}/Microsoft.Compute/virtualMachines?statusOnly=true", MACHINE),
        "virtualMachineExtensions.get": (f"{machine}/extensions/agent?$expand=instanceView", EXTENSION),
        "virtualMachineExtensions.list": (f"{machine}/extensions", EXTENSION),
        "virtualMachineRunCommands.get": (
            f"{place.machine_id('avd-000')}/runCommands/smoke?$expand=instanceView",
            COMMAND,
        ),
        "virtualMachineScaleSets.get": (f"{compute}/virtualMachineScaleSets/x-1", SCALE_SET),
        "virtualMachineScaleSets.list": (f"{compute}/virtualMachineScaleSets", SCALE_SET),
        "virtualMachineScaleSets.listAll": (f"{everywhere}/Microsoft.Compute/virtualMachineScaleSets", SCALE_SET),
        "virtualMachineScaleSetVMs.list": (f"{compute}/virtualMachineScaleSets/x-2/virtualMachines", INSTANCE),
        "disks.get": (f"{compute}/disks/avd-010-os", DISK),
        "disks.list": (f"{compute}/disks", DISK),
        "hostPools.get": (pool, POOL),
        "hostPools.list": (f"{everywhere}/Microsoft.DesktopVirtualization/hostPools", POOL),
        "hostPools.listByResourceGroup": (f"{desktop}/hostPools", POOL),
        "sessionHosts.get": (host, HOST),
        "sessionHosts.list": (f"{pool}/sessionHosts", HOST),
        "userSessions.get": (f"{host}/userSessions/{session.number}", SESSION),
        "userSessions.list": (f"{host}/userSessions", SESSION),
        "userSessions.listByHostPool": (f"{pool}/userSessions", SESSION),
        "scalingPlans.get": (f"{desktop}/scalingPlans/sp-office", PLAN),
        "scalingPlans.list": (f"{everywhere}/Microsoft.DesktopVirtualization/scalingPlans", PLAN),
        "scalingPlans.listByResourceGroup": (f"{desktop}/scalingPlans", PLAN),
        "scalingPlans.listByHostPool": (f"{pool}/scalingPlans", PLAN),
    }


READS = sorted(reads(Wire()))
UNPUBLISHED = {
    "softDeletedResources.list",
    *("operations.get", "usages.list", "networkInterfaces.get", "networkInterfaces.list"),
    *("virtualMachineImages.list", "virtualMachineImages.get"),
    *("permissions.list", "providers.get", "skus.list", "virtualNetworks.get"),
    *("systemTopics.list", "systemTopicEventSubscriptions.list", "eventSubscriptions.list"),
}
INNER = {"virtualMachines.instanceView"}


@pytest.mark.parametrize("name", READS)
def test_what_is_read_fits_the_published_types(wire: Wire, name: str) -> None:
    path, kind = reads(wire)[name]
    answer = wire.ask("GET", path)
    assert answer.status == 200
    assert wire.arm.calls[name] > 0
    assert problems(kind, answer.body) == []


def test_every_route_that_reads_is_checked(wire: Wire) -> None:
    names = {
        pattern.route.name
        for patterns in wire.arm._routes._by_shape.values()
        for pattern in patterns
        if pattern.route.method == "GET"
    }
    assert names == {*READS, *UNPUBLISHED, *INNER}


def test_every_machine_fits_in_whatever_state_it_is(wire: Wire) -> None:
    states = set()
    for machine in wire.place.estate.machines.everything():
        body = wire.ask("GET", f"{machine.id}?$expand=instanceView").body
        assert problems(MACHINE, body) == []
        states.add((machine.provisioning_state, machine.power))
    assert len(states) >= 4


def test_an_instance_view_fits_inside_its_machine(wire: Wire) -> None:
    machine = wire.ask("GET", wire.place.machine_id("avd-010")).body
    view = wire.ask("GET", f"{wire.place.machine_id('avd-010')}/instanceView").body
    assert machine is not None
    assert problems(MACHINE, {**machine, "properties": {**machine["properties"], "instanceView": view}}) == []


def test_every_host_fits_in_whatever_state_it_is(wire: Wire) -> None:
    statuses = {host.status for host in wire.place.estate.hosts.list(wire.place.pool_id)}
    assert statuses == {"Available", "Shutdown", "SxSStackListenerNotReady"}
    assert problems(HOST, wire.ask("GET", f"{wire.place.pool_id}/sessionHosts").body) == []


def test_tokens_fit(wire: Wire) -> None:
    pool = wire.place.pool_id
    assert problems(TOKEN, wire.ask("POST", f"{pool}/retrieveRegistrationToken").body) == []
    assert problems(TOKENS, wire.ask("POST", f"{pool}/listRegistrationTokens").body) == []


def test_the_management_type_fits_the_preview(wire: Wire) -> None:
    answer = wire.ask("GET", wire.place.pool_id, version="2026-04-01-preview")
    assert answer.body is not None
    assert answer.body["properties"]["managementType"] == "Standard"
    assert problems(PREVIEW_POOL, answer.body) == []


def test_a_personal_pool_fits() -> None:
    place = office(hosts=1, pool_type=PoolType.PERSONAL)
    place.estate.sessions.sign_in(place.pool_id, "ann@contoso.com")
    arm = Arm(place.estate)
    for path, kind in ((place.pool_id, POOL), (f"{place.pool_id}/sessionHosts", HOST)):
        answer = arm.handle("GET", f"https://management.azure.com{path}?api-version=2024-04-03", {})
        assert problems(kind, answer.body) == []


VERSION_REQUEST: Json = {
    "location": "westeurope",
    "properties": {
        "publishingProfile": {
            "targetRegions": [{"name": "West Europe", "regionalReplicaCount": 2, "excludeFromLatest": True}],
            "excludeFromLatest": True,
            "endOfLifeDate": "2027-11-20T00:00:00Z",
        },
        "storageProfile": {"source": {"id": "/subscriptions/s/resourceGroups/g/providers/M/virtualMachines/golden"}},
        "safetyProfile": {"allowDeletionOfReplicatedLocations": True},
    },
}
IMAGE_REQUEST: Json = {
    "location": "westeurope",
    "properties": {
        "osType": "Windows",
        "osState": "Generalized",
        "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
    },
}
COMMAND_REQUEST: Json = {"location": "westeurope", "properties": {"source": {"script": "exit 0"}}}
POOL_REQUEST: Json = {
    "location": "westeurope",
    "properties": {"hostPoolType": "Pooled", "loadBalancerType": "BreadthFirst", "preferredAppGroupType": "Desktop"},
}


def writes(place: Office) -> dict[str, tuple[str, Json, Kind]]:
    """Each route that makes something: a path, the body to PUT, and its type."""
    machine = place.machine_id("avd-020")
    gallery = place.definition_id.split("/images/")[0]
    return {
        "galleries.put": (gallery, {"location": "westeurope", "tags": {}}, GALLERY),
        "galleryImages.put": (f"{gallery}/images/other", IMAGE_REQUEST, IMAGE),
        "galleryImageVersions.put": (place.version_id("3.0.0"), VERSION_REQUEST, VERSION),
        "virtualMachines.put": (machine, vm_request("avd-020", place.version_id("1.0.0")), MACHINE),
        "virtualMachineExtensions.put": (
            f"{place.machine_id('avd-010')}/extensions/join",
            join_request(),
            EXTENSION,
        ),
        "virtualMachineRunCommands.put": (
            f"{place.machine_id('avd-010')}/runCommands/smoke",
            COMMAND_REQUEST,
            COMMAND,
        ),
        "hostPools.put": (f"{place.pool_id}-new", POOL_REQUEST, POOL),
    }


@pytest.mark.parametrize("name", sorted(writes(office())))
def test_what_is_written_and_answered_fits_the_published_types(wire: Wire, name: str) -> None:
    path, body, kind = writes(wire.place)[name]
    assert request_problems(*kind, body) == []
    answer = wire.ask("PUT", path, body)
    assert answer.status in (200, 201)
    assert wire.arm.calls[name] == 1
    assert problems(kind, answer.body) == []


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("pool", {"tags": {"a": "b"}}, POOL),
        (
            "pool",
            {
                "properties": {
                    "registrationInfo": {
                        "registrationTokenOperation": "Update",
                        "expirationTime": "2026-11-24T00:00:00.000Z",
                    }
                }
            },
            POOL,
        ),
        ("machine", {"tags": {"a": "b"}}, MACHINE),
        ("version", {"properties": {"publishingProfile": {"excludeFromLatest": False}}}, VERSION),
        ("version", {"properties": {"safetyProfile": {"blockDeletionBeforeEndOfLife": True}}}, VERSION),
    ],
)
def test_what_is_patched_and_answered_fits_the_published_types(wire: Wire, path: str, body: Json, kind: Kind) -> None:
    place = wire.place
    paths = {"pool": place.pool_id, "machine": place.machine_id("avd-000"), "version": place.version_id("1.0.0")}
    assert patch_problems(*kind, body) == []
    answer = wire.ask("PATCH", paths[path], body)
    assert answer.status == 200
    assert problems(kind, answer.body) == []


def test_a_host_that_is_patched_fits(wire: Wire) -> None:
    path = f"{wire.place.pool_id}/sessionHosts/avd-000"
    answer = wire.ask("PATCH", path, {"properties": {"allowNewSession": False}})
    assert answer.status == 200
    assert problems(HOST, answer.body) == []


def test_the_agents_request_fits() -> None:
    assert request_problems(*EXTENSION, agent_request("token")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "colour: unknown"),
        ({"location": None}, "location: missing"),
        ({"location": 7}, "is not a StringType"),
        ({"zones": "1"}, "is not a list"),
        ({"etag": "x"}, "etag: read-only"),
        ({"identity": {"type": "Root"}}, "is none of"),
    ],
)
def test_the_checker_itself_finds_what_is_wrong(change: Json, said: str) -> None:
    body = {**vm_request("avd-020", "/image"), **change}
    assert any(said in problem for problem in request_problems(*MACHINE, body))


def test_the_checker_itself_lets_nothing_unknown_through_deep_inside(wire: Wire) -> None:
    body = wire.ask("GET", f"{wire.place.pool_id}/sessionHosts/avd-000").body
    assert body is not None
    body["properties"]["sessionHostHealthCheckResults"][0]["colour"] = "red"
    assert problems(HOST, body) == [".properties.sessionHostHealthCheckResults[0].colour: unknown"]
