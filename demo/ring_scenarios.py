"""Scenarios of days and weeks: rings with their gates, and the people who open them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.outcomes import hosts_are_current, nobody_was_signed_out, pool_keeps_its_size, story_tells
from demo.policies import REGION, policy_text
from demo.result import Result
from demo.scenario import Outcome, Scenario, Stage
from rollout.model import short_version
from rollout.policy import SignInFailuresGate
from rollout.sign_ins import sign_in_query
from rollout.verdicts import Verdict, finding_of
from simulator.galleries import Flaws

LONDON = "Europe/London"
EVERY_SIX_HOURS = "0 0 */6 * * *"


def weekly(day: str, start: str, duration: str, zone: str = LONDON) -> dict[str, Any]:
    """A window on one day of every week, as the policy file has it."""
    return {"zone": zone, "recurrence": f"FREQ=WEEKLY;BYDAY={day}", "start": start, "duration": duration}


def starts_on(*days: str) -> Callable[[Result], str]:
    """Pools were first touched on these days, one after the other: what the story tells of rings that start."""

    def check(result: Result) -> str:
        found = tuple(f"{line.at:%A %H:%M}" for line in result.story if " starts: " in line.sentence)
        return "" if found == days else f"the rings start on {', '.join(found)} instead of {', '.join(days)}"

    return check


def history_is_short(most: int) -> Callable[[Result], str]:
    """No orchestration's history has more events."""

    def check(result: Result) -> str:
        longest = result.host["longest_history"]
        return f"a history has {longest:.0f} events, more than {most}" if longest > most else ""

    return check


def version_carries(verdict: Verdict, *, excluded: bool) -> Callable[[Result], str]:
    """The version published last carries this verdict and is, or is not, excluded from latest."""

    def check(result: Result) -> str:
        version = result.last_version
        if version is None:
            return "no version was published"
        told = finding_of(version.tags).verdict
        if (told, version.exclude_from_latest) != (verdict, excluded):
            return f"{short_version(version.id)} is {told}, excluded from latest: {version.exclude_from_latest}"
        return ""

    return check


QUIET: dict[str, Any] = {
    "surge": 1,
    "max_wave": "50%",
    "canary": {"bake": "PT30M"},
    "drain": {"grace": "PT2H", "reminders": ["PT30M"], "disconnected_grace": "PT15M"},
}

# ------------------------------------------------------------------------------------------------- the monthly cycle


def _set_monthly_cycle(stage: Stage) -> None:
    validation = stage.office("test", hosts=2, people=4, region=REGION, other_regions=("westeurope",))
    stage.office("london", hosts=3, people=15, region=REGION, image_of=validation)
    stage.office("paris", hosts=3, people=15, region="westeurope", image_of=validation)
    stage.office("madrid", hosts=2, people=8, region="westeurope", image_of=validation)
    takes: dict[str, timedelta | str] = {REGION: timedelta(minutes=40), "westeurope": timedelta(hours=3)}
    stage.publish("19:00", validation, "2026.11.10", takes=takes)
    stage.answer("09:05", "approve", "looks fine", day=2)
    stage.answer("11:00", "approve", "I only read mails", day=3, by="raj@contoso.com", roles=("Reader",))
    stage.answer("14:30", "approve", "two power users and I have worked with it all day", day=3)
    stage.answer("14:32", "approve", "two power users and I have worked with it all day", day=3, ring="validation")


MONTHLY_CYCLE = Scenario(
    name="monthly_cycle",
    title="A month, from Patch Tuesday on",
    about=(
        "The image is built on Patch Tuesday. On Thursday the validation pool gets it, on Friday people test it and "
        "one of them approves, on Monday London follows. Three weeks later, when London's hosts are still healthy, "
        "Paris and Madrid get it, one after the other; then the version becomes the latest. An approval that comes "
        "too early, one from somebody who may not approve, and the same one twice change nothing."
    ),
    policy=policy_text(
        "test",
        "london",
        "paris",
        "madrid",
        image="test",
        latest="earned",
        rings=[
            {
                "name": "validation",
                "host_pools": ["test"],
                "start": {"windows": [weekly("TH", "08:00", "PT10H")]},
                "gates": {
                    "smoke_test": {"script": "exit [int](-not (Get-Command outlook -ErrorAction Ignore))"},
                    "soak": "PT4H",
                    "approval": {"deadline": "P4D", "on_timeout": "reject"},
                },
            },
            {
                "name": "early",
                "host_pools": ["london"],
                "start": {"windows": [weekly("MO", "06:00", "PT12H")]},
                "gates": {"soak": "P20D", "health": {"within": "PT12H"}},
            },
            {
                "name": "everybody",
                "host_pools": ["paris", "madrid"],
                "concurrency": 1,
                "start": {"windows": [weekly("MO", "06:00", "PT12H", "Europe/Paris")]},
            },
        ],
        **QUIET,
    ),
    set_the_stage=_set_monthly_cycle,
    outcome=Outcome(
        "Succeeded",
        dict.fromkeys(("test", "london", "paris", "madrid"), "Succeeded"),
        checks=(
            hosts_are_current(10),
            pool_keeps_its_size,
            starts_on("Thursday 08:00", "Monday 06:00", "Monday 05:00"),
            version_carries(Verdict.GOOD, excluded=False),
            history_is_short(500),
        ),
    ),
    begins=datetime(2026, 11, 10, 18, 0, tzinfo=UTC),
    lasts_at_most=timedelta(days=30),
    sweep=EVERY_SIX_HOURS,
)


# ---------------------------------------------------------------------------------------------------- nobody answers


def _set_approval_timeout(stage: Stage) -> None:
    validation = stage.office("test", hosts=2, people=4)
    stage.office("office", hosts=3, people=15, image_of=validation)
    stage.publish("08:10", validation, "2.0.0")
    stage.answer("18:00", "approve", "sorry, I was on leave", day=3)


APPROVAL_TIMEOUT = Scenario(
    name="approval_timeout",
    title="Nobody says yes",
    about=(
        "The validation pool has the version, and somebody is asked to approve it within a day. Nobody does, and the "
        "policy says reject: the version is vetoed, and the people's pool is not touched. An approval that comes two "
        "days late finds that the rollout has ended."
    ),
    policy=policy_text(
        "test",
        "office",
        image="test",
        latest="earned",
        rings=[
            {
                "name": "validation",
                "host_pools": ["test"],
                "gates": {"approval": {"deadline": "P1D", "on_timeout": "reject"}},
            },
            {"name": "people", "host_pools": ["office"]},
        ],
        **QUIET,
    ),
    set_the_stage=_set_approval_timeout,
    outcome=Outcome(
        "Halted",
        {"test": "Succeeded", "office": "Blocked"},
        checks=(
            hosts_are_current(2),
            version_carries(Verdict.VETOED, excluded=True),
            story_tells("nobody has approved by"),
            story_tells("has ended"),
        ),
    ),
    lasts_at_most=timedelta(days=5),
)


# ------------------------------------------------------------------------------------------------ a ring that fails


def _set_ring_fails(stage: Stage) -> None:
    first = stage.office("first", hosts=2, people=4)
    stage.office("second", hosts=2, people=6, image_of=first)
    stage.office("third", hosts=3, people=12, image_of=first)
    stage.publish("08:10", first, "2.0.0", flaws=Flaws(unhealthy=True))


RING_FAILS = Scenario(
    name="ring_fails",
    title="The first ring fails",
    about=(
        "The image does not work, and the first pool's canary finds out. Its ring has failed, so the pools of the two "
        "rings after it are not even looked at, the rollout says why for each of them, and nobody gets the version as "
        "the latest."
    ),
    policy=policy_text(
        "first",
        "second",
        "third",
        image="first",
        latest="earned",
        rings=[
            {"name": "canaries", "host_pools": ["first"]},
            {"name": "early", "host_pools": ["second"]},
            {"name": "everybody", "host_pools": ["third"]},
        ],
        **QUIET,
    ),
    set_the_stage=_set_ring_fails,
    outcome=Outcome(
        "Halted",
        {"first": "Halted", "second": "Blocked", "third": "Blocked"},
        checks=(
            hosts_are_current(0),
            nobody_was_signed_out,
            version_carries(Verdict.FAILED, excluded=True),
            story_tells("ring canaries has failed"),
        ),
    ),
)


# --------------------------------------------------------------------------------------------- sign-ins that fail

WORKSPACE = "10905a11-0000-4000-8000-000000000001"
SIGN_INS = SignInFailuresGate(workspace_id=WORKSPACE, least_sign_ins=15, within=timedelta(hours=24))


def _set_sign_ins_fail(stage: Stage) -> None:
    validation = stage.office("test", hosts=3, people=24)
    stage.office("office", hosts=3, people=15, image_of=validation)
    workspaces = stage.estate.workspaces
    workspaces.add(WORKSPACE).knows[sign_in_query(SIGN_INS).query] = workspaces.failed_sign_ins(SIGN_INS.least_sign_ins)
    stage.publish("13:00", validation, "2.0.0", flaws=Flaws(sign_ins_fail=0.4))


SIGN_INS_FAIL = Scenario(
    name="sign_ins_fail",
    title="Healthy hosts that let nobody in",
    about=(
        "Every host on the new version is healthy, and four of ten people who sign in to one do not get beyond it. In "
        "the evening too few people have signed in to say anything, which is no success. In the morning the connection "
        "logs show it, and it does not get better: the people's pool never sees the version."
    ),
    policy=policy_text(
        "test",
        "office",
        image="test",
        latest="earned",
        rings=[
            {
                "name": "validation",
                "host_pools": ["test"],
                "gates": {
                    "health": {},
                    "sign_in_failures": {
                        "workspace_id": WORKSPACE,
                        "at_most_percent": 10,
                        "least_sign_ins": SIGN_INS.least_sign_ins,
                        "within": "PT24H",
                        "every": "PT3H",
                    },
                },
            },
            {"name": "people", "host_pools": ["office"]},
        ],
        **QUIET,
    ),
    set_the_stage=_set_sign_ins_fail,
    outcome=Outcome(
        "Halted",
        {"test": "Succeeded", "office": "Blocked"},
        checks=(
            hosts_are_current(3),
            version_carries(Verdict.FAILED, excluded=True),
            story_tells("query sign-in-failures has no data"),
            story_tells("more than 10"),
        ),
    ),
    lasts_at_most=timedelta(days=3),
)


# ------------------------------------------------------------------------------------------------- the clocks change


def _set_dst(stage: Stage) -> None:
    london = stage.office("london", hosts=2, people=0, region=REGION, other_regions=("australiaeast",))
    stage.office("sydney", hosts=2, people=0, region="australiaeast", image_of=london)
    takes: dict[str, timedelta | str] = {REGION: timedelta(minutes=10), "australiaeast": timedelta(minutes=30)}
    stage.publish("00:40", london, "2.0.0", takes=takes)


DST = Scenario(
    name="dst",
    title="The clocks change, in London forward and in Sydney back",
    about=(
        "The version is published at twenty to one in the night in which London's clocks go from one to two. London's "
        "ring starts at half past one, which there is not: it is taken as half past two, fifty minutes later. "
        "Sydney's ring starts on the next Sunday at half past two, which there is twice that night: the first counts."
    ),
    policy=policy_text(
        "london",
        "sydney",
        image="london",
        rings=[
            {
                "name": "london",
                "host_pools": ["london"],
                "start": {"windows": [weekly("SU", "01:30", "PT3H")]},
                "gates": {"soak": "P1D"},
            },
            {
                "name": "sydney",
                "host_pools": ["sydney"],
                "start": {"windows": [weekly("SU", "02:30", "PT3H", "Australia/Sydney")]},
            },
        ],
        **QUIET,
    ),
    set_the_stage=_set_dst,
    outcome=Outcome(
        "Succeeded",
        {"london": "Succeeded", "sydney": "Succeeded"},
        checks=(hosts_are_current(4), pool_keeps_its_size, starts_on("Sunday 01:30", "Saturday 15:30")),
    ),
    begins=datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    lasts_at_most=timedelta(days=9),
    sweep=EVERY_SIX_HOURS,
)

# --------------------------------------------------------------------------------------- a newer version between rings


def _set_supersede_mid_ring(stage: Stage) -> None:
    validation = stage.office("test", hosts=2, people=4)
    stage.office("office", hosts=3, people=12, image_of=validation)
    stage.publish("08:10", validation, "2.0.0")
    stage.publish("14:00", validation, "2.1.0")


SUPERSEDE_MID_RING = Scenario(
    name="supersede_mid_ring",
    title="A newer version between two rings",
    about=(
        "Version 2.0.0 is in use in the validation pool, where it has to soak for a day, when 2.1.0 is published. The "
        "older rollout starts nothing more: the people's pool never sees 2.0.0. The newer one begins again with the "
        "validation pool and a canary of its own, soaks, and goes on."
    ),
    policy=policy_text(
        "test",
        "office",
        image="test",
        latest="earned",
        rings=[
            {"name": "validation", "host_pools": ["test"], "gates": {"soak": "P1D"}},
            {"name": "people", "host_pools": ["office"]},
        ],
        **QUIET,
    ),
    set_the_stage=_set_supersede_mid_ring,
    outcome=Outcome(
        "Succeeded",
        {"test": "Succeeded", "office": "Succeeded"},
        rollouts=2,
        checks=(
            hosts_are_current(5),
            pool_keeps_its_size,
            version_carries(Verdict.GOOD, excluded=False),
            story_tells("supersedes the rollout: version 2.1.0 has been published"),
            story_tells("Superseded: superseded by"),
        ),
    ),
    lasts_at_most=timedelta(days=5),
)

RING_SCENARIOS = (MONTHLY_CYCLE, APPROVAL_TIMEOUT, RING_FAILS, SIGN_INS_FAIL, DST, SUPERSEDE_MID_RING)
"""The scenarios of this file, in the order in which they are best read."""
