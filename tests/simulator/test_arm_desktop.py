"""Virtual Desktop behind ARM's wire format, asked by the real client of the Azure SDK."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest

from simulator.host_pools import PoolType
from tests.simulator.azure_clients import GROUP, POOL, Clients
from tests.simulator.building_hosts import office


def at_work(people: int = 6, **options: Any) -> Clients:
    """Clients of an office in which so many people have signed in."""
    clients = Clients(office(**options))
    for index in range(people):
        clients.place.estate.sessions.sign_in(clients.place.pool_id, f"p{index}@contoso.com")
    return clients


def test_a_pool_shows_its_rules_and_no_token() -> None:
    clients = at_work()
    clients.token()
    pool = clients.desktop.host_pools.get(GROUP, POOL)
    assert (pool.host_pool_type, pool.load_balancer_type, pool.max_session_limit) == ("Pooled", "BreadthFirst", 10)
    assert pool.registration_info is None
    assert [one.name for one in clients.desktop.host_pools.list()] == [POOL]
    assert [one.name for one in clients.desktop.host_pools.list_by_resource_group(GROUP)] == [POOL]


@pytest.mark.parametrize(("version", "shown"), [("2024-04-03", None), ("2026-04-01-preview", "Automated")])
def test_the_management_type_is_known_to_preview_versions_only(version: str, shown: str | None) -> None:
    clients = Clients(office(management_type="Automated"))
    url = f"https://management.azure.com{clients.place.pool_id}?api-version={version}"
    body = clients.compute.send_request(HttpRequest("GET", url)).json()
    assert body["properties"].get("managementType") == shown


def test_a_token_is_made_with_a_patch_and_fetched_with_a_post() -> None:
    clients = Clients()
    token = clients.token()
    assert clients.place.estate.pools.admitted_by(token) is clients.place.pool
    listed = clients.desktop.host_pools.list_registration_tokens(GROUP, POOL)
    assert [one.token for one in listed.value] == [token]


def test_a_token_for_less_than_an_hour_is_refused_in_azures_words() -> None:
    clients = Clients()
    expires = clients.place.estate.now() + timedelta(minutes=30)
    patch = {
        "properties": {
            "registrationInfo": {"expirationTime": expires.isoformat(), "registrationTokenOperation": "Update"}
        }
    }
    with pytest.raises(HttpResponseError, match="must be between one hour and 30 days from now") as refused:
        clients.desktop.host_pools.update(GROUP, POOL, patch)
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (400, "400")


def test_a_deleted_token_is_worthless() -> None:
    clients = Clients()
    token = clients.token()
    patch = {"properties": {"registrationInfo": {"registrationTokenOperation": "Delete"}}}
    clients.desktop.host_pools.update(GROUP, POOL, patch)
    assert clients.place.estate.pools.admitted_by(token) is None
    with pytest.raises(ResourceNotFoundError):
        clients.desktop.host_pools.retrieve_registration_token(GROUP, POOL)


def test_hosts_are_named_with_their_pool_and_point_at_their_machine() -> None:
    clients = at_work(people=6)
    hosts = list(clients.desktop.session_hosts.list(GROUP, POOL))
    assert [host.name for host in hosts] == [f"{POOL}/avd-000", f"{POOL}/avd-001", f"{POOL}/avd-002"]
    assert [host.sessions for host in hosts] == [2, 2, 2]
    machine = clients.compute.virtual_machines.get(GROUP, "avd-000")
    assert hosts[0].resource_id is not None
    assert hosts[0].resource_id.lower() == machine.id.lower()


def test_a_host_reports_its_health_checks() -> None:
    clients = at_work()
    clients.place.estate.hosts.set_health(clients.place.pool_id, "avd-001", "SxSStackListenerCheck", "gone")
    host = clients.desktop.session_hosts.get(GROUP, POOL, "avd-001")
    failed = [
        check.health_check_name
        for check in host.session_host_health_check_results or []
        if check.health_check_result == "HealthCheckFailed"
    ]
    assert (host.status, failed) == ("SxSStackListenerNotReady", ["SxSStackListenerCheck"])


def test_drain_mode_is_set_with_a_patch() -> None:
    clients = at_work()
    patch = {"properties": {"allowNewSession": False}}
    assert clients.desktop.session_hosts.update(GROUP, POOL, "avd-000", session_host=patch).allow_new_session is False
    assert [host.name for host in clients.place.estate.drained_hosts(clients.place.pool_id)] == ["avd-000"]
    assert clients.place.pool.hosts["avd-000"].drained_by == "rollout"


def test_a_host_with_sessions_is_deleted_by_force_only() -> None:
    clients = at_work()
    with pytest.raises(HttpResponseError, match="still has UserSessions") as refused:
        clients.desktop.session_hosts.delete(GROUP, POOL, "avd-000")
    assert refused.value.status_code == 400
    clients.desktop.session_hosts.delete(GROUP, POOL, "avd-000", force=True)
    clients.desktop.session_hosts.delete(GROUP, POOL, "avd-000")
    assert clients.last.status == 204
    assert len(list(clients.desktop.session_hosts.list(GROUP, POOL))) == 2


def test_unknown_hosts_are_a_404_in_virtual_desktops_own_words() -> None:
    clients = Clients()
    with pytest.raises(ResourceNotFoundError, match="ActivityId: ") as missing:
        clients.desktop.session_hosts.get(GROUP, POOL, "avd-099")
    assert missing.value.error is not None
    assert missing.value.error.code == "404"


def test_an_unknown_pool_is_a_404_in_arms_words() -> None:
    clients = Clients()
    with pytest.raises(ResourceNotFoundError) as missing:
        list(clients.desktop.session_hosts.list(GROUP, "hp-other"))
    assert missing.value.error is not None
    assert missing.value.error.code == "ResourceNotFound"


def test_sessions_are_listed_for_the_pool_and_for_a_host() -> None:
    clients = at_work(people=6)
    everywhere = list(clients.desktop.user_sessions.list_by_host_pool(GROUP, POOL))
    here = list(clients.desktop.user_sessions.list(GROUP, POOL, "avd-000"))
    assert (len(everywhere), len(here)) == (6, 2)
    assert here[0].name == f"{POOL}/avd-000/2"
    assert (here[0].session_state, here[0].user_principal_name) == ("Active", "p0@contoso.com")


def test_sessions_of_the_pool_can_be_filtered() -> None:
    clients = at_work(people=6)
    session = clients.place.pool.sessions["p1@contoso.com"]
    clients.desktop.user_sessions.disconnect(GROUP, POOL, session.host.name, str(session.number))
    listing = clients.desktop.user_sessions.list_by_host_pool
    assert len(list(listing(GROUP, POOL, filter="state eq 'active'"))) == 5
    chosen = listing(GROUP, POOL, filter="userPrincipalName eq 'p1@contoso.com' and state eq 'Disconnected'")
    assert [one.user_principal_name for one in chosen] == ["p1@contoso.com"]
    with pytest.raises(HttpResponseError, match="not supported"):
        list(listing(GROUP, POOL, filter="contains(userPrincipalName, 'p')"))


def test_a_person_is_told_and_signed_out() -> None:
    clients = at_work(people=1)
    sessions = clients.desktop.user_sessions
    message = {"messageTitle": "Update", "messageBody": "Please sign out."}
    sessions.send_message(GROUP, POOL, "avd-000", "2", message)
    assert clients.place.estate.ledger.messages_sent == 1
    assert sessions.get(GROUP, POOL, "avd-000", "2").user_principal_name == "p0@contoso.com"
    sessions.delete(GROUP, POOL, "avd-000", "2", force=True)
    sessions.delete(GROUP, POOL, "avd-000", "2")
    assert clients.last.status == 204
    with pytest.raises(ResourceNotFoundError, match="User session ID not found"):
        sessions.get(GROUP, POOL, "avd-000", "2")
    assert clients.place.estate.ledger.forced_by_actor == {"rollout": 1}


def test_scaling_plans_of_a_pool_name_their_exclusion_tag() -> None:
    clients = Clients()
    plans = clients.desktop.scaling_plans
    assert [plan.exclusion_tag for plan in plans.list_by_host_pool(GROUP, POOL)] == ["excludeFromScaling"]
    assert [plan.name for plan in plans.list_by_resource_group(GROUP)] == ["sp-office"]
    assert [plan.name for plan in plans.list_by_subscription()] == ["sp-office"]
    assert plans.get(GROUP, "sp-office").host_pool_type == "Pooled"


def test_a_pool_without_a_plan_has_an_empty_list() -> None:
    clients = Clients(office(exclusion_tag=""))
    assert list(clients.desktop.scaling_plans.list_by_host_pool(GROUP, POOL)) == []


def test_a_personal_host_names_its_person() -> None:
    clients = at_work(people=1, pool_type=PoolType.PERSONAL)
    host = clients.desktop.session_hosts.get(GROUP, POOL, "avd-000")
    assert host.assigned_user == "p0@contoso.com"
    unassign = {"properties": {"assignedUser": ""}}
    with pytest.raises(HttpResponseError):
        clients.desktop.session_hosts.update(GROUP, POOL, "avd-000", session_host=unassign)
    clients.desktop.session_hosts.update(GROUP, POOL, "avd-000", force=True, session_host=unassign)
    assert clients.place.pool.hosts["avd-000"].assigned_user == ""


@pytest.mark.parametrize(
    "listing",
    [
        lambda c: c.desktop.session_hosts.list(GROUP, POOL),
        lambda c: c.desktop.user_sessions.list_by_host_pool(GROUP, POOL),
        lambda c: c.compute.virtual_machines.list(GROUP),
        lambda c: c.compute.disks.list_by_resource_group(GROUP),
    ],
)
def test_long_lists_come_in_pages(listing: Callable[[Clients], Any]) -> None:
    place = office(hosts=7)
    for index in range(7):
        place.estate.sessions.sign_in(place.pool_id, f"p{index}@contoso.com")
    clients = Clients(place, page_size=3)
    names = [one.name for one in listing(clients)]
    assert len(names) == len(set(names)) == 7
    assert len(clients.answers) == 3


def test_the_page_size_can_be_asked_for() -> None:
    clients = Clients(office(hosts=5))
    hosts = list(clients.desktop.session_hosts.list(GROUP, POOL, page_size=2))
    assert (len(hosts), len(clients.answers)) == (5, 3)


def test_a_pool_is_made_and_deleted_over_the_wire() -> None:
    clients = Clients()
    body = {
        "location": "westeurope",
        "properties": {
            "hostPoolType": "Pooled",
            "loadBalancerType": "DepthFirst",
            "preferredAppGroupType": "Desktop",
            "maxSessionLimit": 4,
        },
    }
    made = clients.desktop.host_pools.create_or_update(GROUP, "hp-new", body)
    assert (made.load_balancer_type, made.max_session_limit, clients.last.status) == ("DepthFirst", 4, 201)
    clients.desktop.host_pools.delete(GROUP, "hp-new")
    with pytest.raises(HttpResponseError, match="still has SessionHosts"):
        clients.desktop.host_pools.delete(GROUP, POOL)
