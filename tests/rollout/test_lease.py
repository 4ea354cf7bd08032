"""The lease of a host pool: who may work on it, who waits, who is told to finish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.lease import EXPIRES_AFTER, ROLL_BACK, Lease, LeaseAnswer, acquire, check_in, release

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GALLERY = "/subscriptions/5f3a/resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images"


def version(number: int, definition: str = "office") -> str:
    return f"{GALLERY}/{definition}/versions/1.0.{number}"


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def ask(
    lease: Lease, rollout: str, target: str, on_newer: str = "supersede", now: datetime = NOW
) -> tuple[Lease, LeaseAnswer]:
    return acquire(lease, rollout, target, on_newer, now)


def held_by(rollout: str, target: str, now: datetime = NOW) -> Lease:
    lease, answer = ask(Lease(), rollout, target, now=now)
    assert answer.verdict == "granted"
    return lease


def test_a_free_pool_is_granted() -> None:
    lease, answer = ask(Lease(), "r1", version(1))
    assert (answer.verdict, answer.fence, answer.superseded_by) == ("granted", 1, "")
    assert (lease.holder, lease.target, lease.renewed_at) == ("r1", version(1), NOW)


def test_the_holder_may_ask_again_which_only_renews_the_lease() -> None:
    lease, answer = ask(held_by("r1", version(1)), "r1", version(1), now=later(10))
    assert (answer.verdict, answer.fence) == ("granted", 1)
    assert lease.renewed_at == later(10)


def test_a_newer_version_waits_and_the_holder_learns_it_at_its_next_check_in() -> None:
    lease, answer = ask(held_by("r1", version(1)), "r2", version(2))
    assert answer.verdict == "waiting"
    assert "1.0.1 finishes what it has in hand, then 1.0.2 goes on" in answer.message
    lease, answer = check_in(lease, "r1", later(1))
    assert (answer.verdict, answer.superseded_by) == ("granted", "r2")


def test_the_newer_version_goes_on_when_the_holder_has_given_the_pool_back() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2))
    lease, _ = release(lease, "r1")
    lease, answer = ask(lease, "r2", version(2), now=later(2))
    assert (answer.verdict, answer.fence, answer.superseded_by) == ("granted", 2, "")
    assert check_in(lease, "r1", later(3))[1].verdict == "lost"


def test_the_newest_waiter_wins_and_the_displaced_one_is_refused_with_the_reason() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2))
    lease, answer = ask(lease, "r3", version(3))
    assert answer.verdict == "waiting"
    assert check_in(lease, "r1", NOW)[1].superseded_by == "r3"
    lease, answer = ask(lease, "r2", version(2))
    assert (answer.verdict, answer.superseded_by) == ("refused", "r3")
    assert "1.0.2 is older than 1.0.3" in answer.message


def test_a_waiter_displaced_meanwhile_is_refused_when_the_newer_version_holds_the_pool() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2))
    lease, _ = ask(lease, "r3", version(3))
    lease, _ = release(lease, "r1")
    lease, answer = ask(lease, "r3", version(3))
    assert answer.verdict == "granted"
    assert ask(lease, "r2", version(2))[1].verdict == "refused"


def test_with_wait_a_newer_version_waits_without_superseding() -> None:
    lease, answer = ask(held_by("r1", version(1)), "r2", version(2), on_newer="wait")
    assert answer.verdict == "waiting"
    assert check_in(lease, "r1", NOW)[1].superseded_by == ""


def test_a_word_that_is_not_known_waits_because_that_harms_nobody() -> None:
    lease, answer = ask(held_by("r1", version(1)), "r2", version(2), on_newer="conquer")
    assert answer.verdict == "waiting"
    assert check_in(lease, "r1", NOW)[1].superseded_by == ""


def test_with_wait_rollouts_get_the_pool_in_the_order_in_which_they_asked() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2), "wait")
    lease, _ = ask(lease, "r3", version(3), "wait")
    lease, _ = release(lease, "r1")
    lease, answer = ask(lease, "r3", version(3), "wait")
    assert answer.verdict == "waiting"
    assert "r2 has waited for the host pool for longer" in answer.message
    lease, answer = ask(lease, "r2", version(2), "wait")
    assert answer.verdict == "granted"


@pytest.mark.parametrize("on_newer", ["supersede", "wait"])
def test_an_older_version_is_refused_while_a_newer_one_is_in_hand(on_newer: str) -> None:
    lease, answer = ask(held_by("r2", version(2)), "r1", version(1), on_newer)
    assert answer.verdict == "refused"
    assert "1.0.1 is older than 1.0.2, which rollout r2 rolls out" in answer.message
    assert lease.waiting == ()


def test_the_same_version_under_another_rollout_is_refused_in_any_case_of_its_id() -> None:
    _, answer = ask(held_by("r1", version(1)), "again", version(1).upper())
    assert (answer.verdict, answer.superseded_by) == ("refused", "")
    assert "rollout r1 rolls version 1.0.1 out to this host pool already" in answer.message


def test_a_version_of_another_definition_waits_for_its_turn() -> None:
    lease, answer = ask(held_by("r1", version(1)), "kiosk", version(9, "kiosk"))
    assert answer.verdict == "waiting"
    assert check_in(lease, "r1", NOW)[1].superseded_by == ""


def test_a_target_that_is_no_gallery_version_waits_rather_than_supersedes() -> None:
    lease, answer = ask(held_by("r1", version(1)), "odd", "not an id")
    assert answer.verdict == "waiting"
    assert check_in(lease, "r1", NOW)[1].superseded_by == ""


def test_a_newer_version_is_no_successor_of_another_definition_that_got_the_pool_first() -> None:
    lease, _ = ask(held_by("r1", version(1)), "kiosk", version(1, "kiosk"))
    lease, _ = ask(lease, "r2", version(2))
    lease, _ = release(lease, "r1")
    lease, answer = ask(lease, "kiosk", version(1, "kiosk"))
    assert (answer.verdict, answer.superseded_by) == ("granted", "")


def test_an_expired_lease_is_taken_over_and_its_holder_is_told_that_it_lost_it() -> None:
    lease, answer = ask(held_by("r1", version(1)), "r2", version(2), now=NOW + EXPIRES_AFTER)
    assert (answer.verdict, answer.fence) == ("granted", 2)
    lease, answer = check_in(lease, "r1", later(61))
    assert (answer.verdict, answer.fence) == ("lost", 2)
    assert "r2 holds the host pool" in answer.message


def test_a_lease_that_is_renewed_does_not_expire() -> None:
    lease, _ = check_in(held_by("r1", version(1)), "r1", later(59))
    assert ask(lease, "r2", version(2), now=later(118))[1].verdict == "waiting"


def test_a_holder_that_comes_back_late_keeps_the_pool_if_nobody_took_it() -> None:
    lease, answer = check_in(held_by("r1", version(1)), "r1", later(600))
    assert (answer.verdict, answer.fence) == ("granted", 1)
    assert lease.renewed_at == later(600)


def test_a_waiter_that_stopped_asking_neither_supersedes_nor_blocks() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r3", version(3))
    lease, _ = check_in(lease, "r1", later(59))
    lease, answer = check_in(lease, "r1", later(61))
    assert answer.superseded_by == ""
    assert ask(lease, "r2", version(2), now=later(62))[1].verdict == "waiting"


def test_a_waiter_may_give_up_its_place() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2))
    lease, _ = release(lease, "r2")
    assert lease == held_by("r1", version(1))


def test_giving_back_what_somebody_else_holds_changes_nothing() -> None:
    held = held_by("r1", version(1))
    lease, answer = release(held, "r2")
    assert lease == held
    assert answer.verdict == "lost"


def test_checking_in_at_a_free_pool_is_lost() -> None:
    lease, answer = check_in(Lease(), "r1", NOW)
    assert (lease, answer.verdict) == (Lease(), "lost")
    assert "nobody holds the host pool" in answer.message


def test_a_clock_that_steps_back_does_not_shorten_the_lease() -> None:
    lease, _ = check_in(held_by("r1", version(1)), "r1", later(-30))
    assert lease.renewed_at == NOW


@pytest.mark.parametrize(
    "stored",
    [
        {"holder": "r1"},
        {"renewed_at": "2026-11-20T12:00:00Z"},
        {"holder": "r1", "renewed_at": "2026-11-20T12:00:00Z", "frozen": True},
        {"holder": 7},
        {"waiting": [{"rollout": "r2"}]},
        ["r1"],
        "r1",
    ],
)
def test_a_stored_lease_of_another_shape_does_not_decode(stored: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(stored, Lease)


def test_a_lease_survives_storage() -> None:
    lease, _ = ask(held_by("r1", version(1)), "r2", version(2))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(lease)), Lease) == lease


ROLLOUTS = {f"r{number}{kind[0]}": version(number, kind) for number in (1, 2, 3) for kind in ("office", "kiosk")}

calls = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "acquire", "check_in", "release"]),
        st.sampled_from(sorted(ROLLOUTS)),
        st.sampled_from(["supersede", "wait"]),
        st.sampled_from([0, 2, 30, 59, 61]),
    ),
    max_size=40,
)


@given(calls)
def test_at_any_time_one_rollout_holds_the_pool_and_the_fence_tells_holders_apart(
    history: list[tuple[str, str, str, int]],
) -> None:
    lease, now = Lease(), NOW
    fences: dict[int, str] = {}
    for operation, rollout, on_newer, minutes in history:
        now += timedelta(minutes=minutes)
        before = lease
        if operation == "acquire":
            lease, answer = acquire(lease, rollout, ROLLOUTS[rollout], on_newer, now)
        elif operation == "check_in":
            lease, answer = check_in(lease, rollout, now)
        else:
            lease, answer = release(lease, rollout)
        if answer.verdict == "granted":
            assert lease.holder == rollout
            assert fences.setdefault(answer.fence, rollout) == rollout
            expired = before.renewed_at is not None and now - before.renewed_at >= EXPIRES_AFTER
            assert before.holder in ("", rollout) or expired
        else:
            assert lease.holder != rollout
        assert lease.fence >= before.fence
        names = [waiter.rollout for waiter in lease.waiting]
        assert len(set(names)) == len(names)
        assert lease.holder not in names
        assert operation == "check_in" or (answer.verdict == "waiting") is (rollout in names)
        assert msgspec.convert(msgspec.to_builtins(lease), Lease) == lease


@given(calls)
def test_whoever_keeps_asking_is_granted_or_refused_in_the_end(history: list[tuple[str, str, str, int]]) -> None:
    lease, now = Lease(), NOW
    for operation, rollout, on_newer, minutes in history:
        now += timedelta(minutes=minutes)
        if operation == "acquire":
            lease, _ = acquire(lease, rollout, ROLLOUTS[rollout], on_newer, now)
    lease, answer = acquire(lease, "r2o", ROLLOUTS["r2o"], "supersede", now)
    asked = 0
    while answer.verdict == "waiting":
        now, asked = now + timedelta(minutes=2), asked + 1
        assert asked < 200, lease
        lease, answer = acquire(lease, "r2o", ROLLOUTS["r2o"], "supersede", now)
    assert answer.verdict in ("granted", "refused")


def test_a_pool_that_has_been_given_back_still_tells_whose_it_was_last() -> None:
    lease, _ = ask(Lease(), "r1", version(1))
    lease, _ = ask(lease, "r2", version(2))
    assert (lease.last, lease.last_target) == ("r1", version(1))
    lease, _ = release(lease, "r1")
    assert (lease.holder, lease.last, lease.last_target) == ("", "r1", version(1))
    lease, _ = ask(lease, "r2", version(2))
    assert (lease.holder, lease.last, lease.last_target) == ("r2", "r2", version(2))


def test_who_only_tidies_a_pool_up_is_not_remembered_as_its_last_rollout() -> None:
    lease, _ = release(ask(Lease(), "r1", version(1))[0], "r1")
    lease, _ = acquire(lease, "tidy", "", ROLL_BACK, NOW)
    assert (lease.holder, lease.last, lease.last_target) == ("tidy", "r1", version(1))


def test_the_next_rollout_learns_which_number_was_used_last_in_a_name_of_the_pool() -> None:
    lease, _ = check_in(held_by("r1", version(1)), "r1", later(5), last_number=17)
    lease, _ = release(lease, "r1", last_number=19)
    lease, _ = release(ask(lease, "tidying", "", ROLL_BACK)[0], "tidying")
    _, answer = ask(lease, "back-r1", version(0), ROLL_BACK)
    assert (answer.verdict, answer.last_number) == ("granted", 19)


def test_the_number_used_last_outlives_a_rollout_that_died() -> None:
    lease, _ = check_in(held_by("r1", version(1)), "r1", NOW, last_number=17)
    lease, _ = ask(lease, "r2", version(2), now=NOW + EXPIRES_AFTER)
    assert check_in(lease, "r2", NOW + EXPIRES_AFTER)[1].last_number == 17


def test_a_number_that_is_used_last_by_somebody_who_lost_the_pool_is_not_taken_over() -> None:
    held = held_by("r1", version(1))
    assert check_in(held, "r2", NOW, last_number=99)[0] == release(held, "r2", last_number=99)[0] == held
