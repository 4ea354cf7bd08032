"""What is shown of a pool's rollout fits into what Durable keeps, however large the pool is."""

from __future__ import annotations

import msgspec

from rollout.model import HostProgress, Phase, Stage
from rollout.status import PoolStatus, pool_status
from tests.rollout.builders import MORNING, a_state


def test_a_status_counts_what_is_in_hand_and_says_why() -> None:
    in_hand = {f"avd-{n}": HostProgress(Stage.DRAINING if n else Stage.VERIFYING, MORNING) for n in range(3)}
    state = a_state(phase=Phase.ROLLING, message="rolling", desired=12, in_hand=in_hand, forced_sign_outs=2)

    status = pool_status("office", state, MORNING)

    assert status.in_hand == {"Draining": 2, "Verifying": 1}
    assert (status.version, status.desired, status.forced_sign_outs) == ("2.0.0", 12, 2)
    assert (status.phase, status.message, status.next) == (Phase.ROLLING, "rolling", MORNING)


def test_the_status_of_a_large_pool_in_trouble_stays_small() -> None:
    names = [f"avd-{n:04}" for n in range(1000)]
    state = a_state(
        message="x" * 50_000,
        in_hand={name: HostProgress(Stage.DRAINING, MORNING) for name in names},
        skipped=dict.fromkeys(names, "GracePeriodEnded"),
        quarantined=dict.fromkeys(names, "NotReadyInTime"),
    )

    encoded = msgspec.json.encode(pool_status("office", state, MORNING))

    # Durable counts UTF-16: two bytes for each character.
    assert 2 * len(encoded) < 16_000
    assert msgspec.json.decode(encoded, type=PoolStatus).pool == "office"


def test_a_rollout_before_its_first_turn_has_no_hosts_yet() -> None:
    assert pool_status("office", a_state()).desired == 0
