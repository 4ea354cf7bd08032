"""Replicas during a rollout: raised before its pools start, put back at the end whatever the end is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.assignments import ImageRollout
from rollout.model import Phase
from rollout.policy import ImagePolicy, ReplicationPolicy
from tests.orchestrators.stage import Crash, Later, Play, Played
from tests.orchestrators.test_roll_out_image import INSTANCE, VERSION, ended
from tests.rollout.builders import POOL_ID, a_policy

REFUSED = {"error": {"code": "AuthorizationFailed", "message": "no write access", "retriable": False}}
BUSY = {"error": {"code": "Conflict", "message": "busy", "retriable": True}}


def a_rollout(*pools: str, raise_replicas: bool = True) -> Any:
    image = ImagePolicy(
        name="office",
        definition_id=VERSION.rpartition("/versions/")[0],
        replication=ReplicationPolicy(raise_replicas=raise_replicas),
    )
    wide = {"surge": "100%", "max_creating": 200}
    policies = tuple(a_policy(name=name, host_pool_id=f"{POOL_ID}-{name}", **wide) for name in pools)
    return msgspec.to_builtins(ImageRollout(VERSION, image, policies))


class Gallery:
    """A version with two replicas, and what it answers when they are to be changed."""

    def __init__(self, *answers: Any) -> None:
        self.replicas = 2
        self.answers = list(answers)

    def read(self, _: Any) -> Any:
        regions = {"westeurope": {"state": "Completed", "replicas": self.replicas}}
        return {"version": {"id": VERSION, "regions": regions}}

    def set(self, order: Any) -> Any:
        if self.answers and (answer := self.answers.pop(0)) is not None:
            return answer
        wanted = order["replicas"]["westeurope"]
        if order.get("only_if", {}).get("westeurope", self.replicas) != self.replicas or wanted == self.replicas:
            return {"before": {}}
        before, self.replicas = self.replicas, wanted
        return {"before": {"westeurope": before}}


def play(gallery: Gallery, rollout: Any, pools: Any = None, hosts: int = 100) -> Played:
    answers = {
        "read_image_version": gallery.read,
        "read_pool_regions": lambda _: {"regions": ["westeurope"], "hosts": {"westeurope": hosts}},
        "set_replicas": gallery.set,
        "roll_host_pool": pools or ended(Phase.SUCCEEDED, timedelta(hours=2)),
    }
    return Play("roll_out_image", answers, INSTANCE).play(rollout)


def changes(played: Played) -> list[tuple[int, int]]:
    """Each change of the replicas that was asked for: from, to."""
    orders = played.called("set_replicas")
    return [(order["only_if"]["westeurope"], order["replicas"]["westeurope"]) for order in orders]


def creating(played: Played) -> list[int]:
    """`max_creating` of each pool as it was started."""
    return [given["policy"].get("max_creating", 20) for given in played.called("roll_host_pool")]


def test_they_are_raised_before_the_pools_start_and_put_back_at_the_end() -> None:
    gallery = Gallery()
    played = play(gallery, a_rollout("one", "two"))

    assert [name for name in played.names if name != "read_pool_regions"] == [
        "read_image_version",
        "set_replicas",
        "roll_host_pool",
        "roll_host_pool",
        "set_replicas",
    ]
    assert changes(played) == [(2, 10), (10, 2)]
    assert creating(played) == [200, 200]
    assert gallery.replicas == 2
    assert played.output["phase"] == Phase.SUCCEEDED


@pytest.mark.parametrize("end", [Phase.HALTED, Phase.FAILED, Phase.SUPERSEDED])
def test_they_are_put_back_whatever_the_end_is(end: Phase) -> None:
    gallery = Gallery()
    play(gallery, a_rollout("one"), ended(end))

    assert gallery.replicas == 2


def test_they_are_put_back_when_a_pools_orchestration_dies() -> None:
    gallery = Gallery()
    play(gallery, a_rollout("one"), lambda _: Later(timedelta(minutes=5), Crash("out of memory")))

    assert gallery.replicas == 2


def test_enough_replicas_are_not_touched() -> None:
    assert changes(play(Gallery(), a_rollout("one"), hosts=40)) == []


def test_without_leave_they_are_not_touched_and_fewer_hosts_are_made_at_once() -> None:
    played = play(Gallery(), a_rollout("one", "two", raise_replicas=False))

    assert changes(played) == []
    assert creating(played) == [20, 20]


def test_when_azure_refuses_fewer_hosts_are_made_at_once_and_nothing_is_put_back() -> None:
    played = play(Gallery(REFUSED), a_rollout("one"))

    assert changes(played) == [(2, 5)]
    assert creating(played) == [40]
    assert played.output["phase"] == Phase.SUCCEEDED


def test_putting_back_is_tried_again_while_azure_is_busy() -> None:
    gallery = Gallery(None, BUSY, BUSY)
    played = play(gallery, a_rollout("one"))

    assert changes(played) == [(2, 5), (5, 2), (5, 2), (5, 2)]
    assert gallery.replicas == 2
    assert played.ended_at - played.calls[-3][0] >= timedelta(minutes=4)


def test_what_azure_never_puts_back_does_not_keep_the_rollout_from_ending() -> None:
    played = play(Gallery(None, *[BUSY] * 20), a_rollout("one"))

    assert len(changes(played)) == 1 + 5
    assert played.output["phase"] == Phase.SUCCEEDED


def test_what_somebody_else_has_changed_is_left_to_them() -> None:
    gallery = Gallery()

    def roll(given: Any) -> Any:
        gallery.replicas = 30
        return ended(Phase.SUCCEEDED)(given)

    play(gallery, a_rollout("one"), roll)

    assert gallery.replicas == 30
