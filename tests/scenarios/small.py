"""A rollout that is over soon and yet uses every activity: three hosts, one of them drained by somebody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from demo.outcomes import pool_keeps_its_size
from demo.policies import policy_text
from demo.scenario import MORNING, Outcome, Scenario, Stage
from simulator.builders import Office
from simulator.galleries import GOOD, Flaws
from simulator.workload import OFFICE

AT_WORK = replace(OFFICE, attendance=1.0, arrives=7.0, arrives_spread=0.1, lunch_disconnects=0.0, obeys=0.5, reads=0.7)
"""People who are there when the rollout begins, and half of whom do as they are asked."""

POLICY = policy_text(
    "office",
    surge=1,
    canary={"bake": "PT5M"},
    drain={"grace": "PT20M", "reminders": ["PT5M"], "disconnected_grace": "PT5M"},
    health={"settle": "PT2M"},
)

Disturbance = Callable[[Stage, Office], None]


def small_rollout(
    *,
    phase: str = "Succeeded",
    whole: str = "",
    flaws: Flaws = GOOD,
    drained: int = 1,
    disturbed_by: Disturbance = lambda stage, office: None,
    policy: str = POLICY,
    **office: Any,
) -> Scenario:
    """Version 2.0.0 is published at 09:01 and is in its region at once.

    `phase` is how the pool's rollout shall end, `whole` how the image's shall where that differs.
    `disturbed_by` may plan what else happens; `office` goes to the builder.
    """

    def set_the_stage(stage: Stage) -> None:
        described: dict[str, Any] = {"people": 9, "workload": AT_WORK, "drained_by_somebody": drained, **office}
        built = stage.office(hosts=3, **described)
        stage.publish("09:01", built, "2.0.0", takes={built.region: timedelta(0)}, flaws=flaws)
        disturbed_by(stage, built)

    checks = (pool_keeps_its_size,) if phase == "Succeeded" else ()
    return Scenario(
        name="small",
        title="A small rollout",
        about="Three hosts, nine people, a grace period of twenty minutes.",
        policy=policy,
        set_the_stage=set_the_stage,
        outcome=Outcome(whole or phase, {"office": phase}, checks=checks),
        begins=MORNING.replace(hour=9),
        lasts_at_most=timedelta(hours=12),
    )
