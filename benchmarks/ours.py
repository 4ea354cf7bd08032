"""Goldroll: the core's decisions, carried out on the estate turn by turn as the app does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from benchmarks.stage import Stage
from rollout import pool as core
from rollout.policy import EntraJoin, PoolPolicy, SessionHostTemplate
from rollout.presets import preset_values
from simulator.direct import ROLLOUT, DirectAzure

_BETWEEN_DECISION_AND_STEP = timedelta(seconds=5)


def policy_for(stage: Stage, preset: str) -> PoolPolicy:
    """A preset's policy under the case's limits: its grace, and k hosts at a time, half extra and half missing."""
    case = stage.case
    extra = case.extra
    values: dict[str, Any] = {
        "name": "office",
        "host_pool_id": stage.office.pool_id,
        "image": "office",
        "surge": extra,
        "max_unavailable": max(0, case.at_a_time - extra),
        "max_creating": max(20, case.at_a_time),
        "expected_provisioning": case.expected_provisioning,
        "health": {"ready_within": case.ready_within},
        "drain": {"grace": case.grace, "reminders": [timedelta(minutes=15)]},
    }
    if preset == "in_place_minimal":
        values |= {"max_unavailable": case.at_a_time, "max_wave": "25%"}
    template = SessionHostTemplate(name_prefix="new", subnet_id="/subscriptions/s/subnets/d", join=EntraJoin())
    values["session_host"] = msgspec.to_builtins(template)
    return msgspec.convert(_over(preset_values(preset), msgspec.to_builtins(values)), PoolPolicy)


def _over(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    """The strong values, with what they do not say taken from the weak ones, as the policy file does it."""
    merged = {**weak, **strong}
    for key in weak.keys() & strong.keys():
        if isinstance(weak[key], dict) and isinstance(strong[key], dict):
            merged[key] = _over(weak[key], strong[key])
    return merged


def play(stage: Stage, preset: str) -> None:
    """Roll the pool with the preset until it is done."""
    policy = policy_for(stage, preset)
    azure = DirectAzure(stage.estate, stage.office.pool_id, "rollout", stage.target, policy)
    state = core.start("rollout", stage.office.pool_id, stage.target, stage.clock())
    while not stage.over:
        now = stage.clock()
        fresh = core.deals_with_sessions(state, policy, now)
        snapshot = azure.observe(core.to_look_into(state, now), fresh_sessions=fresh)
        decision = core.decide(state, snapshot, policy, now)
        state = decision.state
        stage.clock.advance(_BETWEEN_DECISION_AND_STEP)
        with stage.estate.acting_as(ROLLOUT):
            outcomes = [outcome for step in decision.steps for outcome in azure.execute(step)]
        state = core.record(state, outcomes, stage.clock())
        stage.measure()
        if decision.done:
            stage.given_up = True
        elif decision.wake_at is not None:
            again_at = core.look_again_at(state, outcomes, stage.clock()) or decision.wake_at
            stage.wait(max(timedelta(seconds=1), min(decision.wake_at, again_at) - stage.clock()))
