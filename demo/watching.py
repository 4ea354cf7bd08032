"""Watches the whole app with the invariant checkers of the random runs: every decision, every step, every change."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from demo.scenario import Stage
from localhost import ActivityCall, ActivityFinished
from localhost.events import HostEvent
from rollout.model import PoolSnapshot
from rollout.policy import Policy
from rollout.steps import SignOutSessions
from rollout.travelling import unpack, unpack_decision
from simulator.faults import Faults
from simulator.invariants import CHECKERS, Turn, Watch
from simulator.journal import Entry
from simulator.observing import PoolReader
from simulator.pool_scene import PoolScene

ROLLOUT = "rollout"
"""Who the journal says has done what the app asked of Azure."""

_SIGNING_OUT = SignOutSessions(host="", registration="", sessions=(), forced=0, reason="")


class InvariantWatch:
    """Gives every checker what happens in the pool that it watches, and collects what they find.

    What the app does is shown to the checkers of the pool whose rollout does it, wherever it happens: so a rollout that
    strays into another pool is seen. What others do is shown to those of the pool where it happens.
    """

    def __init__(self, stage: Stage, policy: Policy) -> None:
        """`stage` is set and nothing has happened yet."""
        self._stage = stage
        policies = {pool.name: pool for pool in policy.host_pools}
        self._scenes = {name: PoolScene(office, policies[name], "", "") for name, office in stage.offices.items()}
        self._watches = {name: Watch(scene, CHECKERS) for name, scene in self._scenes.items()}
        self._acting = ""
        self._picture: PoolSnapshot | None = None
        self._turns = 0
        stage.estate.subscribe(self._saw)

    @property
    def turns(self) -> int:
        """Decisions that the checkers have been shown."""
        return self._turns

    @property
    def violations(self) -> list[str]:
        """The first violation that each checker found, pool by pool."""
        return [f"{pool}: {violation}" for pool, watch in self._watches.items() for violation in watch.violations]

    def begins(self, call: ActivityCall) -> None:
        """An activity is about to run: until it ends, what Azure is asked is asked by its rollout."""
        pool = call.instance_id.rpartition(":")[2]
        self._acting = pool if pool in self._scenes else ""
        if not self._acting:
            return
        scene = self._scenes[pool]
        if scene.rollout_id != call.instance_id:
            scene.rollout_id = call.instance_id
            scene.at_start = scene.traits()
        scene.executing = _SIGNING_OUT if call.name == "sign_out_sessions" else None
        if call.name == "decide_turn":
            state = unpack(str(_read(call.input)["state"]))
            scene.target = state.target
            self._picture = self._take_picture(scene, state.in_hand)

    def hear(self, event: HostEvent) -> None:
        """Take in what the host tells: decisions are the answers of one activity."""
        if not isinstance(event, ActivityFinished):
            return
        pool, self._acting = self._acting, ""
        if pool and event.name == "decide_turn" and event.result is not None:
            self._decided(pool, event.input, event.result)

    def _decided(self, pool: str, given: str, answered: str) -> None:
        order, answer = _read(given), _read(answered)
        decision = unpack_decision(answer["decision"])
        before = unpack(str(order["state"]))
        now = msgspec.convert(order["now"], datetime)
        self._turns += 1
        self._scenes[pool].state = decision.state
        watch = self._watches[pool]
        could_read = decision.state.unreadable <= before.unreadable
        watch.decided(Turn(self._turns, now, before, self._picture if could_read else None, decision))
        if decision.done:
            watch.ended(decision)

    def _take_picture(self, scene: PoolScene, in_hand: Collection[str]) -> PoolSnapshot | None:
        """The pool as the app is about to see it, unless Azure lets the app down; None when there is no pool."""
        tag = scene.policy.scaling_exclusion_tag
        reader = PoolReader(scene.estate, scene.pool.id, scene.rollout_id, scene.target, tag, faults=Faults())
        return None if scene.pool.deleted else reader.observe(in_hand)

    def _saw(self, entry: Entry) -> None:
        pool = self._acting if entry.by == ROLLOUT and self._acting else self._pool_of(entry)
        if pool in self._scenes:
            self._scenes[pool].saw(entry)

    def _pool_of(self, entry: Entry) -> str:
        """The pool that an entry is about, by the label `pool/host` or by the resource group; "" for none."""
        subject = entry.subject.lower()
        for name, office in self._stage.offices.items():
            group = f"/subscriptions/{office.subscription}/resourcegroups/{office.group}/".lower()
            labels = (entry.subject.split("/")[0], entry.detail.split("/")[0])
            if subject.startswith(group) or (not subject.startswith("/") and office.pool.name in labels):
                return name
        return ""


def _read(text: str) -> Mapping[str, object]:
    """The JSON object behind an activity's text, which Durable may have wrapped as a string."""
    value = json.loads(text)
    value = json.loads(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}
