"""Marketplace images and single versions: how their versions are named, compared, chosen and waited for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.candidates import eligible_version, missed_version, newest_version, why_not
from rollout.instance_ids import image_instance, is_image_instance, pool_instance, superseding_version
from rollout.model import (
    ImageVersion,
    definition_of,
    is_marketplace,
    is_outdated,
    short_version,
    version_number,
    version_of,
)
from rollout.policy import ImagePolicy, MarketplaceImage
from rollout.replicas import supply
from rollout.replication import assess
from tests.rollout.builders import MORNING, a_host, version_id

IMAGE = "MicrosoftWindowsDesktop:office-365:win11-24h2-avd-m365"
DEFINITION = version_id("1.0.0").rpartition("/versions/")[0]


def urn(number: str = "26100.4061.250506") -> str:
    return f"{IMAGE}:{number}"


def a_marketplace_image(version: str = "latest", **keys: Any) -> ImagePolicy:
    publisher, offer, sku = IMAGE.split(":")
    source = MarketplaceImage(publisher=publisher, offer=offer, sku=sku, version=version)
    return ImagePolicy(name="office", marketplace=source, **keys)


# ---------------------------------------------------------------------------------------------------- names of versions


def test_a_marketplace_version_is_known_by_its_urn() -> None:
    assert is_marketplace(urn())
    assert is_marketplace(IMAGE)
    assert definition_of(urn()) == definition_of(IMAGE) == IMAGE.lower()
    assert version_number(urn()) == (26100, 4061, 250506)
    assert short_version(urn()) == "26100.4061.250506"
    assert version_of(IMAGE, "26100.4061.250506") == urn()


@pytest.mark.parametrize("text", ["", "a:b", "a:b:c:d", "a:b:c:1.2", "a:b:c:1.2.3:4", "a b:c:d:1.2.3", "a:b:c:latest"])
def test_what_is_no_urn_of_a_version_names_none(text: str) -> None:
    assert version_number(text) is None


def test_a_gallery_version_is_none_of_the_marketplace() -> None:
    assert not is_marketplace(version_id("1.0.0"))
    assert version_of(DEFINITION, "1.0.0") == version_id("1.0.0")


@pytest.mark.parametrize(
    ("have", "outdated"),
    [
        (urn(), False),
        (urn().upper(), False),
        (urn("26100.3000.250101"), True),
        (urn("26200.1.1"), False),  # newer: nothing ever goes back by itself
        (urn().replace("avd-m365", "avd"), True),
        (IMAGE, True),
        (version_id("9.9.9"), True),
        ("", True),
    ],
)
def test_a_host_is_outdated_by_the_image_and_number_that_it_was_made_from(have: str, outdated: bool) -> None:
    assert is_outdated(a_host(image_version_id=have), urn()) is outdated


def test_a_rollout_of_a_marketplace_image_has_an_instance_of_its_own() -> None:
    instance = image_instance(urn())

    assert instance.startswith("image-office-365-win11-24h2-avd-m3")
    assert "-26100.4061.250506-" in instance
    assert is_image_instance(instance)
    assert len(instance) < 60
    assert instance == image_instance(urn().upper())
    assert instance != image_instance(urn().replace("Microsoft", "Other"))
    assert superseding_version(pool_instance(image_instance(urn("26200.1.1")), "office"), urn()) == urn("26200.1.1")


# --------------------------------------------------------------------------------------------------- which version


def test_the_newest_version_of_the_marketplace_is_taken_however_old() -> None:
    versions = [ImageVersion(urn("26100.9.1")), ImageVersion(urn("26100.10.1"))]

    assert newest_version(versions, a_marketplace_image()) == versions[1]
    assert missed_version(versions, a_marketplace_image(), MORNING) == versions[1]
    assert eligible_version(versions, a_marketplace_image(), MORNING, timedelta(0)) == versions[1]


def test_a_fixed_version_of_the_marketplace_is_taken_whatever_is_newer() -> None:
    versions = [ImageVersion(urn("26100.9.1")), ImageVersion(urn("26100.10.1"))]

    assert missed_version(versions, a_marketplace_image("26100.9.1"), MORNING) == versions[0]
    assert missed_version(versions[1:], a_marketplace_image("26100.9.1"), MORNING) is None


def test_the_one_version_that_the_policy_names_is_taken_even_when_it_is_old_or_held_back() -> None:
    only = ImagePolicy(name="office", version_id=version_id("1.0.0"))
    old = ImageVersion(version_id("1.0.0"), exclude_from_latest=True, published_at=MORNING - timedelta(days=300))

    assert only.definition == DEFINITION.lower()
    assert missed_version([old], only, MORNING) == old
    assert why_not(old, [old], only) == ""


def test_another_version_than_the_one_that_the_policy_names_is_not_rolled_out() -> None:
    only = ImagePolicy(name="office", version_id=version_id("1.0.0"))
    newer = ImageVersion(version_id("2.0.0"), published_at=MORNING)

    assert why_not(newer, [newer], only) == "the policy names version 1.0.0 and no other"
    assert missed_version([newer], only, MORNING) is None


def test_the_one_version_is_not_rolled_out_when_it_is_broken() -> None:
    only = ImagePolicy(name="office", version_id=version_id("1.0.0"))
    broken = structs.replace(ImageVersion(version_id("1.0.0")), provisioning="Failed")

    assert missed_version([broken], only, MORNING) is None
    assert "Failed" in why_not(broken, [broken], only)


# ------------------------------------------------------------------------------------------------ nothing to wait for


def test_a_marketplace_image_is_ready_in_every_region_at_once() -> None:
    report = assess(ImageVersion(urn()), ["westeurope", "japaneast"], MORNING, timedelta(hours=6), MORNING)

    assert report.ready == ("westeurope", "japaneast")
    assert report.message == "version 26100.4061.250506 is in the marketplace of every region"


def test_a_marketplace_image_has_no_replicas_to_care_about() -> None:
    assert supply(ImageVersion(urn()), {"westeurope": 500}, 20) == ()
