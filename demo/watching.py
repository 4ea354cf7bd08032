"""Watches the whole app with the invariant checkers of the random runs, as far as they need no picture of the pool."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import cast

import msgspec

from demo.scenario import Stage
from localhost import ActivityCall, ActivityFinished
from localhost.events import HostEvent
from rollout.instance_ids import image_instance
from rollout.model import RolloutState
from rollout.policy import Policy, PoolPolicy
from rollout.steps import Decision, SignOutSessions, Step
from simulator import ids
from simulator.builders import Office
from simulator.invariants import CHECKERS, Turn, Watch
from simulator.journal import Entry, Kind, Listener
from simulator.machines import Machine
from simulator.scene import Scene

ROLLOUT = "rollout"
"""Who the journal says has done what the app asked of Azure."""

_SIGNING_OUT = SignOutSessions(host="", registration="", sessions=(), forced=0, reason="")


class JournalWatch:
    """Gives every checker what happens in the pool that it watches, and collects what they find.

    What the app does is shown to the checkers of the pool whose rollout does it, wherever it happens: so a rollout that
    strays into another pool is seen. What others do is shown to those of the pool where it happens.
    """

    def __init__(self, stage: Stage, policy: Policy) -> None:
        """`stage` is set and nothing has happened yet."""
        self._stage = stage
        policies = {pool.name: pool for pool in policy.host_pools}
        self._scenes = {name: PoolScene(office, policies[name]) for name, office in stage.offices.items()}
        self._watches = {
            # Checkers name their scene by the class of the random runs; a PoolScene has what these ask of it.
            name: Watch(cast(Scene, scene), CHECKERS)
            for name, scene in self._scenes.items()
        }
        self._acting = ""
        self._turns = 0
        stage.estate.subscribe(self._saw)

    @property
    def violations(self) -> list[str]:
        """The first violation that each checker found, pool by pool."""
        return [f"{pool}: {violation}" for pool, watch in self._watches.items() for violation in watch.violations]

    def begins(self, call: ActivityCall) -> None:
        """An activity is about to run: until it ends, what Azure is asked is asked by its rollout."""
        image, _, pool = call.instance_id.rpartition(":")
        if pool in self._scenes:
            self._acting = pool
            scene = self._scenes[pool]
            scene.executing = _SIGNING_OUT if call.name == "sign_out_sessions" else None
            targets = {image_instance(version): version for version in self._stage.published}
            scene.target = targets.get(image, "")

    def hear(self, event: HostEvent) -> None:
        """Take in what the host tells: decisions are in the answers of one activity."""
        if not isinstance(event, ActivityFinished):
            return
        pool, self._acting = self._acting, ""
        if event.name == "decide_turn" and event.result is not None and pool:
            self._decided(pool, event.input, event.result)

    def _decided(self, pool: str, given: str, answered: str) -> None:
        order, answer = _read(given), _read(answered)
        if "decision" not in answer:
            return
        decision = msgspec.convert(answer["decision"], Decision)
        before = msgspec.convert(order["state"], RolloutState)
        now = msgspec.convert(order["now"], datetime)
        self._turns += 1
        self._scenes[pool].state = decision.state
        self._watches[pool].decided(Turn(self._turns, now, before, None, decision))

    def _saw(self, entry: Entry) -> None:
        pool = self._acting if entry.by == ROLLOUT and self._acting else self._pool_of(entry)
        if pool in self._scenes:
            self._scenes[pool].saw(entry)

    def _pool_of(self, entry: Entry) -> str:
        """The pool that an entry is about, by the label `pool/host` or by the resource group; "" for none."""
        for name, office in self._stage.offices.items():
            if entry.subject.startswith("/"):
                if entry.subject.lower().startswith(
                    f"/subscriptions/{office.subscription}/resourcegroups/{office.group}/"
                ):
                    return name
            elif office.pool.name in (entry.subject.split("/")[0], entry.detail.split("/")[0]):
                return name
        return ""


class PoolScene:
    """One pool as the checkers see it: what they ask of `simulator.scene.Scene`, for a pool of a stage."""

    def __init__(self, office: Office, policy: PoolPolicy) -> None:
        """The pool as it stands now."""
        self.estate = office.estate
        self.office = office
        self.pool = office.pool
        self.policy = policy
        self.target = ""
        self.executing: Step | None = None
        self.state = RolloutState("", office.pool_id, "", office.estate.world.time)
        self.members = {host.machine_id.lower() for host in office.pool.hosts.values()}
        self.created: set[str] = set()
        self.size = len(self.members)
        self.doubtful = 0
        self.removed_by_others: set[str] = set()
        self._listeners: defaultdict[Kind, list[Listener]] = defaultdict(list)

    def clock(self) -> datetime:
        """The instant at which something is happening."""
        return self.estate.world.time

    def listen(self, kinds: Iterable[Kind], listener: Listener) -> None:
        """Call `listener` with every journal entry of these kinds."""
        for kind in kinds:
            self._listeners[kind].append(listener)

    def is_ours(self, machine_id: str) -> bool:
        """The machine belongs to this pool: it was there, or the rollout made it."""
        return machine_id.lower() in self.members or machine_id.lower() in self.created

    def machines(self) -> list[Machine]:
        """The pool's machines that exist."""
        group = self.estate.machines.in_group(self.office.subscription, self.office.group)
        return [machine for machine in group if self.is_ours(machine.id)]

    def saw(self, entry: Entry) -> None:
        """Take an entry in, then pass it on."""
        if entry.kind is Kind.MACHINE_REQUESTED and entry.by == ROLLOUT:
            self.created.add(entry.subject.lower())
        elif entry.kind is Kind.MACHINE_DELETING and entry.by != ROLLOUT and self.is_ours(entry.subject):
            self.removed_by_others.add(entry.subject.lower())
            self.size -= ids.parse(entry.subject).name.lower() not in self.state.in_hand
        for listener in self._listeners[entry.kind]:
            listener(entry)


def _read(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
