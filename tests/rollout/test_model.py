"""The nouns: what an id says, which host is outdated, and that everything survives the journey as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import (
    ROLLOUT_TAG,
    Blocked,
    HostPool,
    HostProgress,
    HostShape,
    ImageVersion,
    Phase,
    PoolSnapshot,
    RegionReplica,
    RolloutState,
    SessionHost,
    SessionProgress,
    Stage,
    UserSession,
    Vacancy,
    count_of,
    definition_of,
    is_outdated,
    normalise_region,
    short_version,
    version_number,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DEFINITION = "/subscriptions/5f3a/resourceGroups/rg-images/providers/Microsoft.Compute/galleries/gal/images/office"
VERSION = f"{DEFINITION}/versions/2026.11.20"


def on(version: str, definition: str = DEFINITION) -> SessionHost:
    return SessionHost(name="avd-001", image_version_id=f"{definition}/versions/{version}")


def test_a_version_belongs_to_its_definition_in_any_case() -> None:
    assert definition_of(VERSION) == DEFINITION.lower()
    assert definition_of(VERSION.upper()) == DEFINITION.lower()


def test_a_definition_is_its_own_definition_but_no_version() -> None:
    assert definition_of(DEFINITION) == DEFINITION.lower()
    assert version_number(DEFINITION) is None
    assert short_version(DEFINITION) == DEFINITION


def test_a_version_is_said_by_its_number() -> None:
    assert version_number(VERSION) == (2026, 11, 20)
    assert short_version(VERSION) == "2026.11.20"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "office",
        DEFINITION.rsplit("/", 2)[0],
        f"{DEFINITION}/versions/latest",
        f"{DEFINITION}/versions/1.2",
        f"{DEFINITION}/versions/1.2.3/extra",
        f"{DEFINITION}/versions/",
        "/subscriptions/5f3a/resourceGroups/rg/providers/Microsoft.Compute/images/office",
        "/subscriptions/5f3a/providers/Microsoft.Compute/locations/westus/publishers/x/versions/1.2.3",
    ],
)
def test_what_is_no_gallery_version_has_neither_definition_nor_number(text: str) -> None:
    assert definition_of(text) == ""
    assert version_number(text) is None
    assert short_version(text) == text


@pytest.mark.parametrize(
    ("host", "outdated"),
    [
        (on("2026.11.20"), False),
        (on("2026.11.19"), True),
        (on("2026.9.30"), True),  # by number, not by text
        (on("2026.11.21"), False),  # a rollout never goes back by itself
        (on("2027.1.1"), False),
        (on("2026.11.20", DEFINITION.upper()), False),
        (on("2026.11.21", DEFINITION.replace("office", "kiosk")), True),
        (SessionHost(name="avd-001"), True),
        (SessionHost(name="avd-001", image_version_id="/some/managed/image"), True),
    ],
)
def test_a_host_is_outdated_unless_it_has_this_or_a_newer_version_of_the_definition(
    host: SessionHost, outdated: bool
) -> None:
    assert is_outdated(host, VERSION) is outdated


versions = st.tuples(*(st.integers(min_value=0, max_value=3000),) * 3)


@given(have=versions, want=versions)
def test_outdated_follows_the_order_of_the_numbers(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    target = f"{DEFINITION}/versions/{'.'.join(map(str, want))}"
    assert is_outdated(on(".".join(map(str, have))), target) is (have < want)


def test_the_load_is_what_was_listed_or_counted_whichever_is_more() -> None:
    people = (UserSession("1", "ada"), UserSession("2", "bob"))
    assert SessionHost(name="a", sessions=people, session_count=0).load == 2
    assert SessionHost(name="a", sessions=people, session_count=5).load == 5


@pytest.mark.parametrize(
    ("power", "off"),
    [("running", False), ("deallocated", True), ("stopping", True), ("starting", False), ("", False), ("Odd", False)],
)
def test_only_a_vm_that_is_known_to_be_off_counts_as_off(power: str, off: bool) -> None:
    assert SessionHost(name="a", vm_id="vm", power=power).is_powered_off is off


def test_a_registration_without_a_vm_is_not_powered_off() -> None:
    assert not SessionHost(name="a", registration="r", power="deallocated").is_powered_off


@pytest.mark.parametrize("state", ["Active", "Pending", "LogOff", "Unknown", "", "SomethingNew"])
def test_a_session_in_any_other_state_than_disconnected_counts_as_active(state: str) -> None:
    assert not UserSession("1", "ada", state).is_disconnected
    assert UserSession("1", "ada", "Disconnected").is_disconnected


def test_a_host_is_held_by_the_rollout_on_its_tag_only() -> None:
    host = SessionHost(name="a", tags={ROLLOUT_TAG: "r1"})
    assert host.is_tagged
    assert host.is_held_by("r1")
    assert not host.is_held_by("r2")
    assert not SessionHost(name="a").is_tagged


def test_a_version_has_arrived_when_one_region_is_complete() -> None:
    half = {"westeurope": RegionReplica("Replicating", 50)}
    assert not ImageVersion(VERSION, regions=half).has_arrived_somewhere
    assert ImageVersion(VERSION, regions={**half, "northeurope": RegionReplica("Completed")}).has_arrived_somewhere


@pytest.mark.parametrize("written", ["West Europe", "westeurope", "WESTEUROPE"])
def test_regions_have_one_spelling(written: str) -> None:
    assert normalise_region(written) == "westeurope"


@pytest.mark.parametrize(("count", "text"), [(0, "0 hosts"), (1, "1 host"), (2, "2 hosts")])
def test_counts_are_written_as_people_write_them(count: int, text: str) -> None:
    assert count_of(count, "host") == text


def test_a_pool_survives_the_journey_through_durable_as_json() -> None:
    host = SessionHost(
        name="avd-001",
        vm_id="vm",
        shape=HostShape(location="westeurope", tags={"cost": "12"}, user_identities=("id",)),
        tags={ROLLOUT_TAG: "r1"},
        last_heartbeat=NOW,
        sessions=(UserSession("1", "ada", "Disconnected"),),
    )
    image = ImageVersion(VERSION, published_at=NOW, regions={"westeurope": RegionReplica("Completed", 100)})
    pool = PoolSnapshot(HostPool("id", "office"), NOW, hosts=(host,), names_in_use=("avd-001",), image=image)
    assert msgspec.json.decode(msgspec.json.encode(pool), type=PoolSnapshot) == pool


def test_what_a_rollout_remembers_survives_the_journey_through_durable_as_json() -> None:
    draining = HostProgress(
        Stage.DRAINING, NOW, sessions={"1": SessionProgress(NOW, notices=2, disconnected_since=NOW)}
    )
    state = RolloutState(
        rollout_id="r1",
        pool_id="id",
        target=VERSION,
        started_at=NOW,
        phase=Phase.WAITING_CAPACITY,
        in_hand={"avd-001": draining},
        owed=(Vacancy("avd-000", zone="1", stays_off=True),),
        sick={"avd-002": NOW},
        shapes=(HostShape(vm_size="Standard_D8s_v5"),),
        blocked=Blocked("QuotaExceeded", "no cores are left", since=NOW, retry_at=NOW),
    )
    assert msgspec.convert(msgspec.to_builtins(state), RolloutState) == state
    assert msgspec.json.decode(msgspec.json.encode(state), type=RolloutState) == state


@pytest.mark.parametrize("tail", ["\n", "/", ".4", "0" * 5000])
def test_a_hostile_version_id_names_no_version(tail: str) -> None:
    assert version_number(VERSION + tail) is None
    assert not definition_of(VERSION + tail)
