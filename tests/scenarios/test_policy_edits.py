"""The policy is edited while a rollout runs: that one keeps what it began with, the next one uses the new one."""

from __future__ import annotations

from datetime import timedelta

from demo.policies import policy_text
from demo.ring_scenarios import QUIET
from demo.run import Run
from demo.scenario import MORNING, Outcome, Scenario, Stage

BEFORE = policy_text("test", "gone", image="test", **QUIET)
AFTER = policy_text(
    "test",
    "office",
    image="test",
    rings=[
        {"name": "validation", "host_pools": ["test"], "gates": {"soak": "PT2H"}},
        {"name": "people", "host_pools": ["office"]},
    ],
    windows=[{"zone": "UTC", "recurrence": "FREQ=DAILY", "start": "16:00", "duration": "PT12H"}],
    **QUIET,
)


def _set_the_stage(stage: Stage) -> None:
    test = stage.office("test", hosts=2, people=0)
    stage.office("gone", hosts=2, people=0, image_of=test)
    stage.office("office", hosts=2, people=0, image_of=test)
    at_once = {test.region: timedelta(0)}
    stage.publish("08:10", test, "2.0.0", takes=at_once)
    stage.edit_policy("08:30", AFTER)  # a pool more, a pool less, rings, a gate and windows
    stage.edit_policy("09:00", "images: [")
    stage.edit_policy("09:30", None)
    stage.publish("15:00", test, "2.1.0", takes=at_once)


EDITED = Scenario(
    name="policy_edited",
    title="The policy is edited",
    about="A pool is added and one removed, rings, a gate and windows appear, then the file is broken and deleted.",
    policy=BEFORE,
    set_the_stage=_set_the_stage,
    outcome=Outcome("Succeeded", {"test": "Succeeded", "gone": "", "office": "Succeeded"}, rollouts=2),
    begins=MORNING,
    lasts_at_most=timedelta(hours=40),
)


async def test_a_rollout_keeps_the_policy_of_its_start_and_the_next_one_uses_the_last_good_edit() -> None:
    run = Run(EDITED)
    result = await run.play()

    assert result.violations == ()
    assert [(end.version, end.phase) for end in result.rollouts] == [("2.0.0", "Succeeded"), ("2.1.0", "Succeeded")]
    # The only problems are the two that the app has told of: the broken file, and the deleted one.
    assert len(result.problems) == 2
    told = "the app logged an error: the policy cannot be used, and the last good one stays in use: goldroll.yaml: "
    assert all(problem.startswith(told) for problem in result.problems)

    versions = {
        name: {host.machine.exact_version for host in office.pool.hosts.values() if host.machine}
        for name, office in run.stage.offices.items()
    }
    assert versions == {"test": {"2.1.0"}, "gone": {"2.0.0"}, "office": {"2.1.0"}}
    story = [(line.at, line.sentence) for line in result.story]
    first = [at for at, sentence in story if "outdated; rolling out 2.0.0" in sentence]
    assert len(first) == 2
    assert max(first) - MORNING < timedelta(minutes=30)
    started = [at for at, sentence in story if sentence.startswith("provisioning") and "on 2.1.0" in sentence]
    assert started
    assert min(started) - MORNING >= timedelta(hours=8)  # at 16:00, when the new window opens
