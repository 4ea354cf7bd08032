"""Scenarios in which operators tell a running rollout what to do."""

from __future__ import annotations

from datetime import timedelta

from demo.outcomes import (
    hosts_are_current,
    hosts_are_quarantined,
    nobody_was_signed_out,
    pool_keeps_its_size,
    story_tells,
)
from demo.policies import policy_text
from demo.scenario import NIGHT_OWLS, Decision, Outcome, Scenario, Stage
from simulator.images import Flaws
from simulator.session_hosts import FATAL_CHECKS

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


def _set_rolled_back(stage: Stage) -> None:
    office = stage.office("office", hosts=8, people=40)
    stage.publish("08:10", office, "2.0.0")
    stage.answer("11:30", "rollback", "printing is broken", day=0, by=OPERATOR, roles=("Operator",))
    stage.answer("11:31", "rollback", "has anybody done it?", day=0, roles=("Operator",))


ROLL_BACK_REBUILT = Scenario(
    name="roll_back_rebuilt",
    title="Rolled back: hosts of the version before are made again",
    about=(
        "Some hosts are on the new version when an operator finds that printing is broken. The rollout lets go: what "
        "is not finished is taken away, what is drained is given back. Then the hosts on the new version are replaced "
        "by hosts of the version before, under the same rules for people and session slots. The version is excluded "
        "from latest and vetoed, so nobody rolls it out again by mistake."
    ),
    policy=policy_text("office", latest="earned"),
    set_the_stage=_set_rolled_back,
    outcome=Outcome(
        "RolledBack",
        {"office": "RolledBack"},
        rollouts=2,
        checks=(
            hosts_are_current(0),
            pool_keeps_its_size,
            story_tells("given back: the rollout is rolled back"),
            story_tells("rolling back from 2.0.0 to 1.0.0"),
            story_tells("marked vetoed"),
        ),
    ),
)


def _set_degrading(stage: Stage) -> None:
    office = stage.office("office", hosts=12, people=50)
    stage.publish("08:10", office, "2.0.0", flaws=Flaws(degrades_after=timedelta(hours=5)))


ROLL_BACK_RETAINED = Scenario(
    name="roll_back_retained",
    title="Rolled back by itself: hosts that were kept are started again",
    about=(
        "Hosts on the new version stop accepting connections hours after they have come into service. When more than a "
        "fifth of them are sick the rollout halts, and the policy says what then: the hosts that were replaced, kept "
        "switched off for two days, are started again and serve people within minutes, and those on the new version "
        "are emptied and removed. The ring has failed, and the version is excluded from latest."
    ),
    policy=policy_text("office", latest="earned", on_failure="roll_back", retain_outdated="P2D"),
    set_the_stage=_set_degrading,
    outcome=Outcome(
        "RolledBack",
        {"office": "RolledBack"},
        checks=(
            hosts_are_current(0),
            pool_keeps_its_size,
            story_tells("kept, switched off, for a roll back"),
            story_tells("again, kept on 1.0.0"),
        ),
    ),
)


def _set_skipped(stage: Stage) -> None:
    office = stage.office("office", hosts=8, load=0.4)
    stage.estate.people.add(office.pool_id, 2, NIGHT_OWLS, "owl")
    stage.publish("08:10", office, "2.0.0")

    def tell(clock: str, verb: Decision, host: str, reason: str) -> None:
        stage.answer(clock, verb, reason, day=0, pool="office", host=host, by=OPERATOR, roles=("Operator",))

    tell("09:00", "skip", "avd-001", "its disk is being restored")
    tell("12:45", "skip", "avd-004", "somebody closes the books on it until tonight")
    tell("12:52", "skip", "avd-004", "has anybody done it?")
    tell("12:53", "skip", "avd-008", "shall the canary stay?")
    tell("15:00", "retry", "avd-001", "its disk is restored")


SKIPPED = Scenario(
    name="skipped",
    title="Skipped: the host that never empties",
    about=(
        "Somebody works on one host until late, and the policy waits for them. An operator lets the rollout skip that "
        "host: who is on it is told that they may stay, the host serves people again, and the rollout goes on at once "
        "without it and names it at the end. Another host was skipped in the morning, before anybody had touched it, "
        "and is taken up again when its disk has been restored."
    ),
    policy=policy_text("office", drain={"on_timeout": "wait"}),
    set_the_stage=_set_skipped,
    outcome=Outcome(
        "SucceededWithSkips",
        {"office": "SucceededWithSkips"},
        checks=(
            hosts_are_current(7),
            nobody_was_signed_out,
            pool_keeps_its_size,
            story_tells("avd-001 is skipped by raj@contoso.com: its disk is being restored"),
            story_tells("avd-004 is skipped and given back"),
            story_tells("avd-004: it is skipped already"),
            story_tells("avd-008: it is in service on the version"),
            story_tells("avd-001 is to be replaced after all"),
        ),
    ),
)


def _set_retried(stage: Stage) -> None:
    office = stage.office("office", hosts=8, people=40)
    stage.publish("08:10", office, "2.0.0")
    check, hosts = FATAL_CHECKS[-1], stage.estate.hosts
    stage.at("09:43", lambda: hosts.set_health(office.pool_id, "avd-009", check, "the listener is not ready"))
    stage.at("10:40", lambda: hosts.set_health(office.pool_id, "avd-009", check, None))
    stage.answer(
        "10:45",
        "retry",
        "the firewall lets it through now",
        day=0,
        pool="office",
        host="avd-009",
        by=OPERATOR,
        roles=("Operator",),
    )
    stage.answer("12:00", "retry", "does anything wait?", day=0, by=OPERATOR, roles=("Operator",))


RETRIED = Scenario(
    name="retried",
    title="Retried: a host that failed, when the fault is mended",
    about=(
        "A new host does not get well in time and is set aside. The image is not to blame: a firewall was. When that "
        "is mended an operator lets the rollout try the host once more: it must prove itself like a new one, and "
        "serves people in the place of the one that would have been made in its stead."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_retried,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(
            hosts_are_current(8),
            hosts_are_quarantined(0),
            pool_keeps_its_size,
            story_tells("avd-009 failed (NotReadyInTime)"),
            story_tells("avd-009 must prove itself once more, by raj@contoso.com: the firewall lets it through now"),
            story_tells("nothing is done: nothing waits for another attempt"),
        ),
    ),
)

OPERATOR_SCENARIOS = (PAUSED, ABORTED, SKIPPED, RETRIED, ROLL_BACK_REBUILT, ROLL_BACK_RETAINED)
"""The scenarios of this file, in the order in which they are best read."""
