"""Carries out what rollout/supply.py decides about replicas, within a rollout's orchestration."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from rollout.assignments import ImageRollout, ReplicaOrder
from rollout.model import ImageVersion, short_version
from rollout.policy import PoolPolicy
from rollout.replicas import Footprint
from rollout.steps import StepError
from rollout.supply import SupplyState, SupplyTurn, policy_of, prepare, put_back, record_put_back, record_raise

_story = logging.getLogger("goldroll.story")


class ImageSupply:
    """The replicas of the version that one execution of a rollout rolls out."""

    def __init__(self, context: df.DurableOrchestrationContext, rollout: ImageRollout) -> None:
        """Nothing has been raised yet."""
        self._context = context
        self._rollout = rollout
        self._policy = rollout.image.replication
        self._state = SupplyState()

    def prepare(self, version: ImageVersion, together: Iterable[Footprint]) -> Generator[Any, Any, None]:
        """Raise replicas for these pools as far as they may be, before the first of them starts."""
        pools = tuple(together)
        while (order := self._told(prepare(self._state, version, pools, self._policy)).order) is not None:
            outcome = yield from self._set(order)
            self._told(record_raise(self._state, order, outcome))

    def policy_of(self, footprint: Footprint) -> PoolPolicy:
        """The policy that the pool is started with."""
        return policy_of(self._state, footprint, self._policy)

    def put_back(self) -> Generator[Any, Any, None]:
        """Give back what was raised. Never raises for what Azure says."""
        while self._state.before:
            if self._state.retry_at is not None:
                yield self._context.create_timer(self._state.retry_at)
            order = put_back(self._state, self._rollout.version_id, now_of(self._context)).order
            if order is not None:
                outcome = yield from self._set(order)
                self._told(record_put_back(self._state, outcome, now_of(self._context)))

    def _set(self, order: ReplicaOrder) -> Generator[Any, Any, dict[str, int] | StepError]:
        try:
            answer = yield self._context.call_activity("set_replicas", msgspec.to_builtins(order), dict)
        except Exception as error:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
            return StepError("ActivityDied", str(error).strip().splitlines()[0][:300], retriable=True)
        return msgspec.convert(answer["error"], StepError) if "error" in answer else answer["before"]

    def _told(self, turn: SupplyTurn) -> SupplyTurn:
        """Remember what the turn says and tell its story."""
        self._state = turn.state
        if not self._context.is_replaying:
            version = short_version(self._rollout.version_id)
            for sentence in turn.story:
                _story.info("%s %s: %s", self._rollout.image.name, version, sentence)
        return turn
