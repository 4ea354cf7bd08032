"""Names of new session hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.naming import MAX_NAME_LENGTH, NamesExhausted, latest_number, next_names

LONGEST = "avd-weu-prd"  # 11 characters: leaves exactly three digits


def test_the_first_host_of_an_empty_pool_is_number_one() -> None:
    assert next_names("avd", [], 0, 2) == (("avd-001", "avd-002"), 2)


def test_numbers_follow_the_highest_in_use() -> None:
    assert next_names("avd", ["avd-003", "avd-011"], 0, 2) == (("avd-012", "avd-013"), 13)


def test_the_latest_number_outlives_the_host_that_bore_it() -> None:
    seen = latest_number("avd", ["avd-003", "avd-011"], 0)

    assert (seen, latest_number("avd", ["avd-003"], seen)) == (11, 11)
    assert next_names("avd", ["avd-003"], seen, 1) == (("avd-012",), 12)


def test_gaps_are_not_filled_because_a_stale_device_of_that_name_blocks_joining() -> None:
    names, _ = next_names("avd", ["avd-001", "avd-009"], 0, 3)
    assert names == ("avd-010", "avd-011", "avd-012")


def test_a_number_given_out_earlier_is_not_given_out_again_after_its_host_is_gone() -> None:
    assert next_names("avd", ["avd-011"], 15, 1) == (("avd-016",), 16)


def test_a_host_that_somebody_added_meanwhile_moves_the_numbers_on() -> None:
    assert next_names("avd", ["avd-011", "avd-020"], 15, 1) == (("avd-021",), 21)


def test_names_are_lower_case_and_compared_without_case() -> None:
    assert next_names("AVD", ["AVD-007"], 0, 1) == (("avd-008",), 8)


def test_a_registration_under_its_full_dns_name_counts() -> None:
    assert next_names("avd", ["avd-007.corp.contoso.com"], 0, 1)[0] == ("avd-008",)


def test_a_hyphen_at_the_end_of_the_prefix_is_not_doubled() -> None:
    assert next_names("avd-", ["avd-007"], 0, 1)[0] == ("avd-008",)


@pytest.mark.parametrize("foreign", ["avd-old", "avd-900b", "avd-900-test", "avd900", "avdtest-900", "avd-९००", "avd-"])
def test_a_foreign_name_with_the_same_prefix_is_no_number(foreign: str) -> None:
    assert next_names("avd", ["avd-004", foreign], 0, 1)[0] == ("avd-005",)


def test_a_number_written_with_other_digits_is_taken_all_the_same() -> None:
    assert next_names("avd", ["avd-7"], 6, 1)[0] == ("avd-008",)


def test_a_fourth_digit_is_used_where_it_fits() -> None:
    assert next_names("avd", ["avd-999"], 0, 1) == (("avd-1000",), 1000)


def test_numbers_start_again_at_one_when_no_higher_number_fits() -> None:
    in_use = [f"{LONGEST}-998", f"{LONGEST}-002"]
    assert next_names(LONGEST, in_use, 0, 3) == ((f"{LONGEST}-999", f"{LONGEST}-001", f"{LONGEST}-003"), 3)


def test_after_starting_again_the_old_highest_hosts_do_not_call_the_numbers_back() -> None:
    # 999 was removed after the numbers started again: its device may still be known, so 4 is next and not 999.
    assert next_names(LONGEST, [f"{LONGEST}-998", f"{LONGEST}-003"], 3, 1) == ((f"{LONGEST}-004",), 4)


def test_a_full_name_space_says_how_to_get_out_of_it() -> None:
    in_use = [f"{LONGEST}-{number:03d}" for number in range(1, 999)]
    assert next_names(LONGEST, in_use, 0, 1)[0] == (f"{LONGEST}-999",)
    with pytest.raises(NamesExhausted, match=r"2 new host names are needed and 1 are free.*name_prefix"):
        next_names(LONGEST, in_use, 0, 2)


def test_a_prefix_that_leaves_too_few_digits_is_refused() -> None:
    with pytest.raises(NamesExhausted, match="at least 3 digits, 15 characters"):
        next_names("avd-weu-prd1", [], 0, 1)


def test_no_names_wanted_means_nothing_changes() -> None:
    assert next_names("avd", ["avd-050"], 3, 0) == ((), 3)


numbers = st.integers(min_value=0, max_value=1200)


@given(
    prefix=st.sampled_from(["avd", "AVD-", LONGEST, "a"]),
    used=st.sets(numbers, max_size=40),
    last=numbers,
    count=st.integers(min_value=0, max_value=30),
)
def test_new_names_are_free_distinct_and_valid_whatever_is_in_use(
    prefix: str, used: set[int], last: int, count: int
) -> None:
    in_use = [f"{prefix.lower().rstrip('-')}-{number:03d}" for number in sorted(used)]
    names, new_last = next_names(prefix, in_use, last, count)
    assert len(set(names)) == count
    assert not set(names) & set(in_use)
    assert all(len(name) <= MAX_NAME_LENGTH and name == name.lower() for name in names)
    assert not names or int(names[-1].rsplit("-", 1)[1]) == new_last


@given(used=st.sets(numbers, max_size=20), rounds=st.integers(min_value=2, max_value=20))
def test_no_name_comes_back_while_higher_numbers_are_free(used: set[int], rounds: int) -> None:
    """Every host is removed as soon as the next one is named: the worst case for names that come back."""
    given_out: list[str] = []
    in_use, last = [f"avd-{number:03d}" for number in sorted(used)], 0
    for _ in range(rounds):
        names, last = next_names("avd", in_use, last, 1)
        given_out.extend(names)
        in_use = []
    assert len(set(given_out)) == rounds
