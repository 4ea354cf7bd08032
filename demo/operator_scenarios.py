"""Scenarios in which operators tell a running rollout what to do."""

from __future__ import annotations

from datetime import timedelta

from demo.outcomes import hosts_are_current, nobody_was_signed_out, pool_keeps_its_size, story_tells
from demo.policies import policy_text
from demo.scenario import Outcome, Scenario, Stage

OPERATOR = "raj@contoso.com"


def _set_paused(stage: Stage) -> None:
    office = stage.office("office", hosts=8, people=40)
    stage.publish("08:10", office, "2.0.0")
    stage.answer("10:00", "pause", "the town hall begins, everybody is needed", day=0, by=OPERATOR, roles=("Operator",))
    stage.answer("10:05", "pause", "has anybody paused it?", day=0, roles=("Operator",))
    stage.answer("12:30", "resume", "the town hall is over", day=0, by=OPERATOR, roles=("Operator",))


PAUSED = Scenario(
    name="paused",
    title="Paused for the town hall",
    about=(
        "People on two hosts have been asked to leave when an operator pauses the rollout: they are told that they may "
        "stay. The host that is being made is finished, and nothing else happens until the rollout is resumed two and "
        "a half hours later. A second pause is answered with who has paused it."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_paused,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(
            hosts_are_current(8),
            pool_keeps_its_size,
            story_tells("may stay"),
            story_tells("it has been paused by raj@contoso.com"),
            story_tells("raj@contoso.com resumes the rollout"),
        ),
    ),
)


def _set_aborted(stage: Stage) -> None:
    office = stage.office("office", hosts=8, people=40)
    stage.office("branch", hosts=4, people=16, image_of=office)
    stage.office("depot", hosts=4, people=16, image_of=office)
    stage.publish("08:10", office, "2.0.0")
    stage.answer(
        "10:30",
        "abort",
        "the branch keeps its hosts this month",
        day=0,
        pool="branch",
        by=OPERATOR,
        roles=("Operator",),
    )
    stage.answer("11:30", "abort", "a wrong build of the accounting program", day=0, by=OPERATOR, roles=("Operator",))
    stage.answer("11:31", "resume", "was it wrong after all?", day=0, by=OPERATOR, roles=("Operator",))


ABORTED = Scenario(
    name="aborted",
    title="Aborted: first one pool, then all",
    about=(
        "An operator ends the rollout of one host pool, an hour later that of all. What has been replaced stays, hosts "
        "that are being made are finished, and everybody may stay where they are: a pool keeps its extra hosts and "
        "says so. A pool that has not begun is not touched."
    ),
    policy=policy_text(
        "office",
        "branch",
        "depot",
        image="office",
        rings=[
            {"name": "first", "host_pools": ["office", "branch"]},
            {"name": "second", "host_pools": ["depot"]},
        ],
    ),
    set_the_stage=_set_aborted,
    outcome=Outcome(
        "Aborted",
        {"office": "Aborted", "branch": "Aborted", "depot": "Aborted"},
        checks=(
            nobody_was_signed_out,
            story_tells("given back: the rollout is aborted"),
            story_tells("hosts more than its size"),
            story_tells("it has been aborted by raj@contoso.com"),
        ),
    ),
    lasts_at_most=timedelta(days=2),
)

OPERATOR_SCENARIOS = (PAUSED, ABORTED)
"""The scenarios of this file, in the order in which they are best read."""
