"""Names of orchestrations: the same work always has the same one, other work never."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.instance_ids import (
    LONGEST,
    host_pool_key,
    image_instance,
    is_image_instance,
    is_rollout_of_pool,
    pool_instance,
    retirement_instance,
    superseding_version,
    version_rolled_out,
)

GALLERY = "/subscriptions/s1/resourceGroups/images/providers/Microsoft.Compute/galleries/desktops"
VERSION = f"{GALLERY}/images/Office/versions/2026.11.20"
POOL = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.DesktopVirtualization/hostPools/HP-Office"

ALLOWED = re.compile(r"^[a-z0-9][a-z0-9._():-]*$")

names = st.text("abcXYZ019-_.", min_size=1, max_size=80)


def test_an_instance_is_named_after_what_it_rolls_out() -> None:
    assert re.fullmatch(r"image-desktops-office-2026\.11\.20-[0-9a-f]{6}", image_instance(VERSION))


def test_case_makes_no_difference() -> None:
    assert image_instance(VERSION) == image_instance(VERSION.upper())
    assert host_pool_key(POOL) == host_pool_key(POOL.upper())


def test_galleries_of_one_name_in_two_subscriptions_are_told_apart() -> None:
    assert image_instance(VERSION) != image_instance(VERSION.replace("/s1/", "/s2/"))


def test_hyphens_in_names_cause_no_confusion() -> None:
    one = VERSION.replace("desktops", "a-b").replace("Office", "c")
    other = VERSION.replace("desktops", "a").replace("Office", "b-c")

    assert image_instance(one) != image_instance(other)


def test_a_further_attempt_has_its_number_at_the_end() -> None:
    assert image_instance(VERSION, 2) == f"{image_instance(VERSION)}-2"


@pytest.mark.parametrize("id", ["", "x", VERSION.rpartition("/versions/")[0], f"{VERSION}-preview"])
def test_what_is_no_version_has_no_instance(id: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        image_instance(id)


@given(
    gallery=names,
    image=names,
    attempt=st.integers(1, 99),
    pool=st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
)
def test_ids_are_short_and_plain_enough_for_durable(gallery: str, image: str, attempt: int, pool: str) -> None:
    galleries = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries"
    version = f"{galleries}/{gallery}/images/{image}/versions/1.2.3"
    instance = image_instance(version, attempt)

    assert len(pool_instance(instance, pool)) <= LONGEST
    assert ALLOWED.match(pool_instance(instance, pool))
    assert is_image_instance(instance)
    assert not is_image_instance(pool_instance(instance, pool))
    assert is_rollout_of_pool(pool_instance(instance, pool), pool)


@given(gallery=names, image=names, attempt=st.integers(1, 99))
def test_an_instance_tells_which_version_of_a_definition_it_rolls_out(gallery: str, image: str, attempt: int) -> None:
    definition = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/{gallery}/images/{image}"
    instance = image_instance(f"{definition}/versions/2026.11.20", attempt)

    assert version_rolled_out(instance, definition) == "2026.11.20"
    assert version_rolled_out(instance, definition.upper()) == "2026.11.20"
    assert version_rolled_out(instance, f"{definition}x") == ""
    assert version_rolled_out(pool_instance(instance, "office"), definition) == ""


@given(gallery=names, image=names)
def test_a_definition_has_one_run_of_retirement_and_no_other_has_it(gallery: str, image: str) -> None:
    definition = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/{gallery}/images/{image}"
    instance = retirement_instance(definition)

    assert len(instance) <= LONGEST
    assert ALLOWED.match(instance)
    assert not is_image_instance(instance)
    assert instance == retirement_instance(definition.upper())
    assert instance != retirement_instance(definition.replace("/s/", "/t/"))


@pytest.mark.parametrize("id", ["", "x", POOL])
def test_what_is_no_definition_has_no_run_of_retirement(id: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        retirement_instance(id)


@given(st.text(max_size=300))
def test_every_pool_has_a_key_that_durable_takes(name: str) -> None:
    key = host_pool_key(f"/subscriptions/s/resourceGroups/g/providers/P/hostPools/{name}")

    assert len(f"@host_pool@{key}") <= LONGEST
    assert not re.search(r"[/\\#?@\x00-\x1f]", key)


def test_pools_of_one_name_have_leases_of_their_own() -> None:
    assert host_pool_key(POOL) != host_pool_key(POOL.replace("/rg/", "/rg2/"))
    assert host_pool_key(POOL).startswith("hp-office-")


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (
            pool_instance(image_instance(VERSION.replace("2026.11.20", "3.0.0")), "office"),
            f"{GALLERY}/images/Office/versions/3.0.0",
        ),
        (
            pool_instance(image_instance(VERSION.replace("2026.11.20", "3.0.0"), 2), "office"),
            f"{GALLERY}/images/Office/versions/3.0.0",
        ),
        ("somebody", "somebody"),
    ],
)
def test_the_version_of_a_superseding_rollout_is_known_from_its_id(rollout: str, expected: str) -> None:
    assert superseding_version(rollout, VERSION) == expected
