"""A turn keeps its views and counts up to date however hosts change hands, without looking at every host again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rollout.capacity import count_slots
from rollout.model import HostProgress, SessionHost, Stage
from rollout.turn import HELD_STAGES, Turn
from tests.rollout.builders import MORNING, NEXT, ROLLOUT, a_host, a_policy, a_pool, a_state

HOSTS = [
    a_host("avd-001", sessions=3),
    a_host("avd-002", sessions=1, held_by=ROLLOUT),
    a_host("avd-003", disconnected=2, held_by=ROLLOUT),
    a_host("avd-004", powered_off=True),
    a_host("avd-005", drained=True, sessions=1),
    a_host("avd-006", NEXT, sessions=2),
    a_host("avd-007", NEXT),
    a_host("avd-008", registration=""),
    a_host("avd-009", status="Unavailable"),
    a_host("avd-011", provisioning="Deleting", sessions=1),
]
NAMES = st.sampled_from([*(host.name for host in HOSTS), "avd-010"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "take back"]), NAMES, st.sampled_from(list(Stage)), st.booleans()),
        st.tuples(st.sampled_from(["drop", "skip", "take up", "quarantine", "pass the canary", "look"]), NAMES),
    ),
    max_size=25,
)


@given(CHANGES, st.booleans())
@example([("put", "avd-011", Stage.DRAINING, False)], True)
@example([("quarantine", "avd-006"), ("look", ""), ("take back", "avd-006", Stage.RESTORING, False)], True)
def test_however_hosts_change_hands_a_turn_counts_what_a_new_count_gives(changes, canary_passed) -> None:  # type: ignore[no-untyped-def]
    turn = Turn(a_state(canary_passed=canary_passed), a_pool(HOSTS), a_policy(reserve=20), MORNING)
    turn.slots()
    for kind, name, *how in changes:
        change(turn, kind, name, *how)
    aside = turn.in_hand.keys() | turn.quarantined.keys()
    settled = [
        host for host in HOSTS if host.registration and host.provisioning != "Deleting" and host.name not in aside
    ]
    old = [host for host in settled if turn.is_outdated(host)]
    steered = [host for host in old if host.name not in turn.skipped and turn.is_steered(host)]
    assert turn.settled == settled
    assert turn.current == [host for host in settled if host not in old]
    assert turn.outdated == [host for host in old if host.name not in turn.skipped]
    assert turn.left_alone == [host for host in old if host.name in turn.skipped]
    assert turn.steered == steered
    in_hand = {stage: [n for n, p in turn.in_hand.items() if p.stage is stage] for stage in Stage}
    assert {stage: turn.number_in([stage]) for stage in Stage} == {s: len(names) for s, names in in_hand.items()}
    held = [host for host in HOSTS if is_held(turn.in_hand.get(host.name))]
    counted = count_slots(turn.pool, settled, [*steered, *held], 20)
    assert (turn.slots().free, turn.slots().reserve) == (counted.free, counted.reserve)
    assert (turn.slots().accepting, turn.slots().at_work) == (counted.accepting, counted.at_work)
    drained = [host for host in HOSTS if host.name in in_hand[Stage.STEERING] + in_hand[Stage.DRAINING]]
    drained = [host for host in drained if host.provisioning != "Deleting"]  # somebody else takes it away
    there = [*turn.current, *turn.outdated, *turn.left_alone, *drained]
    assert turn.removable == len(there) - turn.desired + turn.max_unavailable


def change(turn: Turn, kind: str, name: str, stage: Stage = Stage.DRAINING, stays_drained: bool = False) -> None:
    """One thing that a decision may do with a host, where it can be done."""
    if kind == "put":
        turn.put(name, HostProgress(stage=stage, since=MORNING, stays_drained=stays_drained))
    elif kind == "take back" and name in turn.quarantined:
        turn.take_back(name, HostProgress(stage=stage, since=MORNING, stays_drained=stays_drained))
    elif kind == "drop" and name in turn.in_hand:
        turn.drop(name)
    elif kind == "skip":
        turn.skip(name, "GracePeriodEnded")
    elif kind == "take up" and name in turn.skipped:
        turn.take_up_again(name)
    elif kind == "quarantine":
        turn.quarantine(name, "JoinFailed")
    elif kind == "pass the canary":
        turn.canary_passed = True
    elif kind == "look":
        looked: tuple[list[SessionHost], int, int] = turn.steered, turn.slots().free, turn.removable
        assert looked


def is_held(progress: HostProgress | None) -> bool:
    return progress is not None and progress.stage in HELD_STAGES and not progress.stays_drained
