"""Takes one turn of a rollout: look at the pool, decide, tell the story.

The decision is made where the pool was observed: the picture of a pool of a thousand hosts is megabytes, more than may
pass through Durable's history. What goes in and out is what the rollout remembers and the steps.
"""

from __future__ import annotations

import logging
from datetime import datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct, structs

from activities.answers import Payload, as_json, unexpected
from adapters.errors import StepFailed
from adapters.pool_reader import observe
from rollout.model import PoolSnapshot, RolloutState, Stage
from rollout.orders import MOST_STEPS, within
from rollout.policy import PoolPolicy
from rollout.pool import decide, decide_unreadable, to_look_into
from rollout.steps import Decision, StartDraining

bp = df.Blueprint()

_story = logging.getLogger("goldroll.story")


class TurnOrder(Struct, frozen=True):
    """What a turn starts from."""

    state: RolloutState
    policy: PoolPolicy
    now: datetime


@bp.activity_trigger(input_name="turn")
def decide_turn(turn: Payload) -> Payload:
    """Observe the pool and decide.

    In: `{"state": RolloutState, "policy": PoolPolicy, "now": time}`. Out: `{"decision": Decision}`, its story told to
    the log and left out, its steps no more than a turn carries out. A pool that cannot be read gives a decision to try
    again, or to end when it is gone.
    """
    order = msgspec.convert(turn, TurnOrder)
    decision = within(_decide(order), MOST_STEPS, order.now)
    for sentence in decision.story:
        _story.info("%s: %s", order.policy.name, sentence)
    return {"decision": as_json(structs.replace(decision, story=()))}


def _decide(order: TurnOrder) -> Decision:
    state, policy, now = order.state, order.policy, order.now
    asked_for = [name for name, host in state.in_hand.items() if host.stage is Stage.PROVISIONING]
    new = to_look_into(state, now)
    try:
        snapshot = observe(state.pool_id, state.target, policy, state.rollout_id, new, now, untouched=asked_for)
        return _with_what_was_seen(decide(state, snapshot, policy, now), snapshot)
    except StepFailed as failed:
        return decide_unreadable(state, failed.error, now)
    except Exception as error:  # noqa: BLE001 - a rollout must not die of one bad turn, with hosts drained
        return decide_unreadable(state, unexpected(error), now)


def _with_what_was_seen(decision: Decision, snapshot: PoolSnapshot) -> Decision:
    """Say of each host to be drained whether it carries the rollout's tag, so that nobody needs to read it again."""
    held = {host.name for host in snapshot.hosts if host.is_held_by(decision.state.rollout_id)}
    steps = tuple(
        structs.replace(step, held=True) if isinstance(step, StartDraining) and step.host in held else step
        for step in decision.steps
    )
    return structs.replace(decision, steps=steps)
