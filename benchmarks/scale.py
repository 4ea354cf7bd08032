"""What a rollout costs as pools grow: CPU, calls to Azure, history, state and memory, and what is left in the buckets.

    python3 dev.py bench --scale [--quick] [--json] [--write]

The core is measured alone, in the simulated estate without a wire; the whole app on the local host in virtual time,
with the real Durable SDK and the real Azure clients, against a simulated Azure that throttles as the real one does.
CPU is this process's own, without the simulated Azure's share, so a busy machine does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from activities.decide_turn import decide_turn
from adapters import connect
from benchmarks.scale_page import write
from demo.policies import REGION, host_prefix, policy_text
from demo.run import APP
from demo.scenario import MORNING
from localhost import ActivityCall, ActivityFinished, Host, InstanceFinished, VirtualClock
from localhost.events import HostEvent
from localhost.faults import Fault, Moment
from rollout import pool as core
from rollout.instance_ids import ROLL_OUT_IMAGE
from rollout.model import RolloutState
from rollout.policy import PoolPolicy
from rollout.policy_file import read_policy
from rollout.travelling import pack
from simulator.arm import Arm
from simulator.builders import Office, office_pool
from simulator.clock import SteppedClock
from simulator.direct import DirectAzure
from simulator.estate import Estate
from simulator.faults import compute_policy
from simulator.images import VMS_PER_REPLICA
from simulator.throttling import ARM_BUCKETS, COMPUTE_PER_SUBSCRIPTION, Bucket
from simulator.transport import MANAGEMENT, AnyoneCredential, transport_to
from simulator.wire import Answer, Request

DOCS = Path(__file__).resolve().parent.parent / "docs"

LOAD = 0.3
"""Share of the pool's session slots that people have: enough to keep notices and sign-outs busy."""

SUBSCRIPTION_POOLS = 20
"""So many pools of the largest size that was measured share the buckets of one subscription in the margins."""

MOST_HOSTS_OF_THE_APP = 1000
HOSTS_OF_MANY_POOLS = HOSTS_TO_COMPARE_WITH = 10

COMPARED_EVERY = timedelta(minutes=40)
"""So often in the simulated time of a rollout another one of 10 hosts is made, to compare with."""

LONGEST_ROLLOUT = timedelta(hours=72)
SCHEDULES = {"GOLDROLL_SWEEP_SCHEDULE": "0 */15 * * * *", "GOLDROLL_RETIREMENT_SCHEDULE": "0 0 0 1 1 *"}
"""Old versions are retired on New Year's Day, so that a rollout's calls are counted alone."""

QUICK_HOSTS, QUICK_POOLS = (10, 40), (1, 4)
FULL_HOSTS, FULL_POOLS = (10, 100, 1000, 10_000), (1, 20, 200)

_MACHINES = "/providers/microsoft.compute/"


class CoreCost(Struct, frozen=True, kw_only=True):
    """Rolling `pools` pools of `hosts` hosts each with the core alone.

    `cpu_ms_per_host` is decide() and record(). `times_ten_hosts` compares it with the median of rollouts of one pool of
    10 hosts that took turns with this one in the same process: a machine's speed changes by half within minutes, so two
    runs one after the other cannot be compared. `state_bytes` is the largest state that travels, as JSON.
    """

    hosts: int
    pools: int
    turns: int
    steps: int
    most_steps_in_a_turn: int
    state_bytes: int
    cpu_ms_per_host: float
    times_ten_hosts: float
    took_hours: float
    phases: dict[str, int]


class AppCost(Struct, frozen=True, kw_only=True):
    """Rolling one pool of `hosts` hosts with the whole app.

    `calls` counts requests by operation, `calls_per_turn` those of one observation, `calls_per_action` those of one run
    of each activity. `calls_per_host` are those of the rollout; those of the sweep, which looks for new versions every
    quarter of an hour whatever is rolled, are `calls_of_the_sweep`, for each host too. `state_bytes` is the largest
    state, `turn_bytes` the largest input of a turn (with the policy), `decision_bytes` the largest answer of one,
    `status_bytes` the largest custom status; all as JSON. `turn_memory_bytes` is the peak of one turn's memory, with
    the simulated Azure's answers in it.
    """

    hosts: int
    people: int
    phase: str
    took_hours: float
    turns: int
    calls_per_host: float
    calls_of_the_sweep: float
    calls: dict[str, int]
    calls_per_turn: float
    calls_per_action: dict[str, float]
    cpu_ms_per_host: float
    longest_history: int
    state_bytes: int
    turn_bytes: int
    decision_bytes: int
    status_bytes: int
    turn_memory_bytes: int
    throttled: int


class Margin(Struct, frozen=True, kw_only=True):
    """What 20 pools leave of one bucket.

    `lowest_of_one` is the least that the bucket held while one pool was rolled by the app, with its back-off.
    `busiest_share` is what 20 such pools in step would use of the refill in their busiest hour, `mean_share` over the
    whole rollout: above 1 the back-off spreads the work over more time. `hours_at_refill` is how long the refill alone
    needs for everything that the 20 pools ask.
    """

    bucket: str
    capacity: float
    refill_per_second: float
    lowest_of_one: float
    busiest_share: float
    mean_share: float
    hours_at_refill: float


class ScaleReport(Struct, frozen=True):
    """Everything that was measured. `margins_are_computed_from` says which run the margins are made of."""

    core: tuple[CoreCost, ...]
    app: tuple[AppCost, ...]
    margins: tuple[Margin, ...]
    margins_are_computed_from: str


def measure(hosts: Sequence[int], pools: Sequence[int]) -> ScaleReport:
    """Roll pools of each size and each number of pools; the app only up to 1,000 hosts.

    20 pools of 1,000 hosts through the whole app would take hours of CPU: the margins are computed from the requests,
    minute by minute, of the largest pool that was rolled.
    """
    alone = [core_cost(size, 1) for size in hosts]
    alone += [core_cost(HOSTS_OF_MANY_POOLS, number) for number in pools if number > 1]
    runs = [AppRun(size) for size in hosts if size <= MOST_HOSTS_OF_THE_APP]
    costs = tuple(run.cost() for run in runs)
    return ScaleReport(
        core=tuple(alone),
        app=costs,
        margins=runs[-1].margins(SUBSCRIPTION_POOLS) if runs else (),
        margins_are_computed_from=f"one pool of {costs[-1].hosts} hosts, times {SUBSCRIPTION_POOLS}" if costs else "",
    )


# --------------------------------------------------------------------------------------------------------- the core


def core_cost(hosts: int, pools: int) -> CoreCost:
    """Roll pools of this size side by side, turn by turn, and count the CPU of the decisions only.

    Between the turns pools of 10 hosts are rolled, to compare with.
    """
    beside: list[float] = []
    clock = SteppedClock(MORNING)
    rollouts = _core_rollouts(hosts, pools, clock)
    while _take_turn(rollouts, clock):
        if clock() - MORNING >= COMPARED_EVERY * len(beside):
            beside.append(_cpu_of_ten_hosts())
    cpu = sum(rollout.cpu for rollout in rollouts) / (hosts * pools)
    return CoreCost(
        hosts=hosts,
        pools=pools,
        turns=sum(rollout.turns for rollout in rollouts),
        steps=sum(rollout.steps for rollout in rollouts),
        most_steps_in_a_turn=max(rollout.most_steps for rollout in rollouts),
        state_bytes=max(rollout.state_bytes for rollout in rollouts),
        cpu_ms_per_host=round(1000 * cpu, 3),
        times_ten_hosts=round(cpu / median(beside), 2),
        took_hours=_hours(clock() - MORNING),
        phases=dict(Counter(str(rollout.state.phase) for rollout in rollouts)),
    )


def _cpu_of_ten_hosts() -> float:
    """Seconds for each host of one pool that is rolled meanwhile."""
    clock = SteppedClock(MORNING)
    rollouts = _core_rollouts(HOSTS_TO_COMPARE_WITH, 1, clock)
    while _take_turn(rollouts, clock):
        pass
    return rollouts[0].cpu / HOSTS_TO_COMPARE_WITH


def _core_rollouts(hosts: int, pools: int, clock: SteppedClock) -> list[_CoreRollout]:
    estate = Estate(clock, seed=1)
    offices, policies = _offices(estate, hosts, pools)
    return [_CoreRollout(office, policy, clock) for office, policy in zip(offices, policies, strict=True)]


def _take_turn(rollouts: list[_CoreRollout], clock: SteppedClock) -> bool:
    """Let the rollout that is due first take its turn; False when all have ended or take too long."""
    due = [rollout for rollout in rollouts if rollout.due is not None]
    if not due:
        return False
    next_one = min(due, key=lambda rollout: rollout.due or MORNING)
    clock.advance_to(max(clock(), next_one.due or MORNING))
    if clock() - MORNING > LONGEST_ROLLOUT:
        return False
    next_one.turn()
    return True


class _CoreRollout:
    """One pool's rollout, decided by the core and carried out in the estate."""

    def __init__(self, office: Office, policy: PoolPolicy, clock: SteppedClock) -> None:
        self._clock = clock
        self._policy = policy
        rollout_id, target = f"image-scale-2.0.0-abcdef:{policy.name}", office.version_id("2.0.0")
        self._azure = DirectAzure(office.estate, office.pool_id, rollout_id, target, policy)
        self.state: RolloutState = core.start(rollout_id, office.pool_id, target, clock())
        self.due: datetime | None = clock()
        self.turns = self.steps = self.most_steps = self.state_bytes = 0
        self.cpu = 0.0

    def turn(self) -> None:
        """Observe, decide, act, remember."""
        now = self._clock()
        fresh = core.deals_with_sessions(self.state, self._policy, now)
        snapshot = self._azure.observe(core.to_look_into(self.state, now), fresh_sessions=fresh)
        began = time.process_time()
        decision = core.decide(self.state, snapshot, self._policy, now)
        self.cpu += time.process_time() - began
        outcomes = [outcome for step in decision.steps for outcome in self._azure.execute(step)]
        began = time.process_time()
        self.state = core.record(decision.state, outcomes, self._clock())
        self.cpu += time.process_time() - began
        self.turns += 1
        self.steps += len(decision.steps)
        self.most_steps = max(self.most_steps, len(decision.steps))
        self.state_bytes = max(self.state_bytes, len(pack(self.state)))
        self.due = None if decision.done else decision.wake_at


# ---------------------------------------------------------------------------------------------------------- the app


class _WeighedArm(Arm):
    """Azure's front door, which knows how much CPU it has used itself."""

    cpu = 0.0

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None) -> Answer:
        """Answer one request."""
        began = time.process_time()
        try:
            return super().handle(method, url, headers, body)
        finally:
            self.cpu += time.process_time() - began


class AppRun:
    """One pool rolled by the whole app, from the sweep that finds the version to the end."""

    def __init__(self, hosts: int) -> None:
        """Roll it at once."""
        self._hosts = hosts
        self._clock = VirtualClock(MORNING)
        self._estate = Estate(self._clock.now, seed=1)
        (self._office,), _ = _offices(self._estate, hosts, 1)
        self._people = len(self._office.people)
        self._arm = _WeighedArm(self._estate, throttled=True)
        self._arm.listeners.append(self._answered)
        self._is_over = False
        self._activity = ""
        self._runs: Counter[str] = Counter()
        self._calls_in: Counter[str] = Counter()
        self._by_minute: Counter[tuple[str, int]] = Counter()
        self._largest: Counter[str] = Counter()
        self._memory = _turn_memory(self._estate, self._office)
        self._arm.calls.clear()
        asyncio.run(self._roll())

    async def _roll(self) -> None:
        level = logging.getLogger("goldroll").level
        logging.getLogger("goldroll").setLevel(logging.CRITICAL)
        transport, clock = transport_to(self._arm), self._clock
        connect.use(
            connect.Connection(MANAGEMENT, AnyoneCredential(), transport, clock=lambda: clock.now().timestamp())
        )
        try:
            with tempfile.TemporaryDirectory(prefix="goldroll-") as folder:
                policy = Path(folder) / "goldroll.yaml"
                policy.write_text(_policy(1), encoding="utf-8")
                settings = {"GOLDROLL_POLICY": str(policy), **SCHEDULES}
                began = time.process_time()
                async with Host(APP, clock, ":memory:", 0, settings=settings, faults=self._around) as host:
                    self._host = host
                    host.subscribe(self._heard)
                    await host.run_until(lambda: self._is_over, limit=LONGEST_ROLLOUT)
                    self._cpu = time.process_time() - began - self._arm.cpu
                    self._history = host.stats.max_history
                    (rollout,) = (one for one in host.instances("image-") if one.name == ROLL_OUT_IMAGE)
                    self._phase = str((json.loads(rollout.output) or {}).get("phase", rollout.status))
        finally:
            connect.use(None)
            logging.getLogger("goldroll").setLevel(level)

    def cost(self) -> AppCost:
        """What it has cost."""
        turns, calls = self._runs["decide_turn"], self._arm.calls
        return AppCost(
            hosts=self._hosts,
            people=self._people,
            phase=self._phase,
            took_hours=_hours(self._clock.now() - MORNING),
            turns=turns,
            calls_per_host=round((calls.total() - self._calls_in[""]) / self._hosts, 2),
            calls_of_the_sweep=round(self._calls_in[""] / self._hosts, 2),
            calls=dict(calls.most_common()),
            calls_per_turn=round(self._calls_in["decide_turn"] / turns, 2),
            calls_per_action={
                name: round(self._calls_in[name] / times, 2)
                for name, times in sorted(self._runs.items())
                if name != "decide_turn"
            },
            cpu_ms_per_host=round(1000 * self._cpu / self._hosts, 2),
            longest_history=self._history,
            state_bytes=self._largest["state"],
            turn_bytes=self._largest["turn"],
            decision_bytes=self._largest["decision"],
            status_bytes=self._largest["status"],
            turn_memory_bytes=self._memory,
            throttled=self._arm.statuses[429],
        )

    def margins(self, pools: int) -> tuple[Margin, ...]:
        """What so many pools like this one, all in step, leave of each bucket."""
        minutes = max(1, round((self._clock.now() - MORNING).total_seconds() / 60))
        return tuple(
            self._margin(name, bucket, pools, minutes)
            for name, bucket in (ARM_BUCKETS | COMPUTE_PER_SUBSCRIPTION).items()
            if any(kind == name for kind, _ in self._by_minute)
        )

    def _margin(self, name: str, bucket: Bucket, pools: int, minutes: int) -> Margin:
        capacity, refill = bucket
        used = [self._by_minute[name, minute] for minute in range(minutes + 1)]
        busiest = max(sum(used[start : start + 60]) for start in range(len(used)))
        buckets = self._arm.buckets
        return Margin(
            bucket=name,
            capacity=capacity,
            refill_per_second=round(refill, 2),
            lowest_of_one=round(buckets.lowest.get(name, capacity) if buckets else capacity, 1),
            busiest_share=round(pools * busiest / (refill * 3600), 3),
            mean_share=round(pools * sum(used) / (refill * 60 * minutes), 3),
            hours_at_refill=round(pools * sum(used) / refill / 3600, 2),
        )

    def _around(self, moment: Moment, call: ActivityCall) -> Fault | None:
        self._activity = call.name if moment == "before" else ""
        self._runs[call.name] += moment == "before"
        return None

    def _answered(self, operation: str, request: Request, answer: Answer) -> None:
        self._calls_in[self._activity] += 1
        minute = int((self._clock.now() - MORNING).total_seconds() // 60)
        for kind in _buckets_of(operation, request):
            self._by_minute[kind, minute] += 1

    def _heard(self, event: HostEvent) -> None:
        if isinstance(event, InstanceFinished) and event.name == ROLL_OUT_IMAGE:
            self._is_over = True
        if not isinstance(event, ActivityFinished) or event.name != "decide_turn":
            return
        decision = json.loads(event.result or "{}").get("decision", {})
        sizes = {
            "turn": len(event.input.encode()),
            "decision": len((event.result or "").encode()),
            "state": len(decision.get("state", "")),
            "status": max(len(one.custom_status.encode()) for one in self._host.instances(event.instance_id)),
        }
        for name, size in sizes.items():
            self._largest[name] = max(self._largest[name], size)


def _buckets_of(operation: str, request: Request) -> tuple[str, ...]:
    verb = "deletes" if request.method == "DELETE" else "reads" if request.method == "GET" else "writes"
    if _MACHINES not in request.path.lower():
        return (verb,)
    method = "LIST" if ".list" in operation else request.method
    return (verb, compute_policy(method, request.path))


def _turn_memory(estate: Estate, office: Office) -> int:
    """The most memory that the first turn takes beyond what there was before it, in bytes."""
    (policy,) = read_policy(_policy(1)).host_pools
    state = core.start("image-scale-2.0.0-abcdef:p000", office.pool_id, office.version_id("2.0.0"), MORNING)
    turn = msgspec.to_builtins({"state": pack(state), "policy": policy, "now": MORNING})
    connect.use(connect.Connection(MANAGEMENT, AnyoneCredential(), transport_to(Arm(estate))))
    story = logging.getLogger("goldroll.story")
    level = story.level
    story.setLevel(logging.CRITICAL)
    take: Any = decide_turn._function.get_user_function()  # noqa: SLF001 -- the decorated object has no other way in
    try:
        take(turn, None)  # the first one imports the client libraries
        tracemalloc.start()
        take(turn, None)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        story.setLevel(level)
        connect.use(None)


# --------------------------------------------------------------------------------------------------------- the stage


def _offices(estate: Estate, hosts: int, pools: int) -> tuple[list[Office], tuple[PoolPolicy, ...]]:
    """Pools of one image in one subscription, with version 2.0.0 just published."""
    offices: list[Office] = []
    for name in _names(pools):
        image_of = offices[0] if offices else None
        offices.append(
            office_pool(
                estate, hosts, name=name, region=REGION, host_prefix=host_prefix(name), load=LOAD, image_of=image_of
            )
        )
    at_a_time = pools * max(1, hosts // 20)
    offices[0].publish_replicated("2.0.0", replicas=math.ceil(at_a_time / VMS_PER_REPLICA))
    estate.start_counting()
    return offices, read_policy(_policy(pools)).host_pools


def _policy(pools: int) -> str:
    """The policy of somebody who sets nothing but what has no default.

    And lets the VMs that are made at a time grow with the pool, as the version has replicas for: 10,000 hosts, 20 at a
    time, would take a week. Of so many some fail by chance.
    """
    names = _names(pools)
    demo = yaml.safe_load(policy_text(*names, image=names[0]))
    defaults = {"max_creating": "5%", "health": {"max_failed_hosts": 100}, "session_host": {"join": {"type": "entra"}}}
    return yaml.safe_dump(demo | {"defaults": defaults})


def _names(pools: int) -> list[str]:
    return [f"p{number:03}" for number in range(pools)]


def _hours(span: timedelta) -> float:
    return round(span.total_seconds() / 3600, 2)


# -------------------------------------------------------------------------------------------------------- the output


def in_words(report: ScaleReport) -> str:
    """The report as tables."""
    lines = ["The core alone", *_table(report.core, ("phases",)), "", "The whole app"]
    lines += [*_table(report.app, ("calls", "calls_per_action")), ""]
    for cost in report.app:
        operations = ", ".join(f"{name} {count / cost.hosts:.2f}" for name, count in cost.calls.items())
        lines += [f"{cost.hosts} hosts, calls for each host: {operations}"]
        actions = ", ".join(f"{name} {count}" for name, count in cost.calls_per_action.items())
        lines += [f"{cost.hosts} hosts, calls for each run: {actions}", ""]
    lines += [f"Buckets ({report.margins_are_computed_from})", *_table(report.margins, ())]
    return "\n".join(lines)


def _table(rows: Iterable[Struct], left_out: tuple[str, ...]) -> list[str]:
    shown = [
        {name: value for name, value in msgspec.structs.asdict(row).items() if name not in left_out} for row in rows
    ]
    if not shown:
        return []
    texts = [
        list(shown[0]),
        *[[f"{value:,}" if not isinstance(value, str) else value for value in row.values()] for row in shown],
    ]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in texts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small pools, in less than a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    parser.add_argument("--hosts", type=int, nargs="+", help="sizes of pools")
    parser.add_argument("--pools", type=int, nargs="+", help="numbers of pools for the core")
    given = parser.parse_args(arguments)
    hosts = given.hosts or (QUICK_HOSTS if given.quick else FULL_HOSTS)
    report = measure(hosts, given.pools or (QUICK_POOLS if given.quick else FULL_POOLS))
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print(in_words(report))
    if given.write:
        write(DOCS, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
