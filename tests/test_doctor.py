"""`doctor`: each finding in an Azure that lacks one thing, through the real client libraries; none in a sound one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from msgspec import structs

from adapters import connect
from adapters.fitness_reader import read_facts
from adapters.permissions import ROLES
from demo.access import least_privilege
from demo.policies import REGION, host_prefix, policy_text
from demo.surroundings import furnish
from doctor.__main__ import Report, examine, main
from rollout.fitness import FINDINGS, Finding, finding, judge, openings
from rollout.policy import (
    ActiveDirectoryJoin,
    ImagePolicy,
    MarketplaceImage,
    Policy,
    ReplicationPolicy,
    RetentionPolicy,
    RingPolicy,
    SessionHostTemplate,
    Window,
    hours,
)
from rollout.policy_file import read_policy
from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, SUBSCRIPTION, office_pool
from simulator.clock import SteppedClock
from simulator.errors import ConnectionLost
from simulator.estate import Estate
from simulator.host_pools import PoolType
from simulator.server import Server
from simulator.surroundings import SizeOnOffer
from tests.adapters.office import SUBNET, SimulatedOffice, simulated_office

ROOT = Path(__file__).resolve().parent.parent
NEVER = Window(zone="UTC", recurrence="FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", start="01:00", duration=hours(2))
SATURDAYS = Window(zone="UTC", recurrence="FREQ=WEEKLY;BYDAY=SA", start="20:00", duration=hours(4))


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office in which everything fits."""
    with simulated_office() as office:
        furnish(office.estate, office.whole_policy(), "westeurope")
        yield office


def found(office: SimulatedOffice, policy: Policy | None = None) -> tuple[Finding, ...]:
    policy = policy or office.whole_policy()
    return judge(policy, read_facts(policy, office.clock()))


def ids(findings: tuple[Finding, ...]) -> list[str]:
    return [one.id for one in findings]


def with_image(office: SimulatedOffice, **changes: Any) -> Policy:
    policy = office.whole_policy()
    return structs.replace(policy, images=(structs.replace(policy.images[0], **changes),))


def test_a_sound_estate_yields_nothing_and_nothing_is_changed(office: SimulatedOffice) -> None:
    assert found(office) == ()
    assert {method for method, _, __ in office.requests} == {"GET"}


def _managed(office: SimulatedOffice) -> None:
    office.office.pool.management_type = "Automated"


def _personal(office: SimulatedOffice) -> None:
    office.office.pool.type = PoolType.PERSONAL


def _no_limit(office: SimulatedOffice) -> None:
    office.office.pool.max_session_limit = 999_999


def _no_hosts(office: SimulatedOffice) -> None:
    office.office.pool.hosts.clear()


def _no_subnet(office: SimulatedOffice) -> None:
    office.estate.surroundings.networks.clear()


def _subnet_elsewhere(office: SimulatedOffice) -> None:
    office.estate.surroundings.add_subnet(SUBNET, "northeurope")


def _size_not_sold(office: SimulatedOffice) -> None:
    office.estate.surroundings.sizes = [SizeOnOffer("Standard_D4as_v5", restricted=True)]


def _old_size(office: SimulatedOffice) -> None:
    office.estate.surroundings.sizes = [SizeOnOffer("Standard_D4as_v5", generations="V1")]


def _small_quota(office: SimulatedOffice) -> None:
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 15)


def _small_family(office: SimulatedOffice) -> None:
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 12, "standardDASv5Family")


def _unregistered(office: SimulatedOffice) -> None:
    office.estate.surroundings.provider_states["microsoft.compute"] = "NotRegistered"


def _no_events(office: SimulatedOffice) -> None:
    office.estate.surroundings.topics.clear()


def _no_version(office: SimulatedOffice) -> None:
    office.estate.galleries.definition(office.office.definition_id).versions.clear()


def _elsewhere(office: SimulatedOffice) -> None:
    version = office.office.version_id("3.0.0")
    office.estate.galleries.publish(version, {"northeurope": 1}, location="northeurope")


def _no_trusted_launch(office: SimulatedOffice) -> None:
    office.estate.galleries.definition(office.office.definition_id).security = "ConfidentialVM"


def _no_token(office: SimulatedOffice) -> None:
    office.access.revoke("Microsoft.DesktopVirtualization/hostpools/retrieveRegistrationToken/action")


def _unreadable(office: SimulatedOffice) -> None:
    office.access.revoke("Microsoft.Authorization/permissions/read")


@pytest.mark.parametrize(
    ("spoil", "id", "says"),
    [
        (_managed, "HostPoolManagedByAzure", "Automated"),
        (_personal, "HostPoolPersonal", "single people"),
        (_no_limit, "NoSessionLimit", "999999"),
        (_no_hosts, "NoSessionHosts", "0 session hosts"),
        (_no_subnet, "SubnetMissing", SUBNET),
        (_subnet_elsewhere, "SubnetInOtherRegion", "the subnet is in northeurope"),
        (_size_not_sold, "SizeNotOffered", "Standard_D4as_v5 is not offered in westeurope"),
        (_old_size, "ImageDoesNotFitSize", "starts V1"),
        (_small_quota, "QuotaTooSmall", "need 4 cores of all families in westeurope: 3 of 15 are left"),
        (_small_family, "QuotaTooSmall", "0 of 12 are left"),
        (_unregistered, "ProviderNotRegistered", "Microsoft.Compute is NotRegistered"),
        (_no_events, "NoEventSubscription", "image_published"),
        (_no_version, "NoImageVersion", "no version"),
        (_elsewhere, "ImageNotInRegion", "3.0.0 of win11 is not in westeurope"),
        (_no_trusted_launch, "ImageDoesNotFitSecurity", "ConfidentialVM"),
        (_no_token, "PermissionMissing", "Goldroll Host Pool Operator"),
        (_unreadable, "CouldNotCheck", "Microsoft.Authorization/permissions/read"),
    ],
)
def test_what_is_wrong_in_azure_is_found(
    office: SimulatedOffice, spoil: Callable[[SimulatedOffice], None], id: str, says: str
) -> None:
    spoil(office)

    findings = found(office)

    assert set(ids(findings)) == {id}
    assert says in findings[0].found
    assert (findings[0].severity, findings[0].remedy) == FINDINGS[id]


def test_a_policy_that_names_what_is_not_there_is_found_out(office: SimulatedOffice) -> None:
    gallery, _, image = office.office.definition_id.rpartition("/images/")

    assert ids(found(office, office.whole_policy(host_pool_id=f"{office.pool_id}-2"))) == ["HostPoolMissing"]
    assert "GalleryMissing" in ids(found(office, with_image(office, definition_id=f"{gallery}2/images/{image}")))
    assert ids(found(office, with_image(office, definition_id=f"{gallery}/images/other"))) == ["ImageDefinitionMissing"]


def test_autoscale_must_know_the_tag_of_the_hosts_in_hand(office: SimulatedOffice) -> None:
    (only,) = found(office, office.whole_policy(scaling_exclusion_tag=""))

    assert (only.id, only.severity) == ("ScalingWithoutExclusionTag", "warning")
    assert "excludeFromScaling, the policy has (none)" in only.found


def test_a_window_that_never_opens_is_an_error_and_others_show_their_next_openings(office: SimulatedOffice) -> None:
    policy = office.whole_policy(windows=(SATURDAYS, NEVER))

    assert ids(found(office, policy)) == ["WindowNeverOpens"]
    moments = openings(policy, MONDAY_MORNING)["host pool office"]
    assert [f"{moment:%m-%d %H:%M}" for moment in moments] == [
        "11-28 20:00",
        "12-05 20:00",
        "12-12 20:00",
        "12-19 20:00",
        "12-26 20:00",
    ]


def test_a_rollout_in_place_needs_no_quota(office: SimulatedOffice) -> None:
    _small_quota(office)

    assert found(office, office.whole_policy(strategy="in_place")) == ()


def test_hosts_that_are_retained_count_in_the_quota(office: SimulatedOffice) -> None:
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 23)

    assert found(office) == ()
    (one,) = found(office, office.whole_policy(retain_outdated=hours(48)))
    assert (one.id, one.found) == (
        "QuotaTooSmall",
        "its extra hosts need 12 cores of all families in westeurope: 11 of 23 are left",
    )


def test_pools_of_a_ring_need_the_sum_of_their_quota_as_far_as_they_run_together(office: SimulatedOffice) -> None:
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 19)
    policy = office.whole_policy()
    twin = structs.replace(policy.host_pools[0], name="twin")
    both = structs.replace(policy, host_pools=(*policy.host_pools, twin))

    (one,) = found(office, both)
    assert (one.id, one.severity, one.subject) == ("QuotaTooSmallTogether", "warning", "image win11")
    assert one.found == (
        "2 host pools (office, twin) need at the same time 8 cores of all families in westeurope: 7 of 19 are left"
    )
    ring = RingPolicy(name="all", host_pools=("office", "twin"), concurrency=1)
    one_by_one = structs.replace(both, images=(structs.replace(both.images[0], rings=(ring,)),))
    assert found(office, one_by_one) == ()


def test_a_version_that_will_be_copied_to_the_region_is_no_finding(office: SimulatedOffice) -> None:
    _elsewhere(office)

    assert found(office, with_image(office, replication=ReplicationPolicy(add_regions=True))) == ()


def test_an_option_of_the_policy_asks_for_its_own_permission(office: SimulatedOffice) -> None:
    office.access.revoke("Microsoft.Compute/galleries/images/versions/write")
    office.access.revoke("Microsoft.Compute/galleries/images/versions/delete")

    assert found(office) == ()
    (one,) = found(office, with_image(office, latest="earned"))
    assert "versions/write" in one.found
    both = found(office, with_image(office, retention=RetentionPolicy(mode="apply")))
    assert ids(both) == ["PermissionMissing", "PermissionMissing"]


def test_a_domain_join_asks_for_its_key_vault(office: SimulatedOffice) -> None:
    vault = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv"
    join = ActiveDirectoryJoin(
        domain="corp.contoso.com",
        user="joiner@corp.contoso.com",
        password_secret_url="https://kv.vault.azure.net/secrets/join",
        key_vault_id=vault,
    )
    policy = office.whole_policy(session_host=SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=join))
    office.access.assign(vault, ["Microsoft.Authorization/permissions/read"])

    (one,) = found(office, policy)

    assert (one.id, one.subject) == ("PermissionMissing", vault.lower())
    assert ROLES["key_vault"].title in one.found


def test_wildcards_and_exceptions_of_other_roles_are_understood(office: SimulatedOffice) -> None:
    office.access.assignments.clear()
    office.access.assign(f"/subscriptions/{SUBSCRIPTION}", ["*"], ["Microsoft.Compute/virtualMachines/delete"])

    (one,) = found(office)

    assert (one.id, "Microsoft.Compute/virtualMachines/delete" in one.found) == ("PermissionMissing", True)


def test_a_pool_that_cannot_be_read_does_not_hide_the_others(office: SimulatedOffice) -> None:
    policy = office.whole_policy()
    twin = structs.replace(policy.host_pools[0], name="twin", host_pool_id=f"{office.pool_id}-2")
    office.access.revoke("Microsoft.DesktopVirtualization/hostpools/sessionhosts/read")

    findings = found(office, structs.replace(policy, host_pools=(*policy.host_pools, twin)))

    assert set(ids(findings)) == {"CouldNotCheck", "PermissionMissing", "HostPoolMissing"}


# --------------------------------------------------------------------------------------------------------- the command


def test_the_simulated_office_has_no_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--simulated"]) == 0
    assert "Everything fits: no findings." in capsys.readouterr().out


def test_json_tells_everything_and_the_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDROLL_POLICY", "")  # the command sets it, and the test's end puts it back
    other = tmp_path / "goldroll.yaml"
    other.write_text("images: [", encoding="utf-8")

    assert main(["--simulated", "--json", "--policy", str(other)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"][0]["id"], told["exit_code"]) == ("PolicyInvalid", 1)


def test_an_azure_that_is_out_of_reach_is_no_verdict(office: SimulatedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Any:
        raise ConnectionLost("no route")

    monkeypatch.setattr(office.arm, "handle", lost)

    report = examine(MONDAY_MORNING)

    assert (ids(report.findings), report.exit_code) == (["CouldNotCheck"], 2)


def test_whoever_cannot_be_signed_in_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        def get_token(self, *_: str, **__: Any) -> Any:
            raise ClientAuthenticationError("no identity")

    connect.use(connect.Connection("https://management.azure.com", Nobody()))
    try:
        report = examine(MONDAY_MORNING)
    finally:
        connect.use(None)
    assert (ids(report.findings), report.exit_code) == (["SignInFailed"], 2)


def test_warnings_alone_are_a_success() -> None:
    assert Report((finding("NoImageVersion", "image win11", "none"),)).exit_code == 0
    assert Report((finding("GalleryMissing", "image win11", "none"),)).exit_code == 1


def test_every_finding_is_documented_and_no_other() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Doctor")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(FINDINGS)


def test_a_marketplace_image_has_no_gallery_to_check(office: SimulatedOffice) -> None:
    image = ImagePolicy(name="win11", marketplace=MarketplaceImage(publisher="p", offer="o", sku="s"))
    policy = structs.replace(office.whole_policy(), images=(image,))

    assert found(office, policy) == ()


async def test_a_simulated_azure_over_http_is_checked_like_a_real_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint of `dev.py serve`: no credential is sent there."""
    for name in ("GOLDROLL_POLICY", "GOLDROLL_ARM_ENDPOINT"):
        monkeypatch.setenv(name, "")
    text = policy_text("office", scaling_exclusion_tag="excludeFromScaling")
    file = tmp_path / "goldroll.yaml"
    file.write_text(text, encoding="utf-8")
    estate = Estate(SteppedClock(MONDAY_MORNING), seed=1)
    place = office_pool(estate, 2, 0, name="office", region=REGION, host_prefix=host_prefix("office"))
    furnish(estate, read_policy(text), REGION)
    connect.use(None)
    try:
        async with Server(place, Arm(estate, access=least_privilege(read_policy(text))), port=0) as server:
            code = await asyncio.to_thread(main, ["--endpoint", server.base_url, "--policy", str(file), "--json"])
    finally:
        connect.use(None)

    assert (code, json.loads(capsys.readouterr().out)["findings"]) == (0, [])
