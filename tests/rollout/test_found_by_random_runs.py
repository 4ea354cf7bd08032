"""What went wrong in random runs (`dev.py simulate`), each as the smallest situation that shows it."""

from __future__ import annotations

from rollout.model import Phase
from tests.rollout.builders import a_policy, a_pool
from tests.rollout.world import World


def test_a_pool_with_fewer_outdated_hosts_than_canaries_wanted_bakes_once_and_ends() -> None:
    world = World(a_pool(outdated=1, current=4), a_policy(canary={"hosts": 3}))
    world.run(turns=200)
    assert world.state.phase is Phase.SUCCEEDED
