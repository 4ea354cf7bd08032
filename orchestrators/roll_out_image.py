"""Rolls one image version out to all its host pools, each as soon as the version has reached its region."""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.image_supply import ImageSupply
from orchestrators.moment import now_of
from rollout.assignments import ImageRollout, PoolRollout
from rollout.instance_ids import pool_instance
from rollout.model import ImageVersion, Phase, normalise_region, short_version
from rollout.overall import overall_phase, summary
from rollout.policy import PoolPolicy
from rollout.replicas import Footprint
from rollout.replication import ReplicationReport, assess, decide_regions
from rollout.status import ImageResult, ImageStatus, PoolStatus

bp = df.Blueprint()

SHORTEST_LOOK, LONGEST_LOOK, LATE_LOOK = timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=2)
"""How often replication is looked at: after a sixth of the time that it has taken so far, within these limits.

Six hours take about 35 looks, and each further day, where the policy waits beyond the deadline, about 12: the history
stays short without a new execution, which would lose the pools' results."""

_story = logging.getLogger("goldroll.story")

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def roll_out_image(context: df.DurableOrchestrationContext) -> Orchestration:
    """Roll a version out. Input: ImageRollout. Custom status: ImageStatus. Output: ImageResult."""
    rollout = msgspec.convert(context.get_input(dict), ImageRollout)
    return (yield from ImageOrchestration(context, rollout).run())


class ImageOrchestration:
    """The one execution of a rollout.

    A pool is in one of three places: `_waiting` for its regions, `_running` as a sub-orchestration, or `_ended`.
    """

    def __init__(self, context: df.DurableOrchestrationContext, rollout: ImageRollout) -> None:
        """All pools wait at first; in which regions they are is yet to be found out."""
        self._context = context
        self._rollout = rollout
        self._version = short_version(rollout.version_id)
        self._started_at = now_of(context)
        self._waiting = {pool.name: pool for pool in rollout.pools}
        self._regions: dict[str, tuple[str, ...]] = {}
        self._footprints: dict[str, Footprint] = {}
        self._supply = ImageSupply(context, rollout)
        self._running: dict[str, Any] = {}
        self._ended: dict[str, PoolStatus] = {}
        self._extra_regions = tuple(normalise_region(region) for region in rollout.image.replication.regions)
        self._extra_open = bool(self._extra_regions)
        self._regions_missed = False
        self._halted = False
        self._message = f"waiting for version {self._version} to be replicated"
        self._news: object = None

    def run(self) -> Orchestration:
        """Roll the version out, and put back what was raised for it, whatever the end is."""
        try:
            yield from self._roll()
        except Exception:
            yield from self._supply.put_back()
            raise
        yield from self._supply.put_back()
        return self._result()

    def _roll(self) -> Orchestration:
        """Look at the replication, start the pools that can start, wait for whatever comes first, until all is done."""
        self._show()
        timer = None
        while self._waiting or self._running or self._extra_open:
            if timer is None and (self._waiting or self._extra_open):
                yield from self._look_at_replication()
                if self._waiting or self._extra_open:
                    timer = self._context.create_timer(self._next_look())
            self._show()
            waits = [*self._running.values(), *([timer] if timer is not None else [])]
            if waits and not any(task.is_completed for task in waits):
                yield self._context.task_any(waits)
            self._collect_ended()
            if timer is not None and timer.is_completed:
                timer = None

    # ------------------------------------------------------------------------------------------------ the replication

    def _look_at_replication(self) -> Generator[Any, Any, None]:
        yield from self._find_regions()
        answer = yield self._context.call_activity("read_image_version", self._rollout.version_id, dict)
        if "error" in answer:
            self._wait_on(f"version {self._version} cannot be read: {answer['error'].get('message', '')}")
            return
        version = None if answer["version"] is None else msgspec.convert(answer["version"], ImageVersion)
        wanted = {region for regions in self._regions.values() for region in regions} | set(self._extra_regions)
        report = assess(
            version, sorted(wanted), self._started_at, self._rollout.image.replication.deadline, now_of(self._context)
        )
        decision = decide_regions(report, self._rollout.version_id, self._rollout.image.replication)
        report = decision.report
        # Every percent is shown, but only what has arrived or is given up is told.
        self._tell(report.message, (report.ready, report.given_up))
        if decision.halted_because:
            self._halt(decision.halted_because)
            return
        ready = [name for name, pool in self._waiting.items() if self._is_ready(pool, report)]
        if version is not None and ready:
            together = [self._footprints[name] for name in (*self._running, *ready) if name in self._footprints]
            yield from self._supply.prepare(version, together)
        for pool in list(self._waiting.values()):
            self._start_or_give_up(pool, report)
        self._extra_open = bool(set(self._extra_regions) & set(report.waiting))
        given_up = {region for region, _ in report.given_up}
        self._regions_missed = report.version_gone or bool(set(self._extra_regions) & given_up)

    def _find_regions(self) -> Generator[Any, Any, None]:
        """Find out where the pools are whose regions are not known yet."""
        unknown = [pool for name, pool in self._waiting.items() if name not in self._regions]
        if not unknown:
            return
        tasks = [self._context.call_activity("read_pool_regions", pool.host_pool_id, dict) for pool in unknown]
        answers = yield self._context.task_all(tasks)
        for pool, answer in zip(unknown, answers, strict=True):
            if "error" not in answer:
                self._regions[pool.name] = tuple(answer["regions"])
                self._footprints[pool.name] = Footprint(pool, answer.get("hosts", {}))
            elif answer["error"].get("code") == "ResourceNotFound":
                # The pool's own rollout knows how to end when there is no pool.
                self._start(self._waiting.pop(pool.name))
            else:
                self._wait_on(f"host pool {pool.name} cannot be read: {answer['error'].get('message', '')}", pool)

    def _start_or_give_up(self, pool: PoolPolicy, report: ReplicationReport) -> None:
        regions = self._regions.get(pool.name)
        if report.version_gone:
            self._give_up(pool, "ImageVersionGone", report.message)
        elif regions is None:
            return
        elif self._is_ready(pool, report):
            self._start(self._waiting.pop(pool.name))
        elif missed := [why for region, why in report.given_up if region in regions]:
            self._give_up(pool, "NotReplicated", missed[0])

    def _halt(self, why: str) -> None:
        """Start no further pool; those that run come to their own end."""
        self._halted, self._extra_open = True, False
        self._tell(why, why)
        for pool in list(self._waiting.values()):
            self._give_up(pool, "RegionMissing", why, Phase.HALTED)

    def _is_ready(self, pool: PoolPolicy, report: ReplicationReport) -> bool:
        regions = self._regions.get(pool.name)
        return regions is not None and all(region in report.ready for region in regions)

    def _wait_on(self, message: str, *pools: PoolPolicy) -> None:
        """Nothing could be learned: keep waiting until the deadline, then give these pools (or all) up."""
        self._tell(message, message)
        if now_of(self._context) - self._started_at < self._rollout.image.replication.deadline:
            return
        for pool in pools or tuple(self._waiting.values()):
            self._give_up(pool, "NotReadable", message)
        if not pools:
            self._extra_open, self._regions_missed = False, self._regions_missed or self._extra_open

    def _next_look(self) -> datetime:
        now = now_of(self._context)
        waited = now - self._started_at
        longest = LONGEST_LOOK if waited < self._rollout.image.replication.deadline else LATE_LOOK
        return now + min(max(waited / 6, SHORTEST_LOOK), longest)

    # ------------------------------------------------------------------------------------------------------ the pools

    def _start(self, pool: PoolPolicy) -> None:
        footprint = self._footprints.get(pool.name)
        pool = pool if footprint is None else self._supply.policy_of(footprint)
        self._running[pool.name] = self._context.call_sub_orchestrator(
            "roll_host_pool",
            msgspec.to_builtins(PoolRollout(self._rollout.version_id, pool)),
            pool_instance(self._context.instance_id, pool.name),
            expected_type=dict,
        )

    def _give_up(self, pool: PoolPolicy, reason: str, message: str, phase: Phase = Phase.FAILED) -> None:
        del self._waiting[pool.name]
        if not self._context.is_replaying:
            _story.info("%s: %s: %s", pool.name, phase, message)
        self._ended[pool.name] = PoolStatus(
            pool.name, self._version, phase, reason, message, since=now_of(self._context)
        )

    def _collect_ended(self) -> None:
        for name, task in list(self._running.items()):
            if task.is_completed:
                del self._running[name]
                self._ended[name] = self._read_result(name, task.result)

    def _read_result(self, name: str, result: Any) -> PoolStatus:
        try:
            return msgspec.convert(result, PoolStatus)
        except msgspec.ValidationError:
            # A sub-orchestration that failed leaves its exception as the result, with a stack of kilobytes.
            why = (str(result).strip().splitlines() or ["no result"])[0][:300]
            return PoolStatus(name, self._version, Phase.FAILED, "OrchestrationFailed", why)

    # ----------------------------------------------------------------------------------------------------- the status

    def _tell(self, message: str, news: object) -> None:
        if news != self._news and not self._context.is_replaying:
            _story.info("%s %s: %s", self._rollout.image.name, self._version, message)
        self._message, self._news = message, news

    def _show(self) -> None:
        phases = self._phases()
        waits = not self._running and Phase.WAITING_REPLICATION in phases.values()
        status = ImageStatus(
            image=self._rollout.image.name,
            version=self._version,
            phase=Phase.WAITING_REPLICATION if waits else Phase.ROLLING,
            message=self._message if self._waiting or self._extra_open else summary(phases.values()),
            pools=phases,
        )
        self._context.set_custom_status(msgspec.to_builtins(status))

    def _phases(self) -> dict[str, Phase]:
        return {
            pool.name: self._ended[pool.name].phase
            if pool.name in self._ended
            else Phase.ROLLING
            if pool.name in self._running
            else Phase.WAITING_REPLICATION
            for pool in self._rollout.pools
        }

    def _result(self) -> Any:
        phases = self._phases()
        result = ImageResult(
            image=self._rollout.image.name,
            version=self._version,
            phase=overall_phase(phases.values(), regions_missed=self._regions_missed, halted=self._halted),
            message=summary(phases.values()),
            pools=tuple(self._ended[pool.name] for pool in self._rollout.pools),
        )
        self._context.set_custom_status(
            msgspec.to_builtins(ImageStatus(result.image, result.version, result.phase, result.message, phases))
        )
        return msgspec.to_builtins(result)
