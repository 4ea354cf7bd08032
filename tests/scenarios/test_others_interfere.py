"""What others may do to the pool, the image and Azure's answers while the whole app is at work."""

from __future__ import annotations

from typing import Any

import pytest

from demo.result import Result
from demo.run import Run
from demo.scenario import Scenario, Stage
from simulator.builders import Office
from simulator.errors import AzureError
from simulator.host_pools import PoolType
from simulator.journal import Kind
from tests.scenarios.small import small_rollout


async def test_a_pool_deleted_in_the_middle_ends_the_rollout_as_failed_and_nothing_more_is_touched() -> None:
    def delete_pool(stage: Stage, office: Office) -> None:
        stage.estate.interference.delete_pool(stage.moment("09:30"), office.pool_id)

    result = await _play(small_rollout(phase="Failed", disturbed_by=delete_pool))
    assert "no longer exists" in result.pools[0].message
    gone_at = next(entry.at for entry in result.journal if entry.kind is Kind.POOL_DELETED)
    assert [str(entry) for entry in result.journal if entry.by == "rollout" and entry.at > gone_at] == []


async def test_a_version_deleted_in_the_middle_halts_the_rollout_and_gives_every_host_back() -> None:
    def delete_version(stage: Stage, office: Office) -> None:
        stage.estate.interference.delete_version(stage.moment("09:30"), office.version_id("2.0.0"))

    result = await _play(small_rollout(phase="Halted", drained=0, disturbed_by=delete_version))
    pool = result.pools[0]
    assert "2.0.0 no longer exists" in pool.message
    assert (pool.drained, pool.tagged) == ((), ())


async def test_a_404_to_every_delete_means_that_somebody_was_faster() -> None:
    def somebody_is_faster(stage: Stage, office: Office) -> None:
        """Every delete is carried out, and yet answered as if there had been nothing: its first answer was lost."""
        faults = stage.estate.faults
        call = faults.call

        def answered_with_404(method: str, path: str, act: Any) -> Any:
            answer = call(method, path, act)
            if method == "DELETE":
                raise AzureError(404, "ResourceNotFound", "The Resource was not found.")
            return answer

        faults.call = answered_with_404  # type: ignore[method-assign]

    await _play(small_rollout(disturbed_by=somebody_is_faster))


@pytest.mark.parametrize(
    ("why", "office"),
    [
        ("type Personal", {"pool_type": PoolType.PERSONAL}),
        ("type BYODesktop", {"pool_type": PoolType.BYO_DESKTOP}),
        ("management type Automated", {"management_type": "Automated"}),
    ],
)
async def test_a_pool_that_cannot_be_rolled_this_way_is_refused_before_anything_is_touched(
    why: str, office: dict[str, Any]
) -> None:
    run = Run(small_rollout(phase="Refused", drained=0, whole="Failed", **office))
    result = await run.play()
    assert (result.problems, result.violations) == ((), ())
    assert why in result.pools[0].message
    assert [name for name in run.arm.calls if not name.split(".")[1].startswith(("get", "list"))] == []
    assert [str(entry) for entry in result.journal if entry.by == "rollout"] == []


async def _play(scenario: Scenario) -> Result:
    result = await Run(scenario).play()
    assert (result.problems, result.violations) == ((), ())
    return result
