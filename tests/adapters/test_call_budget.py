"""The app waits before Azure tells it to: what is left is read from the answers, through the real client libraries."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from datetime import timedelta

import pytest

from adapters import connect, session_hosts, virtual_machines
from adapters.call_budget import ARM_BUCKETS, COMPUTE_BUCKETS, REST_SECONDS, CallBudget
from adapters.errors import StepFailed
from rollout.pool import start
from rollout.steps import DEFERRED, NotifySessions
from rollout.travelling import pack, unpack
from simulator.arm import Arm
from simulator.faults import Site
from simulator.throttling import ARM_BUCKETS as SIMULATED
from simulator.throttling import COMPUTE_PER_SUBSCRIPTION
from simulator.transport import AnyoneCredential, transport_to
from tests.activities.orders import carry_out, run
from tests.adapters.office import ROLLOUT, SimulatedOffice

MANAGER = "https://management.azure.com"
VM = f"{MANAGER}/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/avd-000"


@pytest.fixture
def throttled(office: SimulatedOffice) -> Iterator[SimulatedOffice]:
    """The office behind an Azure that throttles, on the office's own clock."""
    office.arm = Arm(office.estate, throttled=True)  # type: ignore[assignment]
    before = connect.connection()
    transport = transport_to(office.arm)
    connect.use(connect.Connection(MANAGER, AnyoneCredential(), transport, clock=lambda: office.clock().timestamp()))
    yield office
    connect.use(before)


def read_until_refused(office: SimulatedOffice) -> StepFailed:
    for _ in range(300):
        try:
            session_hosts.read_pool(office.pool_id)
        except StepFailed as failed:
            return failed
    raise AssertionError("it went on and on")


def test_reads_stop_before_azure_refuses_one(throttled: SimulatedOffice) -> None:
    failed = read_until_refused(throttled)

    assert (failed.error.code, failed.error.retry_after) == (DEFERRED, REST_SECONDS)
    assert throttled.arm.statuses[429] == 0
    assert throttled.arm.calls.total() == 225


def test_a_call_that_is_put_off_is_told_to_the_log(
    throttled: SimulatedOffice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "goldroll")
    read_until_refused(throttled)

    assert caplog.messages == ["throttled: a call is put off: Azure takes few more reads calls for now"]


def test_after_the_time_that_it_says_there_are_calls_again(throttled: SimulatedOffice) -> None:
    read_until_refused(throttled)
    throttled.wait(seconds=REST_SECONDS)

    assert session_hosts.read_pool(throttled.pool_id).name == "hp-office"


def test_a_bucket_that_is_short_leaves_the_others_alone(throttled: SimulatedOffice) -> None:
    host = throttled.host("avd-000")
    read_until_refused(throttled)

    session_hosts.set_drain_mode(host.registration, on=True)

    assert throttled.arm.calls["sessionHosts.patch"] == 1


def test_lists_of_vms_stop_before_compute_refuses_one(throttled: SimulatedOffice) -> None:
    group = f"/subscriptions/{throttled.office.subscription}/resourceGroups/{throttled.office.group}"

    def list_and_wait() -> int:
        # Resource Manager gives back twenty-five reads a second, Compute five lists.
        throttled.wait(seconds=0.05)
        return len(virtual_machines.list_in_group(group))

    for _ in range(1000):
        list_and_wait()
    with pytest.raises(StepFailed, match=f"{DEFERRED}.*HighCostGet"):
        deque((list_and_wait() for _ in range(200)), maxlen=0)
    assert throttled.arm.statuses[429] == 0


def test_a_step_that_was_not_sent_is_put_off_with_the_time_to_wait(throttled: SimulatedOffice) -> None:
    host = throttled.host("avd-000")
    for _ in range(170):
        session_hosts.set_drain_mode(host.registration, on=True)
    people = tuple(str(number) for number in range(30))

    answer = carry_out(throttled, NotifySessions(host.name, host.registration, people, "title", "body", "a test"))

    assert answer["error"]["code"] == DEFERRED
    assert answer["error"]["retry_after"] == REST_SECONDS
    assert 0 < len(answer["left"]) < 30
    assert throttled.arm.statuses[429] == 0


def test_a_turn_without_calls_left_is_taken_again_later(throttled: SimulatedOffice) -> None:
    office = throttled.office
    state = start(ROLLOUT, throttled.pool_id, office.version_id("2.0.0"), throttled.clock())
    read_until_refused(throttled)

    turn = {"state": pack(state), "policy": throttled.policy(), "now": throttled.clock()}
    decision = run("decide_turn", turn)["decision"]

    assert unpack(decision["state"]).unreadable == 1
    assert "wake_at" in decision


def test_an_answer_that_says_to_wait_is_no_news_for_other_steps(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "virtualMachines", Site.THROTTLED)
    with pytest.raises(StepFailed, match="TooManyRequests"):
        virtual_machines.provisioning_state(office.office.machine_id("avd-000"))

    assert virtual_machines.provisioning_state(office.office.machine_id("avd-001")) == "Succeeded"


def test_the_figures_are_those_that_azure_is_simulated_with() -> None:
    assert {name: tuple(bucket) for name, bucket in ARM_BUCKETS.items()} == SIMULATED
    simulated = {name: bucket for name, bucket in COMPUTE_PER_SUBSCRIPTION.items() if name != "GetOperation"}
    assert {name: tuple(bucket) for name, bucket in COMPUTE_BUCKETS.items()} == simulated


@pytest.mark.parametrize(
    ("method", "url", "policy"),
    [
        ("GET", VM, "LowCostGet"),
        ("GET", f"{VM}/instanceView", "LowCostGet"),
        ("GET", VM.rpartition("/")[0], "HighCostGet"),
        (
            "GET",
            f"{MANAGER}/subscriptions/s/providers/Microsoft.Compute/virtualMachines?statusOnly=true",
            "HighCostGet",
        ),
        ("PUT", VM, "PutVM"),
        ("PUT", f"{VM}/extensions/agent", "UpdateVM"),
        ("PATCH", VM, "UpdateVM"),
        ("POST", f"{VM}/deallocate", "DeleteVM"),
        ("DELETE", VM, "DeleteVM"),
    ],
)
def test_each_call_counts_against_the_policy_that_compute_counts_it_against(method: str, url: str, policy: str) -> None:
    budget = CallBudget(lambda: 0.0)
    budget.learn(url, {"x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{policy};3, Microsoft.Compute/New;x"})

    with pytest.raises(StepFailed, match=policy):
        budget.spend(method, url)


def test_headers_that_make_no_sense_change_nothing() -> None:
    budget = CallBudget(lambda: 0.0)
    told = {
        "x-ms-ratelimit-remaining-subscription-reads": "plenty",
        "x-ms-ratelimit-remaining-resource": ";;,7",
        "x-ms-ratelimit-remaining-subscription-resource-requests": "0",
    }
    budget.learn(VM, told)

    budget.spend("GET", VM)


def test_all_identities_together_have_a_bucket_too() -> None:
    budget = CallBudget(lambda: 0.0)
    budget.learn(VM, {"X-Ms-Ratelimit-Remaining-Subscription-Global-Writes": "299"})

    with pytest.raises(StepFailed, match=DEFERRED):
        budget.spend("PATCH", VM)
    budget.spend("GET", VM)


def test_another_subscription_has_buckets_of_its_own() -> None:
    budget = CallBudget(lambda: timedelta(0).total_seconds())
    budget.learn(VM, {"x-ms-ratelimit-remaining-subscription-writes": "1"})

    budget.spend("PATCH", VM.replace("/s/", "/t/"))
