"""A version that waits for its schedule, through the whole app: the timer, the entity and the rollout."""

from __future__ import annotations

from dataclasses import replace

import yaml

from demo.run import play
from tests.scenarios.small import POLICY, small_rollout


def scheduled(**schedule: object) -> str:
    """The small office's policy with a schedule for its image."""
    policy = yaml.safe_load(POLICY)
    policy["images"][0]["schedule"] = {"zone": "Europe/London", **schedule}
    return yaml.safe_dump(policy, sort_keys=False)


async def test_a_version_is_rolled_out_at_its_time_and_not_when_it_is_published() -> None:
    # Published at 09:01; the timer looks every quarter of an hour, and first at 09:15.
    policy = scheduled(recurrence="FREQ=DAILY", start="10:30", min_age="PT45M")
    result = await play(replace(small_rollout(policy=policy), name="on_schedule"))

    assert (result.problems, result.violations) == ((), ())
    first = next(line for line in result.story if "waiting for version" in line.sentence or "2.0.0 is" in line.sentence)
    assert f"{first.at:%H:%M}" == "10:30"
