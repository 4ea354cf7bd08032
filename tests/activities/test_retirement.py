"""The activities of retirement: what is due is planned anew right before it is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from activities.delete_image_version import delete_image_version
from activities.plan_retirement import plan_retirement
from activities.read_running_rollouts import running_rollouts
from activities.update_image_version import update_image_version
from demo.old_versions import CURRENT, FATES, PINNED, fill_gallery
from rollout.instance_ids import image_instance
from rollout.policy import ImagePolicy, RetentionPolicy
from rollout.retention import ChangeVersion, DeleteVersion, RetentionPlan, RetentionStep
from rollout.retirement import RetirementOrder
from simulator.builders import SUBSCRIPTION
from simulator.faults import Site
from simulator.images import ImageVersion
from tests.adapters.office import SimulatedOffice, simulated_office
from tests.triggers.durable import Instances, as_client, function_of


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office with the twelve versions."""
    with simulated_office(current_version=CURRENT) as office:
        fill_gallery(office.office, office.clock(), regions=("northeurope",))
        yield office


def an_order(office: SimulatedOffice, step: RetentionStep | None = None, **fields: Any) -> Any:
    policy = RetentionPolicy(pinned=(PINNED,), rollback_regions=("westeurope",))
    image = ImagePolicy(name="office", definition_id=office.office.definition_id, retention=policy)
    given: dict[str, Any] = {"image": image, "subscriptions": (SUBSCRIPTION,), "now": office.clock(), "step": step}
    return msgspec.to_builtins(RetirementOrder(**{**given, **fields}))


def plan(office: SimulatedOffice, **fields: Any) -> RetentionPlan:
    answer = function_of(plan_retirement)(an_order(office, **fields))
    return msgspec.convert(answer["plan"], RetentionPlan)


def step_for(office: SimulatedOffice, number: str) -> RetentionStep:
    return next(step for step in plan(office).steps if step.version == number)


def change(office: SimulatedOffice, step: RetentionStep, **fields: Any) -> Any:
    return function_of(update_image_version)(an_order(office, step, **fields))


def delete(office: SimulatedOffice, step: RetentionStep, **fields: Any) -> Any:
    return function_of(delete_image_version)(an_order(office, step, **fields))


def version(office: SimulatedOffice, number: str) -> ImageVersion:
    return office.estate.galleries.version(office.office.version_id(number))


def has(office: SimulatedOffice, number: str) -> bool:
    return number in office.estate.galleries.definition(office.office.definition_id).versions


def test_the_plan_holds_the_versions_to_which_something_happens(office: SimulatedOffice) -> None:
    kinds = {ChangeVersion: "change", DeleteVersion: "delete"}

    assert {step.version: kinds[type(step)] for step in plan(office).steps} == {
        number: fate for number, fate in FATES.items() if fate != "keep"
    }


def test_a_version_is_changed_and_then_there_is_nothing_more_to_change(office: SimulatedOffice) -> None:
    step = step_for(office, "1.6.0")
    assert change(office, step) == {}

    changed = version(office, "1.6.0")
    assert (changed.exclude_from_latest, set(changed.replicas)) == (True, {"westeurope"})
    assert changed.end_of_life == office.clock()
    assert "1.6.0" not in {step.version for step in plan(office).steps}
    assert change(office, step) == {}


def test_a_version_is_deleted_and_twice_is_harmless(office: SimulatedOffice) -> None:
    step = step_for(office, "1.0.0")

    assert delete(office, step) == {}
    assert delete(office, step) == {}
    office.wait(minutes=5)
    assert delete(office, step) == {}
    assert not has(office, "1.0.0")


def test_a_vm_made_since_the_plan_saves_the_version(office: SimulatedOffice) -> None:
    step = step_for(office, "1.0.0")
    office.estate.machines.place(office.office.machine_id("late"), office.office.spec_for("late", "1.0.0"))

    assert delete(office, step) == {"skipped": "it is used by 1 VM (late)"}
    office.wait(minutes=5)
    assert has(office, "1.0.0")


def test_a_rollout_begun_since_the_plan_saves_the_version(office: SimulatedOffice) -> None:
    answer = delete(office, step_for(office, "1.0.0"), running={"1.0.0": "image-x"})

    assert answer == {"skipped": "image-x is rolling it out"}


def test_a_list_that_can_no_longer_be_read_saves_the_version(office: SimulatedOffice) -> None:
    step = step_for(office, "1.0.0")
    office.faults.fail_next("LIST", "virtualMachineScaleSets$", Site.SERVER_ERROR)

    assert "is what would follow, but nothing is changed" in delete(office, step)["skipped"]
    assert has(office, "1.0.0")


def test_a_verdict_given_since_the_plan_is_honoured(office: SimulatedOffice) -> None:
    step = step_for(office, "1.4.0")
    # With one good version less above it, 1.8.0 and 1.6.0 and 1.5.0 are kept; 1.4.0 is proven good after all.
    version(office, "1.4.0").tags = {"goldroll-verdict": "good"}
    for number in ("2.0.0", "1.8.0", "1.6.0"):
        version(office, number).tags = {"goldroll-verdict": "vetoed"}

    assert "it is one of the last 3 good versions" in delete(office, step)["skipped"]


def test_another_version_published_under_the_number_is_not_taken_for_the_old_one(office: SimulatedOffice) -> None:
    step = step_for(office, "1.0.0")
    version(office, "1.0.0").published_at = office.clock()

    assert "skipped" in delete(office, step)
    assert has(office, "1.0.0")


def test_a_version_that_is_gone_is_changed_no_more(office: SimulatedOffice) -> None:
    step = step_for(office, "1.6.0")
    office.estate.galleries.delete_version(step.version_id)
    office.wait(minutes=5)

    assert change(office, step) == {"skipped": "there is no such version any more"}


def test_a_refusal_of_azure_is_an_error_as_an_answer(office: SimulatedOffice) -> None:
    step = step_for(office, "1.0.0")
    office.faults.fail_next("DELETE", "versions/1.0.0", Site.THROTTLED)

    assert delete(office, step)["error"]["code"] == "TooManyRequests"


def test_an_order_for_another_activity_is_refused(office: SimulatedOffice) -> None:
    assert delete(office, step_for(office, "1.6.0"))["error"]["code"] == "Unexpected"
    assert has(office, "1.6.0")


def test_versions_that_cannot_be_listed_are_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("LIST", "/versions$", Site.SERVER_ERROR)

    assert "error" in function_of(plan_retirement)(an_order(office))


# ------------------------------------------------------------------------------------------------ running rollouts


DEFINITION = "/subscriptions/s1/resourceGroups/images/providers/Microsoft.Compute/galleries/gal/images/office"
OTHER = DEFINITION.replace("/gal/", "/another/")


async def running(instances: Instances, *numbers: str) -> Any:
    versions = [f"{DEFINITION}/versions/{number}" for number in numbers]
    return await running_rollouts(as_client(instances), DEFINITION, versions)


def an_instance(instances: Instances, number: str, attempt: int = 1, runtime: str = "Running", **fields: Any) -> str:
    id = image_instance(f"{fields.pop('definition', DEFINITION)}/versions/{number}", attempt)
    instances.add(id, runtime=runtime, **fields)
    return id


@pytest.mark.parametrize("runtime", ["Running", "Pending", "Suspended", "ContinuedAsNew"])
async def test_a_rollout_that_has_not_ended_is_running(runtime: str) -> None:
    instances = Instances()
    id = an_instance(instances, "1.2.3", runtime=runtime)

    assert (await running(instances, "1.2.3")).running == {"1.2.3": id}


@pytest.mark.parametrize("runtime", ["Completed", "Failed", "Terminated", "Canceled"])
async def test_a_rollout_that_has_ended_is_not(runtime: str) -> None:
    instances = Instances()
    an_instance(instances, "1.2.3", runtime=runtime)

    assert (await running(instances, "1.2.3")).running == {}


async def test_a_later_attempt_is_found_although_durable_has_forgotten_the_first_and_lists_nothing() -> None:
    instances = Instances()
    id = an_instance(instances, "1.2.3", attempt=2)
    instances.lists_nothing = True

    assert (await running(instances, "1.2.3")).running == {"1.2.3": id}


async def test_a_rollout_of_a_version_that_is_not_asked_about_is_found_by_the_list() -> None:
    instances = Instances()
    id = an_instance(instances, "9.9.9")

    assert (await running(instances)).running == {"9.9.9": id}


async def test_rollouts_of_another_definition_and_of_pools_are_left_out() -> None:
    instances = Instances()
    id = an_instance(instances, "1.2.3", definition=OTHER)
    instances.add(f"{id}:office", name="roll_host_pool")
    instances.add("retire-gal-office-abcdef", name="retire_image_versions")

    found = await running(instances, "1.2.3")
    assert (found.running, found.unreadable) == ({}, ())


async def test_a_rollout_that_somebody_started_under_another_id_cannot_be_read() -> None:
    instances = Instances()
    instances.add("0f8fad5bd9cb469fa165", name="roll_out_image")

    assert (await running(instances)).unreadable == (
        "the rollout 0f8fad5bd9cb469fa165 does not say in its id what it rolls out",
    )
