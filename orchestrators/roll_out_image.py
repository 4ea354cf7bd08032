"""Rolls one image version out, ring after ring: decide, set going, wait for whatever comes first, record.

The loop has one place where it waits, and the wait for people's answers is always part of it. That is not a matter of
taste: an external event that arrives while nobody waits for it comes back again and again (azure-functions-durable 1.7
never forgets an early event), and an action that follows a `task_any` is only carried out when one of the tasks that
this very `task_any` has introduced is done. So each wait brings a timer of its own, which is cancelled when anything
else comes first, or an activity, which is done in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.frozen import answer_of, ask_for_freeze
from orchestrators.moment import now_of
from orchestrators.recorder import Recorder
from rollout.assignments import ImageRollout, PoolRollout
from rollout.commands import read_command
from rollout.freezing import decide_unless_frozen
from rollout.gates import AskedApproval, HealthLook, read_approval
from rollout.instance_ids import APPROVAL_EVENT, COMMAND_EVENT, ROLL_HOST_POOL, pool_instance
from rollout.latest import recorded, told_of
from rollout.model import ImageVersion, Phase, short_version
from rollout.overall import overall_phase, summary
from rollout.query_gate import BROKEN_QUERY, QueryLook
from rollout.recording import REASON_OF, Event, of_asking, of_progress
from rollout.ring_state import (
    RolloutProgress,
    begin,
    comparisons,
    gates_now,
    phases_of,
    record_answer,
    record_command,
    record_health,
    record_pool,
    record_query,
    record_regions,
    record_smoke_test,
    result_message,
    rings_of,
    smoke_tests_of,
    was_aborted,
    was_rejected,
)
from rollout.ring_steps import (
    AddRegions,
    FreezeLook,
    GateStep,
    JudgeHosts,
    MarkVersion,
    QueryLogs,
    ReadFreeze,
    ReadRegions,
    ReadVersion,
    RingStep,
    RollPool,
    SetReplicas,
    SmokeTest,
    VersionLook,
    error_of,
    first_line,
)
from rollout.rings import RingsDecision
from rollout.smoke_test import SmokeRun
from rollout.status import ImageResult, ImageStatus, PoolStatus
from rollout.steps import StepError
from rollout.subject import subject_of
from rollout.supply import record_put_back, record_raise

bp = df.Blueprint()

LONGEST_SLEEP = timedelta(days=5)
"""Timers of more than six days are several to Durable, and cannot be cancelled as one."""

_story = logging.getLogger("goldroll.story")

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def roll_out_image(context: df.DurableOrchestrationContext) -> Orchestration:
    """Roll a version out. Input: ImageRollout. Custom status: ImageStatus. Output: ImageResult.

    Takes people's answers about rings and operators' commands as external events: Approval, Command.
    """
    rollout = msgspec.convert(context.get_input(dict), ImageRollout)
    return (yield from ImageOrchestration(context, rollout).run())


class ImageOrchestration:
    """The one execution of a rollout. `_running` holds the steps that have been set going, by their keys."""

    def __init__(self, context: df.DurableOrchestrationContext, rollout: ImageRollout) -> None:
        """Nothing is done yet; everybody may answer from now on, if only to hear that it is too early."""
        self._context = context
        self._rollout = rollout
        self._version = short_version(rollout.version_id)
        self._progress: RolloutProgress = begin(rollout, context.instance_id, now_of(context))
        self._seen = self._progress
        self._recorder = Recorder(
            context,
            image=rollout.image.name,
            version=self._version,
            recorded=rollout.recorded,
            notified=rollout.notified,
        )
        self._asked: AskedApproval | None = None
        self._running: dict[str, tuple[RingStep, Any]] = {}
        self._answer = context.wait_for_external_event(APPROVAL_EVENT, object)
        self._command = context.wait_for_external_event(COMMAND_EVENT, object)
        self._call: dict[type[RingStep], Callable[[Any], Any]] = {
            ReadFreeze: lambda _: ask_for_freeze(context),
            ReadRegions: lambda step: self._activity("read_pool_regions", step.pool_id),
            ReadVersion: lambda _: self._activity("read_image_version", rollout.version_id),
            RollPool: self._roll_pool,
            JudgeHosts: lambda step: self._activity("judge_hosts", self._hosts_in_question(step)),
            SmokeTest: lambda step: self._activity("run_smoke_test", self._smoke_test(step)),
            QueryLogs: lambda step: self._activity("query_logs", _json(step)),
            AddRegions: lambda step: self._activity("add_target_regions", _json(step.order)),
            SetReplicas: lambda step: self._activity("set_replicas", _json(step.order)),
            MarkVersion: lambda step: self._activity(
                "mark_version", {"version": rollout.version_id, "mark": _json(step)}
            ),
        }

    def run(self) -> Orchestration:
        """Turn after turn until everything has ended; the result."""
        pools = ", ".join(pool.name for pool in self._rollout.pools)
        by = self._rollout.started_by
        self._note("RolloutStarted", f"{self._rollout.image.name} {self._version} is rolled out to {pools}", by=by)
        while True:
            decision = decide_unless_frozen(self._progress, self._rollout, now_of(self._context), self._running)
            self._progress = decision.progress
            for pool, sentence in decision.story:
                self._tell(pool, sentence)
            self._recorder.note(of_progress(self._seen, self._progress, decision.steps, now_of(self._context)))
            self._recorder.note(of_asking(self._asked, decision.asked, now_of(self._context)))
            self._seen, self._asked = self._progress, decision.asked
            if decision.done:
                result = self._result()
                self._note("RolloutEnded", result["message"], phase=result["phase"])
                yield from self._recorder.finish()
                return result
            self._show(decision)
            yield from self._set_going_and_wait(decision)

    def _set_going_and_wait(self, decision: RingsDecision) -> Orchestration:
        """Wait until a step has ended, somebody has answered, or the time has come; record what there is."""
        for step in decision.steps:
            self._running[step.key] = (step, self._call[type(step)](step))
        waits = [self._answer, self._command, *(task for _, task in self._running.values())]
        timer: Any = None
        now = now_of(self._context)
        writes = self._recorder.begin_due(now)
        waits += self._recorder.tasks
        if not writes and all(isinstance(step, RollPool) for step in decision.steps):
            # What cannot be written now is tried again even if nothing else happens.
            until = [now + LONGEST_SLEEP, decision.wake_at, self._recorder.retry_at]
            timer = self._context.create_timer(max(now, min(at for at in until if at is not None)))
            waits.append(timer)
        yield self._context.task_any(waits)
        if timer is not None and not timer.is_completed:
            timer.cancel()
        self._recorder.end_completed(now_of(self._context))
        self._record_answer()
        self._record_command()
        for key, (step, task) in list(self._running.items()):
            if task.is_completed:
                del self._running[key]
                self._progress = self._recorded(step, task.result)

    # ------------------------------------------------------------------------------------------------ what comes back

    def _record_answer(self) -> None:
        if not self._answer.is_completed:
            return
        given = read_approval(self._answer.result)
        # At once: until there is somebody who waits for it, an event would be an early one.
        self._answer = self._context.wait_for_external_event(APPROVAL_EVENT, object)
        if given is None:
            self._tell("", "an answer that cannot be read is left aside")
            return
        before = self._progress
        self._progress, sentence = record_answer(before, self._rollout, given, now_of(self._context))
        counts = {"approve": "Approved", "reject": "Rejected"}[given.decision]
        kind = counts if self._progress is not before else "AnswerRefused"
        self._tell("", sentence, Event(now_of(self._context), kind, sentence, ring=given.ring, by=given.by))

    def _record_command(self) -> None:
        if not self._command.is_completed:
            return
        given = read_command(self._command.result)
        self._command = self._context.wait_for_external_event(COMMAND_EVENT, object)  # at once, as above
        if given is None:
            self._tell("", "a command that cannot be read is left aside")
            return
        before = self._progress
        self._progress, sentence = record_command(before, given, now_of(self._context))
        kind = "CommandTaken" if self._progress is not before else "CommandRefused"
        event = Event(now_of(self._context), kind, sentence, REASON_OF[given.kind], by=given.by)
        self._tell("", sentence, event)

    def _recorded(self, step: RingStep, answer: Any) -> RolloutProgress:
        now, progress = now_of(self._context), self._progress
        if isinstance(step, RollPool):
            return record_pool(progress, self._pool_result(step.policy.name, answer))
        if isinstance(step, ReadFreeze):
            look = FreezeLook(now, answer_of(self._context, answer).freeze)
            return msgspec.structs.replace(progress, freeze_look=look)
        error = error_of(answer)
        if isinstance(step, ReadRegions):
            if error is not None:
                return record_regions(progress, step.pool, error)
            return record_regions(progress, step.pool, tuple(answer["regions"]), answer.get("hosts"))
        if isinstance(step, SetReplicas):
            return self._replicas_set(step, error or answer["before"], now)
        if isinstance(step, AddRegions):
            if error is not None:
                self._tell("", f"the version cannot be copied further: {error.message}")
            return msgspec.structs.replace(progress, regions_added_at=now)
        if isinstance(step, ReadVersion):
            return msgspec.structs.replace(
                progress, look=self._look(answer, now) if error is None else VersionLook(now, error=error.message)
            )
        if isinstance(step, MarkVersion):
            self._tell("", told_of(step, progress.mark, error))
            return msgspec.structs.replace(progress, mark=recorded(progress.mark, step.kind, error, now))
        return self._recorded_of_gate(step, answer, error, now)

    def _recorded_of_gate(self, step: GateStep, answer: Any, error: StepError | None, now: datetime) -> RolloutProgress:
        progress = self._progress
        if isinstance(step, QueryLogs):
            return record_query(progress, step.ring, step.name, _query(answer, error, now))
        ring = next(ring for ring in rings_of(self._rollout) if step.policy.name in ring.host_pools)
        if isinstance(step, SmokeTest):
            run = self._smoke_run(step, answer, error, now)
            return record_smoke_test(progress, ring, step.policy.name, run)
        health = HealthLook(now, unreadable=error.message) if error else _health(answer, now)
        return record_health(progress, ring, step.policy.name, health)

    def _replicas_set(self, step: SetReplicas, outcome: dict[str, int] | StepError, now: datetime) -> RolloutProgress:
        state = self._progress.supply
        put_back = step.purpose == "put_back"
        turn = record_put_back(state, outcome, now) if put_back else record_raise(state, step.order, outcome)
        for sentence in turn.story:
            self._tell("", sentence)
        return msgspec.structs.replace(self._progress, supply=turn.state)

    def _smoke_run(self, step: SmokeTest, answer: Any, error: StepError | None, now: datetime) -> SmokeRun:
        if error is None:
            run = msgspec.convert(answer["run"], SmokeRun)
            if run.state in ("passed", "failed"):
                self._tell(step.policy.name, f"the smoke test {run.state} on {run.host}: {run.message}")
            return run
        before = step.run or SmokeRun(now)
        return msgspec.structs.replace(before, at=now, message=error.message)

    def _look(self, answer: Any, now: datetime) -> VersionLook:
        version = answer["version"]
        return VersionLook(now, None if version is None else msgspec.convert(version, ImageVersion))

    def _pool_result(self, name: str, result: Any) -> PoolStatus:
        try:
            return msgspec.convert(result, PoolStatus)
        except msgspec.ValidationError:
            # A sub-orchestration that failed leaves its exception as the result.
            return PoolStatus(name, self._version, Phase.FAILED, "OrchestrationFailed", first_line(result))

    # ---------------------------------------------------------------------------------------------------- what is begun

    def _activity(self, name: str, given: Any) -> Any:
        return self._context.call_activity(name, given, dict)

    def _hosts_in_question(self, step: JudgeHosts) -> Any:
        now = now_of(self._context).isoformat()
        return {"version": self._rollout.version_id, "policy": _json(step.policy), "now": now}

    def _smoke_test(self, step: SmokeTest) -> Any:
        known = {"version": self._rollout.version_id, "now": now_of(self._context).isoformat()}
        return _json(step) | known | {"rollout": self._context.instance_id}

    def _roll_pool(self, step: RollPool) -> Any:
        return self._context.call_sub_orchestrator(
            ROLL_HOST_POOL,
            _json(
                PoolRollout(
                    self._rollout.version_id,
                    step.policy,
                    recorded=self._rollout.recorded,
                    image=self._rollout.image.name if self._rollout.recorded or self._rollout.notified else "",
                    notified=self._rollout.notified,
                )
            ),
            pool_instance(self._context.instance_id, step.policy.name),
            expected_type=dict,
        )

    # ----------------------------------------------------------------------------------------------------- the status

    def _note(self, kind: str, sentence: str, *, phase: str = "", by: str = "") -> None:
        self._recorder.note((Event(now_of(self._context), kind, sentence, phase=phase, by=by),))

    def _tell(self, pool: str, sentence: str, event: Event | None = None) -> None:
        """Tell the story; in the record it stands as `event`, or as a note."""
        if sentence:
            self._recorder.note((event or Event(now_of(self._context), "Noted", sentence, pool=pool),))
        if sentence and not self._context.is_replaying:
            about = subject_of(self._context.instance_id, pool=pool)
            named = pool or f"{self._rollout.image.name} {self._version}"
            _story.info("%s: %s", named, sentence, extra=about.extra)

    def _show(self, decision: RingsDecision) -> None:
        phases, progress = phases_of(self._progress, self._rollout), self._progress
        status = ImageStatus(
            image=self._rollout.image.name,
            version=self._version,
            phase=progress.phase,
            message=progress.message or summary(phases.values()),
            pools=phases,
            rings={name: ring.phase for name, ring in progress.rings.items() if name},
            gates=gates_now(progress, self._rollout, now_of(self._context)),
            asked=decision.asked,
            next=decision.wake_at,
            command=progress.command,
        )
        self._context.set_custom_status(_json(status))

    def _result(self) -> Any:
        phases, progress = phases_of(self._progress, self._rollout), self._progress
        missed, halted = progress.regions_missed or progress.mark.has_failed, progress.halted
        result = ImageResult(
            image=self._rollout.image.name,
            version=self._version,
            phase=Phase.ABORTED
            if was_aborted(progress)
            else overall_phase(phases.values(), regions_missed=missed, rejected=was_rejected(progress), halted=halted),
            message=result_message(progress, summary(phases.values())),
            pools=tuple(progress.ended[pool.name] for pool in self._rollout.pools),
            rings={name: ring.phase for name, ring in progress.rings.items() if name},
            smoke_tests=smoke_tests_of(progress),
            compared=comparisons(progress, self._rollout),
        )
        status = ImageStatus(result.image, result.version, result.phase, result.message, phases, result.rings)
        self._context.set_custom_status(_json(status))
        return _json(result)


def _health(answer: Any, now: datetime) -> HealthLook:
    return HealthLook(now, answer["running"], answer["unhealthy"])


def _query(answer: Any, error: StepError | None, now: datetime) -> QueryLook:
    if error is not None:
        not_before = now + timedelta(seconds=error.retry_after)
        return QueryLook(now, error=error.message, broken=error.code == BROKEN_QUERY, not_before=not_before)
    return QueryLook(now, number=answer.get("number"), no_data=answer.get("no_data", ""))


def _json(value: Any) -> Any:
    return msgspec.to_builtins(value)
