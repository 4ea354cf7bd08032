"""The scenarios by name: the stories that Goldroll must tell well, each with the outcome that it must have."""

from __future__ import annotations

from datetime import timedelta

from demo.old_versions import RETIRE
from demo.operator_scenarios import OPERATOR_SCENARIOS
from demo.outcomes import (
    everybody_left_by_themselves,
    hosts_are_current,
    hosts_are_quarantined,
    made_at_once,
    nobody_was_signed_out,
    only_the_canary_was_touched,
    pool_keeps_its_size,
    replicas_are,
    replicas_were_enough,
    some_were_signed_out,
    story_tells,
)
from demo.policies import REGION, policy_text
from demo.ring_scenarios import RING_SCENARIOS
from demo.scenario import MORNING, NIGHT_OWLS, Outcome, Scenario, Stage
from simulator.faults import Chance, Site
from simulator.galleries import Flaws, Takes
from simulator.world import AUTOSCALE, AZURE

# ---------------------------------------------------------------------------------------------------- all goes well


def _set_happy(stage: Stage) -> None:
    office = stage.office()
    stage.publish("08:10", office, "2.0.0")


HAPPY = Scenario(
    name="happy",
    title="A working day",
    about=(
        "Twelve hosts, about seventy people, an ordinary Monday. A new image version is published at ten past eight. "
        "One canary host proves it; then wave after wave of hosts is drained and replaced while people keep working. "
        "They are asked to sign out within two hours, and most do when it suits them: over lunch, or at the end of "
        "the day."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_happy,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(12), pool_keeps_its_size),
    ),
)


def _set_in_place(stage: Stage) -> None:
    office = stage.office(spare_hosts=0, load=0.45)
    stage.publish("08:10", office, "2.0.0")


IN_PLACE = Scenario(
    name="in_place",
    title="The same pool without surge",
    about=(
        "There is no quota for a single extra host, so the policy says in_place: two hosts at a time are drained and "
        "removed first, and their successors are made afterwards. The pool never grows, and is two hosts smaller "
        "meanwhile."
    ),
    policy=policy_text("office", strategy="in_place", max_unavailable=2, drain={"grace": "PT1H"}),
    set_the_stage=_set_in_place,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(12), pool_keeps_its_size),
    ),
)


# -------------------------------------------------------------------------------------------- people who do not leave


def _set_slow_drain(stage: Stage) -> None:
    office = stage.office(hosts=8, load=0.4)
    stage.estate.people.add(office.pool_id, 2, NIGHT_OWLS, "owl")
    stage.publish("08:10", office, "2.0.0")


SLOW_DRAIN = Scenario(
    name="slow_drain",
    title="People who never leave: sign them out",
    about=(
        "Two people ignore every message and work until seven in the evening. The policy signs out whoever is "
        "left when the grace period of two hours has ended, and only when there is room for them elsewhere."
    ),
    policy=policy_text("office", drain={"on_timeout": "sign_out"}),
    set_the_stage=_set_slow_drain,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(8), some_were_signed_out, pool_keeps_its_size),
    ),
)

SLOW_DRAIN_WAIT = Scenario(
    name="slow_drain_wait",
    title="People who never leave: wait for them",
    about=(
        "The same two people, but the policy says wait: nobody is ever signed out of a session they are using. Their "
        "hosts stay in drain mode until they have gone home, and the rollout takes until late in the evening."
    ),
    policy=policy_text("office", drain={"on_timeout": "wait"}),
    set_the_stage=_set_slow_drain,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(8), everybody_left_by_themselves, pool_keeps_its_size),
    ),
)

SLOW_DRAIN_SKIP = Scenario(
    name="slow_drain_skip",
    title="People who never leave: skip their hosts",
    about=(
        "The same two people, but the policy says skip: a host on which somebody still works when the grace period "
        "has ended is given back and left for the next version. The rollout ends in time, and says which hosts it "
        "left out."
    ),
    policy=policy_text("office", drain={"on_timeout": "skip"}),
    set_the_stage=_set_slow_drain,
    outcome=Outcome(
        "SucceededWithSkips",
        {"office": "SucceededWithSkips"},
        checks=(everybody_left_by_themselves, pool_keeps_its_size, story_tells("is skipped")),
    ),
)


# ------------------------------------------------------------------------------------------------------- bad images


def _set_bad_image(stage: Stage) -> None:
    office = stage.office()
    stage.publish("08:10", office, "2.0.0", flaws=Flaws(unhealthy=True))


BAD_IMAGE = Scenario(
    name="bad_image",
    title="An image that does not work",
    about=(
        "The new image starts, but its remote desktop listener never gets ready. The canary does not become healthy "
        "in time: the rollout halts, the canary is kept in drain mode for investigation, and no other host has been "
        "touched."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_bad_image,
    outcome=Outcome(
        "Halted",
        {"office": "Halted"},
        checks=(hosts_are_current(0), hosts_are_quarantined(1), only_the_canary_was_touched, nobody_was_signed_out),
    ),
)


def _set_sick_later(stage: Stage) -> None:
    office = stage.office(hosts=8)
    flaws = Flaws(degrades_after=timedelta(hours=4, minutes=30))
    stage.publish("08:10", office, "2.0.0", flaws=flaws)


SICK_LATER = Scenario(
    name="sick_later",
    title="An image that fails after hours",
    about=(
        "The canary passes and the first waves go well, but after four and a half hours of use the hosts of the new "
        "version stop accepting connections, one after the other. One sick host is within the budget; when more than "
        "a fifth of the updated hosts are sick the rollout halts and gives the draining hosts back to their people."
    ),
    # Time enough to recover that the second host falls sick before the first one is taken aside.
    policy=policy_text("office", health={"ready_within": "PT90M"}),
    set_the_stage=_set_sick_later,
    outcome=Outcome(
        "Halted",
        {"office": "Halted"},
        checks=(story_tells("unhealthy"), story_tells("given back")),
    ),
)


# ----------------------------------------------------------------------------------------------------- several regions


def _set_slow_replication(stage: Stage) -> None:
    uk = stage.office("uk", hosts=4, region=REGION, other_regions=("westeurope", "northeurope"))
    stage.office("nl", hosts=4, region="westeurope", image_of=uk)
    stage.office("ie", hosts=4, region="northeurope", image_of=uk)
    takes: dict[str, timedelta | str] = {
        REGION: timedelta(minutes=25),
        "westeurope": timedelta(hours=2),
        "northeurope": "The storage account of the region is not reachable.",
    }
    stage.publish("08:10", uk, "2.0.0", takes=takes)


SLOW_REPLICATION = Scenario(
    name="slow_replication",
    title="Three regions, one late, one never",
    about=(
        "The same image serves pools in London, Amsterdam and Dublin. London has its copy after 25 minutes and "
        "starts; Amsterdam's takes two hours and nobody waits for it; Dublin's fails, so Dublin's hosts stay as they "
        "are and the rollout says so."
    ),
    policy=policy_text("uk", "nl", "ie", image="uk", replication={"deadline": "PT4H"}, surge="30%", max_wave="34%"),
    set_the_stage=_set_slow_replication,
    outcome=Outcome("Failed", {"uk": "Succeeded", "nl": "Succeeded", "ie": "Failed"}),
)


def _set_region_stuck(stage: Stage) -> None:
    uk = stage.office("uk", hosts=4, region=REGION, other_regions=("westeurope", "northeurope"))
    stage.office("nl", hosts=4, region="westeurope", image_of=uk)
    stage.office("ie", hosts=4, region="northeurope", image_of=uk)
    stage.publish("08:10", uk, "2.0.0", takes={REGION: timedelta(minutes=25), "westeurope": None, "northeurope": None})
    galleries, version = stage.estate.galleries, uk.version_id("2.0.0")
    copied_anew = {"westeurope": Takes(timedelta(minutes=20))}
    stage.at("13:00", lambda: galleries.update(version, regions={REGION: 1, "northeurope": 1}), by="image team")
    stage.at(
        "13:05",
        lambda: galleries.update(version, regions={REGION: 1, "northeurope": 1, "westeurope": 1}, takes=copied_anew),
        by="image team",
    )


REGION_STUCK = Scenario(
    name="region_stuck",
    title="Two regions that never get their copy",
    about=(
        "London has the version after 25 minutes; the copies for Amsterdam and Dublin make no progress. After three "
        "hours the policy decides, for each region by itself: the rollout goes on without Dublin and waits for "
        "Amsterdam. At one the image team takes Amsterdam off the version and adds it again, the copy arrives, and "
        "Amsterdam's hosts are replaced that afternoon."
    ),
    policy=policy_text(
        "uk",
        "nl",
        "ie",
        image="uk",
        replication={"deadline": "PT3H", "on_missing": "go_on", "on_missing_in": {"westeurope": "wait"}},
        surge="30%",
        max_wave="34%",
    ),
    set_the_stage=_set_region_stuck,
    outcome=Outcome(
        "Failed",
        {"uk": "Succeeded", "nl": "Succeeded", "ie": "Failed"},
        checks=(story_tells("and the policy waits for it"),),
    ),
)


# ------------------------------------------------------------------------------------------------- too few replicas


def _set_replica_shortage(stage: Stage) -> None:
    office = stage.office(hosts=200, people=100)
    stage.publish("18:10", office, "2.0.0", replicas=2)


REPLICA_SHORTAGE = Scenario(
    name="replica_shortage",
    title="Two hundred hosts at once, two replicas",
    about=(
        "A pool of 200 hosts is to be new over night, all at once, and the version has two replicas, which carry 40 "
        "new VMs at a time. The policy lets the rollout raise them to ten: the further copies are there before the "
        "canary has passed, no VM is made more slowly, and at the end there are two replicas again."
    ),
    policy=policy_text(
        "office",
        replication={"raise_replicas": True},
        surge="100%",
        max_wave="100%",
        max_creating=200,
        drain={"grace": "PT30M", "reminders": ["PT15M"]},
    ),
    set_the_stage=_set_replica_shortage,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(
            hosts_are_current(200),
            pool_keeps_its_size,
            made_at_once(at_least=150),
            replicas_were_enough,
            replicas_are(2),
            story_tells("uksouth gets 10 replicas instead of 2"),
        ),
    ),
    begins=MORNING.replace(hour=18),
)


# -------------------------------------------------------------------------------------------------- Azure misbehaves

FLAKY = {
    Site.THROTTLED: Chance(on=1, fires=0.006),
    Site.SERVER_ERROR: Chance(on=1, fires=0.004),
    Site.LOST_REQUEST: Chance(on=1, fires=0.003),
    Site.LOST_RESPONSE: Chance(on=1, fires=0.04),
}
"""A turn reads the pool with eight requests or so: about one turn in ten finds it unreadable."""


def _set_flaky_azure(stage: Stage) -> None:
    office = stage.office(hosts=8)
    stage.publish("08:10", office, "2.0.0")
    stage.at("09:00", lambda: _run_out_of_machines(stage, times=2), by=AZURE)
    stage.at("10:20", lambda: _flip_drain_mode(stage), by=AUTOSCALE)
    stage.estate.interference.delete_host(stage.moment("11:30"), office.pool_id, "avd-005")


def _run_out_of_machines(stage: Stage, times: int) -> None:
    stage.estate.faults.fail_next("*", "/virtualMachines/", Site.ALLOCATION_FAILED, times=times)


def _flip_drain_mode(stage: Stage) -> None:
    """Autoscale ends the drain mode of every host that is in it, as it does when demand rises."""
    office = stage.offices["office"]
    for host in stage.estate.drained_hosts(office.pool_id):
        stage.estate.hosts.update(office.pool_id, host.name, allow_new_session=True)


FLAKY_AZURE = Scenario(
    name="flaky_azure",
    title="A bad day for Azure",
    about=(
        "Requests are throttled, fail, or get lost together with their answers; the region has no room for two of the "
        "new hosts at first; autoscale lifts drain mode in the middle of a wave; and somebody deletes a host by hand. "
        "The rollout takes a little longer, and that is all."
    ),
    policy=policy_text("office"),
    faults=FLAKY,
    set_the_stage=_set_flaky_azure,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(7), story_tells("had no room")),
    ),
)


def _set_no_room(stage: Stage) -> None:
    office = stage.office(hosts=8, spare_hosts=0)
    stage.publish("08:10", office, "2.0.0")
    used = stage.estate.quota.usages(office.subscription, office.region)[0][1]
    stage.at("11:00", lambda: stage.estate.quota.set_limit(office.subscription, office.region, used + 12))


NO_ROOM = Scenario(
    name="no_room",
    title="No quota for another host",
    about=(
        "The policy wants new hosts first, but the region's core quota is used up. The rollout does not switch to "
        "another way by itself: it waits for capacity, says so, tries again now and then, and goes on when the quota "
        "has been raised at eleven."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_no_room,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        checks=(hosts_are_current(8), story_tells("WaitingCapacity")),
    ),
)


# -------------------------------------------------------------------------------------------------- several versions


def _set_newer_version(stage: Stage) -> None:
    office = stage.office(hosts=8)
    stage.publish("08:10", office, "2.0.0")
    stage.repeat_event("09:00")
    stage.publish("11:00", office, "2.1.0")


NEWER_VERSION = Scenario(
    name="newer_version",
    title="A newer version in the middle",
    about=(
        "Event Grid delivers the event of version 2.0.0 twice, which is harmless. At eleven the image team publishes "
        "2.1.0: the running rollout finishes the hosts that it has in hand and begins no more, and the newer version "
        "takes over with a canary of its own."
    ),
    policy=policy_text("office"),
    set_the_stage=_set_newer_version,
    outcome=Outcome(
        "Succeeded",
        {"office": "Succeeded"},
        rollouts=2,
        checks=(
            hosts_are_current(8),
            pool_keeps_its_size,
            story_tells("Superseded"),
        ),
    ),
)


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        HAPPY,
        IN_PLACE,
        SLOW_DRAIN,
        SLOW_DRAIN_WAIT,
        SLOW_DRAIN_SKIP,
        BAD_IMAGE,
        SICK_LATER,
        SLOW_REPLICATION,
        REGION_STUCK,
        REPLICA_SHORTAGE,
        FLAKY_AZURE,
        NO_ROOM,
        NEWER_VERSION,
        RETIRE,
        *RING_SCENARIOS,
        *OPERATOR_SCENARIOS,
    )
}
"""Every scenario by its name, the default first."""
