"""From nothing to a session host: provision, join, install the agent; each step repeated, refused and lost."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.model import AGENT_EXTENSION, JOIN_EXTENSION, ROLLOUT_TAG
from rollout.policy import ActiveDirectoryJoin, SessionHostTemplate
from rollout.pool import start
from rollout.steps import JoinHost, ProvisionHost
from rollout.travelling import pack
from simulator.errors import AzureError
from simulator.extensions import ExtensionSpec
from simulator.faults import Site
from tests.activities.orders import carry_out, installing, joining, provisioning, run
from tests.adapters.office import EXCLUSION_TAG, ROLLOUT, SUBNET, SimulatedOffice

OK = {"ok": True}
NEW = "avd-017"


def test_a_host_comes_from_nothing_to_available(office: SimulatedOffice) -> None:
    assert provisioning(office, NEW, version="2.0.0") == OK
    office.wait(minutes=15)
    assert joining(office, office.host(NEW, NEW)) == OK
    office.wait(minutes=5)
    assert office.host(NEW, NEW).extensions == {JOIN_EXTENSION: "Succeeded"}
    assert installing(office, office.host(NEW, NEW)) == OK
    office.wait(minutes=30)

    host = office.host(NEW, NEW)
    assert (host.status, host.allows_new_sessions) == ("Available", True)
    assert host.image_version_id == office.office.version_id("2.0.0")


def test_a_new_vm_says_whose_it_is_and_is_left_alone_by_autoscale(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)

    tags = office.host(NEW).tags
    assert tags[ROLLOUT_TAG] == ROLLOUT
    assert tags["cm-resource-parent"] == office.pool_id
    assert EXCLUSION_TAG in tags


def test_provisioning_twice_makes_one_host(office: SimulatedOffice) -> None:
    assert provisioning(office, NEW) == OK
    assert provisioning(office, NEW) == OK
    office.wait(minutes=15)

    assert [host.name for host in office.look().hosts].count(NEW) == 1


def test_provisioning_again_after_a_lost_answer_succeeds(office: SimulatedOffice) -> None:
    office.faults.fail_next("PUT", NEW, Site.LOST_RESPONSE)

    first = provisioning(office, NEW)

    assert first["error"]["code"] == "ConnectionLost"
    assert first["error"].get("retriable", True)
    assert provisioning(office, NEW) == OK


def test_a_name_that_somebody_elses_vm_has_is_not_taken_over(office: SimulatedOffice) -> None:
    answer = provisioning(office, "avd-000")

    assert answer["error"]["code"] == "NameInUse"
    assert answer["error"]["retriable"] is False


def test_a_quota_that_is_used_up_is_told_with_azures_words(office: SimulatedOffice) -> None:
    office.faults.fail_next(
        "PUT", NEW, AzureError(409, "OperationNotAllowed", "exceeding approved Total Regional Cores")
    )

    error = provisioning(office, NEW)["error"]

    assert error["code"] == "OperationNotAllowed"
    assert "Total Regional Cores" in error["message"]
    assert "retry_after" not in error


def test_throttling_is_not_mistaken_for_a_quota_and_says_how_long_to_wait(office: SimulatedOffice) -> None:
    office.faults.fail_next("PUT", NEW, Site.THROTTLED)

    error = provisioning(office, NEW)["error"]

    assert error["code"] == "TooManyRequests"
    assert error["retry_after"] >= 5


def test_what_the_template_says_wins_over_what_is_inherited(office: SimulatedOffice) -> None:
    template = office.policy().session_host
    changed = msgspec.structs.replace(template, vm_size="Standard_D8as_v5", tags={"owner": "goldroll"})
    like = office.look().hosts[0]
    step = ProvisionHost(NEW, office.office.version_id("1.0.0"), like.shape, "2", "a test asks for it")

    carry_out(office, step, session_host=changed)
    office.wait(minutes=15)

    host = office.host(NEW)
    assert host.shape.vm_size == "Standard_D8as_v5"
    assert host.tags["owner"] == "goldroll"
    assert host.shape.os_disk_type == like.shape.os_disk_type
    assert host.zone == "2"


def test_a_new_vm_takes_its_disk_and_its_network_card_with_it(office: SimulatedOffice) -> None:
    provisioning(office, NEW)

    (body,) = bodies(office, "PUT", NEW)
    assert body["properties"]["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    (card,) = body["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    assert card["properties"]["deleteOption"] == "Delete"
    assert card["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] == SUBNET


def test_joining_twice_starts_one_extension(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    host = office.host(NEW)

    assert joining(office, host) == OK
    assert joining(office, host) == OK

    # Azure refuses the second one while the first is under way, and that is fine.
    assert office.arm.statuses[409] == 1
    office.wait(minutes=10)
    assert office.host(NEW, NEW).extensions == {JOIN_EXTENSION: "Succeeded"}


def test_an_extension_of_somebody_else_in_the_way_is_waited_for(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    host = office.host(NEW)
    others = ExtensionSpec("Microsoft.Azure.Monitor", "AzureMonitorWindowsAgent", "1.0", {}, {}, {})
    office.estate.extensions.put(host.vm_id, "monitor", others)

    assert joining(office, host)["error"]["code"] == "Conflict"


def test_an_extension_that_failed_is_started_again(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    host = office.host(NEW)
    joining(office, host)
    office.wait(minutes=5)
    extension = office.estate.machines.get(host.vm_id).extensions[JOIN_EXTENSION]
    extension.provisioning_state = "Failed"

    assert joining(office, host) == OK

    assert len(bodies(office, "PUT", JOIN_EXTENSION)) == 2


def test_the_password_for_active_directory_stays_in_key_vault(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    join = ActiveDirectoryJoin(
        domain="contoso.com",
        user="contoso\\joiner",
        password_secret_url="https://vault.vault.azure.net/secrets/join/1",
        key_vault_id="/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/vault",
        organizational_unit="OU=Desktops",
    )
    host = office.host(NEW)

    carry_out(
        office,
        JoinHost(host.name, host.vm_id, host.shape.location, "a test asks for it"),
        session_host=SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=join),
    )

    (body,) = bodies(office, "PUT", JOIN_EXTENSION)
    assert body["properties"]["type"] == "JsonADDomainExtension"
    assert body["properties"]["protectedSettingsFromKeyVault"]["secretUrl"] == join.password_secret_url
    assert "protectedSettings" not in body["properties"]


def test_hosts_that_are_made_together_share_one_registration_token(office: SimulatedOffice) -> None:
    for name in (NEW, "avd-018"):
        provisioning(office, name)
    office.wait(minutes=15)
    for name in (NEW, "avd-018"):
        joining(office, office.host(name))
    office.wait(minutes=5)
    for name in (NEW, "avd-018"):
        assert installing(office, office.host(name)) == OK

    assert len(bodies(office, "PATCH", "/hostPools/hp-office")) == 1
    assert len(tokens(office)) == 1


def test_a_token_that_ends_soon_is_replaced(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    joining(office, office.host(NEW))
    office.estate.pools.issue_token(office.pool_id, office.clock() + timedelta(minutes=61))
    office.wait(minutes=5)

    assert installing(office, office.host(NEW)) == OK

    assert len(bodies(office, "PATCH", "/hostPools/hp-office")) == 1


def test_no_secret_is_answered_logged_tagged_or_put_where_it_can_be_read(
    office: SimulatedOffice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [provisioning(office, NEW)]
    office.wait(minutes=15)
    answers.append(joining(office, office.host(NEW)))
    office.wait(minutes=5)
    office.faults.fail_next("PUT", AGENT_EXTENSION, Site.SERVER_ERROR)
    answers.append(installing(office, office.host(NEW)))
    answers.append(installing(office, office.host(NEW)))
    office.wait(minutes=30)
    turn = {
        "state": pack(start(ROLLOUT, office.pool_id, office.office.version_id("2.0.0"), office.clock())),
        "policy": office.policy(),
        "now": office.clock(),
    }
    answers.append(run("decide_turn", turn))

    (token,) = tokens(office)
    (password,) = {body["properties"]["osProfile"]["adminPassword"] for body in bodies(office, "PUT", NEW + "$")}
    seen = json.dumps(answers) + caplog.text + json.dumps(msgspec.to_builtins(office.look(NEW)))
    assert len(token) > 10
    assert len(password) == 40
    assert token not in seen
    assert password not in seen
    for body in bodies(office, "PUT", AGENT_EXTENSION):
        assert token not in json.dumps(body["properties"]["settings"])


def test_an_error_that_repeats_the_token_is_blotted_out(office: SimulatedOffice) -> None:
    provisioning(office, NEW)
    office.wait(minutes=15)
    joining(office, office.host(NEW))
    office.wait(minutes=5)
    token = office.estate.pools.issue_token(office.pool_id, office.clock() + timedelta(hours=5))
    office.faults.fail_next("PUT", AGENT_EXTENSION, AzureError(400, "InvalidParameter", f"bad settings: {token}"))

    answer = installing(office, office.host(NEW))

    assert answer["error"]["message"] == "bad settings: ***"


def bodies(office: SimulatedOffice, method: str, path: str) -> list[Any]:
    """The bodies of all requests of this method whose path ends in (`$`) or contains `path`."""
    ends = path.endswith("$")
    path = path.rstrip("$").lower()
    return [
        body
        for verb, where, body in office.requests
        if verb == method and (where.lower().endswith(path) if ends else path in where.lower())
    ]


def tokens(office: SimulatedOffice) -> set[str]:
    """All registration tokens that were sent to VMs."""
    return {
        body["properties"]["protectedSettings"]["Items"]["RegistrationInfoToken"]
        for body in bodies(office, "PUT", AGENT_EXTENSION)
    }
