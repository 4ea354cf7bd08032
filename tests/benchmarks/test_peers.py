"""The peers do what their descriptions say, each on a small pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from benchmarks.contenders import CONTENDERS, run
from benchmarks.peers import federal, native, rebuild, replacer, windows
from benchmarks.peers.federal import Mode
from benchmarks.stage import Stage
from benchmarks.workloads import CASES, Case
from simulator.images import Flaws
from simulator.journal import Entry, Kind

NIGHT = next(case for case in CASES if case.name == "office_night")
DAY = next(case for case in CASES if case.name == "office_day")
CALM = replace(NIGHT, hosts=10, at_a_time=2)
BUSY = replace(DAY, hosts=10, at_a_time=2)


def watched(case: Case, play: Callable[[Stage], None], *kinds: Kind) -> tuple[Stage, list[Entry]]:
    """A played stage and what its journal said of these kinds."""
    stage, seen = Stage(case, 1), []
    stage.estate.subscribe(lambda entry: seen.append(entry) if entry.kind in kinds else None)
    play(stage)
    return stage, seen


def names(entries: list[Entry]) -> list[str]:
    return [entry.subject.rsplit("/", 1)[1] for entry in entries]


@pytest.mark.parametrize("contender", [name for name in CONTENDERS if name != "left alone"])
def test_everybody_finishes_a_calm_pool_and_leaves_it_whole(contender: str) -> None:
    result = run(CALM, contender, 1)

    assert result.hours is not None
    assert result.drained == 0
    assert result.calls > CALM.hosts


def test_a_pool_that_is_left_alone_keeps_its_hosts_and_signs_nobody_out() -> None:
    result = run(BUSY, "left alone", 1)

    assert result.hours is None
    assert (result.forced, result.peak) == (0, BUSY.hosts)


def test_the_service_takes_hosts_by_name_one_first_and_then_batches() -> None:
    _, removed = watched(BUSY, lambda stage: native.play(stage, timedelta(minutes=30)), Kind.MACHINE_DELETING)

    assert names(removed) == sorted(names(removed))
    starts = sorted({entry.at for entry in removed})
    assert [sum(entry.at == start for entry in removed) for start in starts] == [1, 2, 2, 2, 2, 1]


def test_the_next_batch_of_the_service_waits_for_the_whole_one_before_it() -> None:
    _, seen = watched(BUSY, lambda stage: native.play(stage, timedelta(0)), Kind.MACHINE_DELETING, Kind.HOST_REGISTERED)
    missing = 0
    for entry in seen:
        missing += 1 if entry.kind is Kind.MACHINE_DELETING else -1
        assert 0 <= missing <= BUSY.at_a_time


def test_the_service_signs_out_whoever_is_left_when_its_delay_is_over_and_some_twice() -> None:
    result = run(replace(DAY, hosts=20, at_a_time=2), "native", 1)

    assert result.forced > 20
    assert result.twice > 0


def test_an_update_of_the_service_stops_at_its_first_host_when_that_fails() -> None:
    result = run(replace(CALM, flaws=Flaws(never_registers=True)), "native", 1)

    assert result.hours is None
    assert (result.on_bad_image, result.operator) == (1, 0)


def test_the_replacer_never_has_more_hosts_than_its_buffer_allows() -> None:
    assert run(BUSY, "replacer", 1).peak <= BUSY.hosts + BUSY.at_a_time


def test_a_failed_deployment_stops_the_replacer_until_somebody_comes() -> None:
    stage, _ = watched(replace(CALM, spare_hosts=1), replacer.play)

    assert stage.operator > 0


def test_the_replacer_removes_an_empty_host_without_draining_it() -> None:
    _, drained = watched(replace(CALM, load=0.0), replacer.play, Kind.HOST_DRAINED)

    assert drained == []


def test_the_federal_replacer_may_double_the_pool_and_its_capped_variant_may_not() -> None:
    assert run(CALM, "federal", 1).peak == 2 * CALM.hosts
    assert run(CALM, "federal, capped", 1).peak <= CALM.hosts + CALM.extra


def test_delete_first_keeps_four_fifths_of_the_hosts() -> None:
    stage, _ = watched(BUSY, lambda stage: None)
    least: list[int] = []
    stage.estate.subscribe(lambda entry: least.append(len(stage.office.pool.hosts)))
    federal.play(stage, Mode.DELETE_FIRST)

    assert stage.finished_at is not None
    assert min(least) >= federal.FLOOR * BUSY.hosts


def test_the_federal_replacer_removes_nothing_while_a_new_host_is_sick() -> None:
    result = run(replace(CALM, flaws=Flaws(unhealthy=True), horizon=timedelta(days=1)), "federal", 1)

    assert result.hours is None
    assert result.forced == 0


def test_the_rebuild_takes_no_host_on_which_somebody_is_at_work() -> None:
    stage, cut_off = watched(BUSY, rebuild.play, Kind.FORCED_OUT)

    assert stage.finished_at is not None
    assert cut_off == []


@pytest.mark.parametrize("barrier", [True, False])
def test_k_hosts_are_missing_at_most(barrier: bool) -> None:
    stage, _ = watched(BUSY, lambda stage: None)
    least: list[int] = []
    stage.estate.subscribe(lambda entry: least.append(len(stage.office.pool.hosts)))
    windows.play(stage, barrier=barrier)

    assert min(least) >= BUSY.hosts - BUSY.at_a_time


def test_a_sliding_window_does_not_wait_for_the_slowest_of_a_batch() -> None:
    crowd = replace(BUSY, hosts=20, at_a_time=5, empty=10)
    by_barrier, sliding = (run(crowd, name, 1).hours for name in ("barrier", "sliding"))

    assert by_barrier is not None
    assert sliding is not None
    assert sliding < by_barrier


def test_messages_reach_people_a_whole_notice_before_they_are_signed_out() -> None:
    told: dict[str, datetime] = {}
    stage, seen = watched(BUSY, lambda stage: windows.play(stage, barrier=False), Kind.MESSAGE_SENT, Kind.FORCED_OUT)
    assert stage.finished_at is not None
    for entry in seen:
        if entry.kind is Kind.MESSAGE_SENT:
            told[entry.subject] = entry.at
        else:
            assert entry.at - told[entry.subject] >= BUSY.grace
