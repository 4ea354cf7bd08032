"""Twelve monthly cycles in one go: every month's histories and statuses are as small as the first month's."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from demo.outcomes import pool_keeps_its_size
from demo.policies import policy_text
from demo.result import Result
from demo.ring_scenarios import LONDON, QUIET, weekly
from demo.run import Run
from demo.scenario import Outcome, Scenario, Stage
from localhost import EpisodeFinished, Host
from localhost.events import HostEvent
from rollout.instance_ids import ROLL_OUT_IMAGE
from rollout.recurrence import days_of, read_recurrence

PATCH_TUESDAYS = days_of(read_recurrence("FREQ=MONTHLY;BYDAY=2TU"), 2026)
BEGINS = datetime(2026, 1, 1, tzinfo=UTC)


class CountedRun(Run):
    """A run that counts events of histories and bytes of what Durable keeps, by instance."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.events: dict[str, int] = {}
        self.kept: dict[str, int] = {}

    def _hear(self, event: HostEvent) -> None:
        if isinstance(event, EpisodeFinished):
            self.events[event.instance_id] = max(self.events.get(event.instance_id, 0), event.events)
        super()._hear(event)

    def _result(self, host: Host, seconds: float, *, ended: bool) -> Result:
        for instance in host.instances("image-"):
            if instance.name == ROLL_OUT_IMAGE:
                self.kept[instance.id] = len(instance.output) + len(instance.custom_status)
        return super()._result(host, seconds, ended=ended)


def _expected_starts(tuesday: date) -> list[datetime]:
    """Thursday at eight, Monday at six and the Monday after, on London's walls."""
    starts = ((2, 8), (6, 6), (13, 6))
    zone = ZoneInfo(LONDON)
    days = [(tuesday + timedelta(days=days), time(hour)) for days, hour in starts]
    return [datetime.combine(day, hour, zone).astimezone(UTC) for day, hour in days]


def _version(day: date) -> str:
    return f"{day.year}.{day.month}.{day.day}"


def _set_a_year(stage: Stage) -> None:
    test = stage.office("test", hosts=1, people=0)
    stage.office("people", hosts=1, people=0, image_of=test)
    stage.office("rest", hosts=1, people=0, image_of=test)
    for tuesday in PATCH_TUESDAYS:
        day = (tuesday - BEGINS.date()).days
        stage.publish("19:00", test, _version(tuesday), day=day)
        stage.answer("14:30", "approve", "it works", day=day + 3)


A_YEAR = Scenario(
    name="a_year",
    title="Twelve monthly cycles",
    about="Every month from Patch Tuesday over Thursday and Friday to Monday, and the rest a week later.",
    policy=policy_text(
        "test",
        "people",
        "rest",
        image="test",
        latest="earned",
        zone=LONDON,
        rings=[
            {
                "name": "validation",
                "host_pools": ["test"],
                "start": {"windows": [weekly("TH", "08:00", "PT10H")]},
                "gates": {"soak": "PT4H", "approval": {"deadline": "P4D", "on_timeout": "reject"}},
            },
            {
                "name": "people",
                "host_pools": ["people"],
                "start": {"windows": [weekly("MO", "06:00", "PT12H")]},
                "gates": {"soak": "P6D", "health": {}},
            },
            {"name": "rest", "host_pools": ["rest"], "start": {"windows": [weekly("MO", "06:00", "PT12H")]}},
        ],
        **QUIET,
    ),
    set_the_stage=_set_a_year,
    outcome=Outcome(
        "Succeeded",
        dict.fromkeys(("test", "people", "rest"), "Succeeded"),
        rollouts=12,
        checks=(pool_keeps_its_size,),
    ),
    begins=BEGINS,
    lasts_at_most=timedelta(days=366),
    sweep="0 0 0 * * *",
    retirement="0 30 3 * * 1",  # once a week: this is about rollouts, and every look at old versions costs
    tick=timedelta(hours=1),
)


async def test_twelve_months_in_one_go_neither_slip_nor_grow() -> None:
    run = CountedRun(A_YEAR)
    result = await run.play()
    assert (result.problems, result.violations) == ((), ())

    started = [line.at for line in result.story if " starts: " in line.sentence]
    assert started == [at for tuesday in PATCH_TUESDAYS for at in _expected_starts(tuesday)]
    months = list(run.kept)
    assert len(months) == 12
    events = [run.events[month] for month in months]
    assert max(events) < 180, events
    assert max(events) - min(events) <= 30, events
    assert max(run.kept.values()) - min(run.kept.values()) < 100, run.kept
    assert max(run.events.values()) <= 480
