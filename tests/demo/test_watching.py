"""The invariants bite on the whole app as well: what a rollout must never do is seen, and told in a sentence."""

from __future__ import annotations

from datetime import timedelta

from demo.policies import policy_text
from demo.scenario import MORNING, Stage
from demo.watching import InvariantWatch
from localhost import ActivityCall
from rollout.instance_ids import image_instance, pool_instance
from rollout.policy_file import read_policy
from simulator.builders import Office
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.galleries import Takes

ROLLOUT = "rollout"


class Stand:
    """Two pools on a Monday noon, watched; `acts` lets the rollout of the first do something."""

    def __init__(self) -> None:
        self.clock = SteppedClock(MORNING + timedelta(hours=4))
        self.estate = Estate(self.clock)
        self.stage = Stage(self.estate, MORNING)
        self.office: Office = self.stage.office("office", hosts=3)
        self.other: Office = self.stage.office("uk", hosts=2)
        self.version = self.office.version_id("2.0.0")
        self.stage.published.append(self.version)
        self.office.publish("2.0.0", takes={self.office.region: Takes(timedelta(0))})
        self.watch = InvariantWatch(self.stage, read_policy(policy_text("office", "uk")))

    def begins(self, activity: str) -> None:
        instance = pool_instance(image_instance(self.version), "office")
        self.watch.begins(ActivityCall(instance, activity, 1, "{}", 1))


def test_a_rollout_that_strays_into_another_pool_is_seen() -> None:
    stand = Stand()
    stand.begins("start_draining")
    with stand.estate.acting_as(ROLLOUT):
        stand.estate.hosts.update(stand.other.pool_id, "avd-uk-000", allow_new_session=False)
    (violation,) = stand.watch.violations
    assert violation.startswith("office: StaysInScope")


def test_somebody_signed_out_without_any_notice_is_seen() -> None:
    stand = Stand()
    host = next(host for host in stand.office.pool.hosts.values() if host.sessions)
    stand.begins("sign_out_sessions")
    with stand.estate.acting_as(ROLLOUT):
        stand.estate.sessions.sign_out(stand.office.pool_id, host.name, next(iter(host.sessions)))
    (violation,) = stand.watch.violations
    assert "GraceKept" in violation
    assert "without any notice" in violation


def test_a_host_removed_under_its_people_is_seen() -> None:
    stand = Stand()
    host = next(host for host in stand.office.pool.hosts.values() if host.sessions)
    stand.begins("remove_host")
    with stand.estate.acting_as(ROLLOUT):
        stand.estate.machines.delete(host.machine_id)
    assert any("NobodyCutOff" in violation for violation in stand.watch.violations)


def test_a_vm_of_another_version_than_the_pinned_one_is_seen() -> None:
    stand = Stand()
    stand.begins("provision_host")
    with stand.estate.acting_as(ROLLOUT):
        stand.estate.machines.put(stand.office.machine_id("avd-100"), stand.office.spec_for("avd-100", "1.0.0"))
    assert any("TargetPinned" in violation for violation in stand.watch.violations)


def test_what_an_administrator_does_is_no_violation() -> None:
    stand = Stand()
    stand.begins("decide_nothing")
    stand.estate.hosts.update(stand.other.pool_id, "avd-uk-000", allow_new_session=False)
    stand.estate.machines.delete(stand.office.machine_id("avd-000"))
    assert stand.watch.violations == []
