"""The table of permissions, the custom roles made of it and the calls of the app agree, each with each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from adapters import gallery_changes, platform_images, version_marks
from adapters.errors import StepFailed
from adapters.fitness_reader import read_facts
from adapters.image_users import find_users, names_of
from adapters.permissions import PERMISSIONS, ROLES, actions_of, options_of, scopes_of
from adapters.role_definitions import role_files
from adapters.session_hosts import list_sessions, sign_out
from adapters.virtual_machines import deallocate, power_states
from demo.access import least_privilege
from demo.surroundings import furnish
from rollout.policy import ActiveDirectoryJoin, Policy, RetentionPolicy, SessionHostTemplate, SmokeTestGate
from rollout.ring_steps import MarkVersion
from rollout.steps import (
    JoinHost,
    NotifySessions,
    ProvisionHost,
    RemoveHost,
    RestoreHost,
    RetainHost,
    SignOutSessions,
    StartDraining,
    StopDraining,
)
from simulator import ids
from simulator.builders import SUBSCRIPTION
from tests.activities.orders import carry_out, installing, run
from tests.adapters.office import SUBNET, SimulatedOffice, simulated_office

OK = {"ok": True}
MAY = "Microsoft.Authorization/permissions/read"
ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "infra" / "roles"
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-id/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
)
DOMAIN = ActiveDirectoryJoin(
    domain="corp.contoso.com",
    user="joiner@corp.contoso.com",
    password_secret_url="https://kv.vault.azure.net/secrets/join",
    key_vault_id=VAULT,
)
WHY = "a test asks for it"


def everything(office: SimulatedOffice) -> None:
    """One run of each activity, of each reader and of doctor, so that every call of the app is made once at least."""
    furnish(office.estate, office.whole_policy(), "westeurope")
    _people(office)
    _a_new_host(office)
    _a_host_goes(office)
    _images(office)
    _who_uses_what(office)
    read_facts(with_everything(office), office.clock())


def with_everything(office: SimulatedOffice) -> Policy:
    """A policy that makes use of every option there is."""
    template = SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=DOMAIN)
    policy = office.whole_policy(session_host=template)
    image = structs.replace(policy.images[0], latest="earned", retention=RetentionPolicy(mode="apply"))
    return structs.replace(policy, images=(image,))


def _people(office: SimulatedOffice) -> None:
    office.wait(hours=3)
    host = next(host for host in office.look().hosts if host.sessions)
    first = host.sessions[0].id
    assert carry_out(office, NotifySessions(host.name, host.registration, (first,), "Save", "Please", WHY)) == OK
    assert carry_out(office, SignOutSessions(host.name, host.registration, (first,), 1, WHY)) == OK
    assert list_sessions(host.registration) is not None


def _a_new_host(office: SimulatedOffice) -> None:
    like = office.look().hosts[0].shape
    shape = structs.replace(like, user_identities=(IDENTITY,), identity_type="UserAssigned")
    step = ProvisionHost("avd-017", office.office.version_id("1.0.0"), shape, "1", WHY)
    assert carry_out(office, step) == OK
    office.wait(minutes=15)
    host = office.host("avd-017", "avd-017")
    template = SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=DOMAIN)
    for _ in range(2):  # the second time Azure is at work on it, and is asked how that goes
        assert carry_out(office, JoinHost(host.name, host.vm_id, "westeurope", WHY), session_host=template) == OK
    office.wait(minutes=10)
    assert installing(office, office.host("avd-017", "avd-017")) == OK
    order = {
        "version": office.office.version_id("1.0.0"),
        "policy": msgspec.to_builtins(office.policy()),
        "gate": msgspec.to_builtins(SmokeTestGate(script="exit 0")),
        "name": "goldroll-smoke-test-0123abcd",
        "now": office.clock().isoformat(),
        "run": None,
    }
    begun = run("run_smoke_test", order)["run"]
    assert run("run_smoke_test", {**order, "run": begun})["run"]["state"] == "running"


def _a_host_goes(office: SimulatedOffice) -> None:
    host = office.host("avd-001")
    assert carry_out(office, StartDraining(host.name, host.vm_id, host.registration, WHY)) == OK
    assert carry_out(office, StopDraining(host.name, host.vm_id, host.registration, WHY)) == OK
    for session in office.host("avd-001").sessions:
        sign_out(host.registration, session.id)
    assert carry_out(office, StartDraining(host.name, host.vm_id, host.registration, WHY)) == OK
    until = office.clock() + timedelta(days=2)
    assert carry_out(office, RetainHost(host.name, host.vm_id, host.registration, until, WHY)) == OK
    office.wait(minutes=10)
    assert carry_out(office, RestoreHost(host.name, host.vm_id, host.registration, WHY)) == OK
    office.wait(minutes=10)
    deallocate(host.vm_id)
    office.wait(minutes=10)
    for _ in range(2):  # first the registration, then the VM
        carry_out(office, RemoveHost(host.name, host.vm_id, host.registration, WHY))


def _images(office: SimulatedOffice) -> None:
    version = office.office.publish_replicated("2.0.0").id
    version_marks.mark(version, MarkVersion("hold_back", excluded=True))
    office.wait(hours=2)
    gallery_changes.delete_version(version)
    office.estate.galleries.marketplace.publish("p:o:s:1.0.0")
    assert platform_images.list_platform_versions(SUBSCRIPTION, "westeurope", "p:o:s")


def _who_uses_what(office: SimulatedOffice) -> None:
    scale_set = ids.scale_set_id(SUBSCRIPTION, office.office.group, "web")
    office.estate.scale_sets.place(scale_set, "westeurope", office.office.definition_id, capacity=1, flexible=False)
    assert find_users(names_of(office.office.definition_id, {}), [SUBSCRIPTION]).unreadable == ()
    assert power_states(SUBSCRIPTION, office.pool_id, office.clock())


@contextmanager
def an_office(*without: str) -> Iterator[SimulatedOffice]:
    """A busy office whose identity has every role of the table, `without` some actions."""
    with simulated_office(people=30) as office:
        office.access = least_privilege(with_everything(office), with_roles=ROLES)
        office.access.assign(IDENTITY, actions_of("identities"))
        for action in without:
            office.access.revoke(action)
        office.arm.access = office.access
        yield office


def test_the_app_uses_every_action_of_the_table_and_is_refused_none() -> None:
    with an_office() as office:
        everything(office)

    assert office.access.denied == []
    assert {need.action for need in office.access.used} == {one.action.lower() for one in PERMISSIONS}


WRITES = sorted({one.action for one in PERMISSIONS if one.role not in ("reader", "subscription_reader")} - {MAY})


@pytest.mark.parametrize("action", WRITES)
def test_without_an_action_the_call_that_needs_it_is_refused(action: str) -> None:
    with an_office(action) as office, suppress(StepFailed, AssertionError, KeyError):
        everything(office)

    assert action.lower() in {need.action.lower() for need in office.access.denied}


def test_every_action_is_needed_by_something_that_exists() -> None:
    activities = {path.stem for path in (ROOT / "activities").glob("*.py")} | {"doctor", "sweep"}

    assert {name for one in PERMISSIONS for name in one.used_by} <= activities
    assert all(one.scope in ROLES[one.role].scopes for one in PERMISSIONS)
    assert len({(one.action, one.role, one.scope) for one in PERMISSIONS}) == len(PERMISSIONS)


def test_the_files_of_the_roles_are_up_to_date() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}

    assert written == role_files(), "run: python -m adapters.role_definitions infra/roles"


def test_no_role_has_a_wildcard_and_readers_change_nothing() -> None:
    for role in ROLES:
        actions = actions_of(role)
        assert actions
        assert all(re.fullmatch(r"Microsoft\.\w+(/\w+)+/(read|write|delete|action)", one) for one in actions), role
    for role in ("reader", "subscription_reader"):
        assert all(action.endswith("/read") for action in actions_of(role))
    changing = [set(actions_of(role)) - {MAY} for role in ROLES if "reader" not in role]
    assert sum(map(len, changing)) == len(set().union(*changing)), "a change belongs to one role only"


def test_each_option_of_the_policy_asks_for_its_actions(office: SimulatedOffice) -> None:
    policy = office.whole_policy()
    earned = structs.replace(policy, images=(structs.replace(policy.images[0], latest="earned"),))

    assert options_of(policy) == {"always"}
    assert options_of(earned) == {"always", "images"}
    assert options_of(with_everything(office)) == {"always", "images", "deletes_images", "key_vault"}


def test_roles_are_assigned_where_the_policys_ids_lie(office: SimulatedOffice) -> None:
    group = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{office.office.group}".lower()
    assert scopes_of(with_everything(office)) == {
        "subscription": (f"/subscriptions/{SUBSCRIPTION}",),
        "host_pools": (group,),
        "session_hosts": (group,),
        "gallery": (f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-images",),
        "virtual_network": (SUBNET.lower().rpartition("/subnets/")[0],),
        "subnet": (SUBNET.lower(),),
        "key_vault": (VAULT.lower(),),
        "identities": (),
    }
