"""What a scenario is: an estate with its people, a policy file, a script of the day, and how it must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from demo.policies import REGION, host_prefix
from simulator.builders import Office, office_pool
from simulator.estate import Estate
from simulator.faults import Chance, Site
from simulator.galleries import GOOD, Flaws, Takes
from simulator.workload import OFFICE
from simulator.world import ADMINISTRATOR

if TYPE_CHECKING:
    from demo.result import Result

MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
"""A Monday: people arrive around half past eight and leave around five."""

Check = Callable[["Result"], str]
"""Looks at how a run has ended; returns what is wrong in one sentence, or "" when all is well."""


@dataclass(frozen=True)
class Outcome:
    """How a scenario must come out.

    `phase` is that of the rollout of the newest version, `pools` the final phase of each pool in it. `rollouts` counts
    image rollouts: a duplicate event must not make another one. `checks` look at anything else.
    """

    phase: str
    pools: Mapping[str, str]
    rollouts: int = 1
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One story that can be played, shown and tested.

    `policy` is the text of a policy file. `set_the_stage` builds the estate and plans what happens in it; the clock
    stands at `begins` then. `faults` are what goes wrong with Azure's answers by chance. A run that has not ended
    after `lasts_at_most` has failed. `sweep` and `retirement` are the schedules of the app's timers; `tick` is how
    often the run looks whether it is over, and Azure's own doings happen at the latest.
    """

    name: str
    title: str
    about: str
    policy: str
    set_the_stage: Callable[[Stage], None]
    outcome: Outcome
    faults: Mapping[Site, Chance] = field(default_factory=dict)
    begins: datetime = MORNING
    lasts_at_most: timedelta = timedelta(hours=40)
    sweep: str = "0 */15 * * * *"
    retirement: str = "0 30 3 * * *"
    tick: timedelta = timedelta(minutes=1)


NIGHT_OWLS = replace(OFFICE, attendance=1.0, arrives=7.0, leaves=19.0, lunch_disconnects=0.0, forgets=0.0, reads=0.0)
"""People who come first, leave last, never pause and never look at a message."""

Decision = Literal["approve", "reject", "pause", "resume", "abort", "rollback", "skip", "retry"]


@dataclass(frozen=True)
class Answer:
    """What a person sends to the app about the rollout of `version_id`, and which app roles they have.

    Answers may name a `ring`, commands a `pool` and a session `host` of it.
    """

    at: datetime
    version_id: str
    decision: Decision
    by: str
    reason: str
    ring: str = ""
    pool: str = ""
    host: str = ""
    roles: tuple[str, ...] = ("Approver",)


@dataclass(frozen=True)
class EventOutage:
    """A stretch in which Event Grid does not reach the app: what it is answered instead, 0 for nothing at all."""

    begins: datetime
    ends: datetime
    status: int


@dataclass
class Stage:
    """The estate of a run while it is built and scripted. Times of day are UTC; `day` counts from the first one."""

    estate: Estate
    begins: datetime
    offices: dict[str, Office] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    repeated_events: list[datetime] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    policy_edits: list[tuple[datetime, str | None]] = field(default_factory=list)
    event_outages: list[EventOutage] = field(default_factory=list)
    last_act: datetime | None = None

    def office(self, name: str = "office", hosts: int = 12, **described: Any) -> Office:
        """Build a pool with its people; `described` goes to `simulator.builders.office_pool`."""
        described = {"region": REGION, "host_prefix": host_prefix(name), **described}
        self.offices[name] = office_pool(self.estate, hosts, name=name, **described)
        return self.offices[name]

    def at(self, clock: str, act: Callable[[], object], *, day: int = 0, by: str = ADMINISTRATOR) -> None:
        """Let `by` do something at a time of day such as "09:40"."""
        self.estate.at(self.moment(clock, day), act, by=by)

    def publish(
        self,
        clock: str,
        office: Office,
        version: str,
        *,
        takes: Mapping[str, timedelta | str | None] | None = None,
        flaws: Flaws = GOOD,
        day: int = 0,
        replicas: int = 1,
    ) -> None:
        """Let the image team publish a version at a time of day, with so many replicas in each region.

        `takes` says for each region how long the copy takes there, None for ever, or why it fails (after half an
        hour); without it the office's own region has the version after 25 minutes.
        """
        wanted: Mapping[str, timedelta | str | None] = takes or {office.region: timedelta(minutes=25)}
        copies = {region: _copy(how) for region, how in wanted.items()}
        self.published.append(office.version_id(version))

        def publish() -> None:
            office.publish(version, tuple(copies), takes=copies, flaws=flaws, replicas=replicas)

        self.at(clock, publish, day=day, by="image team")

    def edit_policy(self, clock: str, text: str | None) -> None:
        """Let somebody write another text into the policy file, or delete it (None)."""
        self.policy_edits.append((self.moment(clock), text))

    def repeat_event(self, clock: str) -> None:
        """Let Event Grid deliver its last event once more, as it may at any time."""
        self.repeated_events.append(self.moment(clock))

    def keep_events_off(self, begins: str, ends: str, *, status: int) -> None:
        """Let Event Grid get this status between two times of day, whatever the app would answer; 0 for no answer."""
        self.event_outages.append(EventOutage(self.moment(begins), self.moment(ends), status))

    def answer(
        self,
        clock: str,
        decision: Decision,
        reason: str,
        *,
        day: int,
        by: str = "andrea@contoso.com",
        **said: Any,
    ) -> None:
        """Let a person answer, or command the rollout of the version published last.

        `said` are other fields of an Answer.
        """
        answered = Answer(self.moment(clock, day), self.published[-1], decision, by, reason, **said)
        self.answers.append(answered)

    def moment(self, clock: str, day: int = 0) -> datetime:
        """A time of day as an instant; remembered, as a run is not over before its script is."""
        when = datetime.combine(self.begins.date() + timedelta(days=day), time.fromisoformat(clock), UTC)
        self.last_act = when if self.last_act is None else max(when, self.last_act)
        return when


def _copy(how: timedelta | str | None) -> Takes:
    return Takes(timedelta(minutes=30), how) if isinstance(how, str) else Takes(how)
