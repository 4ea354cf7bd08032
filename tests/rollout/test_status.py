"""What is shown of a pool's rollout fits into what Durable keeps, however large the pool is."""

from __future__ import annotations

import msgspec

from rollout.model import HostProgress, Phase, SessionProgress, Stage
from rollout.policy import hours, minutes
from rollout.status import PoolStatus, pool_status
from tests.rollout.builders import MORNING, a_drain, a_state


def test_a_status_counts_what_is_in_hand_and_says_why() -> None:
    in_hand = {f"avd-{n}": HostProgress(Stage.DRAINING if n else Stage.VERIFYING, MORNING) for n in range(3)}
    state = a_state(phase=Phase.ROLLING, message="rolling", desired=12, in_hand=in_hand, forced_sign_outs=2)

    status = pool_status("office", state, MORNING)

    assert status.in_hand == {"Draining": 2, "Verifying": 1}
    assert (status.version, status.desired, status.forced_sign_outs) == ("2.0.0", 12, 2)
    assert (status.phase, status.message, status.next) == (Phase.ROLLING, "rolling", MORNING)


def test_the_status_of_a_large_pool_in_trouble_stays_small() -> None:
    names = [f"avd-{n:04}" for n in range(1000)]
    people = [{"1": SessionProgress(deadline=MORNING + n * minutes(7))} for n in range(len(names))]
    state = a_state(
        message="x" * 50_000,
        in_hand={
            name: HostProgress(Stage.DRAINING, MORNING, asked=True, sessions=told)
            for name, told in zip(names, people, strict=True)
        },
        skipped=dict.fromkeys(names, "GracePeriodEnded"),
        quarantined=dict.fromkeys(names, "NotReadyInTime"),
    )

    status = pool_status("office", state, MORNING)
    encoded = msgspec.json.encode(status)

    # Durable counts UTF-16: two bytes for each character.
    assert 2 * len(encoded) < 16_000
    assert msgspec.json.decode(encoded, type=PoolStatus).pool == "office"
    # Those with the next deadlines are told, as many as there is room for.
    assert 50 < len(status.draining) < len(names)
    assert list(status.draining.values()) == names[: len(status.draining)]


def test_a_status_tells_by_when_people_are_to_have_left_each_host() -> None:
    """A wave has one deadline, so that a quarter of a thousand hosts fits."""
    told = {f"avd-weu-{n:04}": a_drain(told={"1": MORNING + hours(8), "2": MORNING}) for n in range(250)}
    late = {"avd-weu-0250": a_drain(told={"1": MORNING + hours(9)}), "avd-weu-0251": a_drain()}
    steering = {"avd-weu-0252": HostProgress(Stage.STEERING, MORNING)}

    status = pool_status("office", a_state(in_hand={**told, **late, **steering}))

    assert {deadline: len(names.split()) for deadline, names in status.draining.items()} == {
        "": 1,
        "2026-11-20T16:00:00Z": 250,
        "2026-11-20T17:00:00Z": 1,
    }
    assert 2 * len(msgspec.json.encode(status)) < 16_000


def test_more_sign_outs_than_people_are_told() -> None:
    state = a_state(forced_sign_outs=3, signed_out=("1a2b3c", "4d5e6f"))

    assert pool_status("office", state).signed_out_twice == 1
    assert pool_status("office", a_state(forced_sign_outs=1, signed_out=("1a2b3c", "4d5e6f"))).signed_out_twice == 0


def test_a_rollout_before_its_first_turn_has_no_hosts_yet() -> None:
    assert pool_status("office", a_state()).desired == 0
