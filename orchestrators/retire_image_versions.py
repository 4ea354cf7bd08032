"""Retires the versions of one image definition: plans, and carries the plan out step by step if it shall."""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from orchestrators.recorder import Recorder
from rollout.recording import of_retirement
from rollout.retention import DeleteVersion, RetentionPlan, RetentionStep
from rollout.retirement import (
    LONGEST_DETAIL,
    Retirement,
    RetirementOrder,
    RetirementReport,
    RunningRollouts,
    StepResult,
    summary,
    summary_of_results,
)
from rollout.steps import StepError

bp = df.Blueprint()

ATTEMPTS = 4
FIRST_WAIT = timedelta(minutes=1)
"""A call that failed is repeated after one, two and four minutes, or after what Azure asks for. Then it is left to the
next day's run: nothing of this is urgent."""

_story = logging.getLogger("goldroll.story")
_log = logging.getLogger("goldroll.orchestrators")

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def retire_image_versions(context: df.DurableOrchestrationContext) -> Orchestration:
    """Retire an image's versions. Input: Retirement. Custom status and output: RetirementReport."""
    retirement = msgspec.convert(context.get_input(dict), Retirement)
    return (yield from RetirementRun(context, retirement).run())


class RetirementRun:
    """One run; the next one finds by itself what this one has left."""

    def __init__(self, context: df.DurableOrchestrationContext, retirement: Retirement) -> None:
        """Nothing is known yet."""
        self._context = context
        self._retirement = retirement
        self._image = retirement.image
        self._rollouts = RunningRollouts()
        self._results: list[StepResult] = []
        self._recorder = Recorder(
            context,
            image=retirement.image.name,
            version="",
            recorded=False,  # the record is of rollouts
            notified=retirement.notified,
        )

    def run(self) -> Orchestration:
        """Plan and, if it shall be applied, do one step after the other: so no two of them count on the same lists."""
        plan, now = yield from self._plan_with_open_eyes()
        if isinstance(plan, StepError):
            return (yield from self._end(f"it could not be planned: {plan.code}: {plan.message}", is_news=True))
        if not self._retirement.apply:
            return (yield from self._end(f"planned only: {summary(plan)}"))
        if not plan.steps:
            return (yield from self._end(summary(plan)))
        for entry in plan.versions:
            if entry.step is None:
                self._tell(entry.version, f"stays: {entry.reason}")
        is_fresh = True
        for step in plan.steps:
            if isinstance(step, DeleteVersion) and not is_fresh:
                error = yield from self._look_for_rollouts()
                if error is not None:
                    self._note(step, StepResult(step.version, step.told, "failed", error.message))
                    continue
            yield from self._carry_out(step, now)
            is_fresh = False
        return (yield from self._end(summary_of_results(self._results), is_news=True))

    # ----------------------------------------------------------------------------------------------------- the calls

    def _look_for_rollouts(self) -> Generator[Any, Any, StepError | None]:
        answer = yield from self._call("read_running_rollouts", self._image.definition_id)
        if isinstance(answer, StepError):
            return answer
        self._rollouts = msgspec.convert(answer, RunningRollouts)
        return None

    def _plan_with_open_eyes(self) -> Generator[Any, Any, tuple[RetentionPlan | StepError, datetime]]:
        """A plan and its moment. A list that cannot be read now may be so in a while; if not, the plan says so."""
        wait, attempts = FIRST_WAIT, 1
        while True:
            error = yield from self._look_for_rollouts()
            now = now_of(self._context)
            plan = error or (yield from self._plan(now))
            if isinstance(plan, StepError) or not plan.is_blind or attempts == ATTEMPTS:
                return plan, now
            yield self._context.create_timer(now_of(self._context) + wait)
            wait, attempts = wait * 2, attempts + 1

    def _plan(self, now: datetime) -> Generator[Any, Any, RetentionPlan | StepError]:
        answer = yield from self._call("plan_retirement", msgspec.to_builtins(self._order(now)))
        return answer if isinstance(answer, StepError) else msgspec.convert(answer["plan"], RetentionPlan)

    def _carry_out(self, step: RetentionStep, now: datetime) -> Generator[Any, Any, None]:
        """`now` is that of the plan: the step is looked for in another plan for the same moment."""
        activity = "delete_image_version" if isinstance(step, DeleteVersion) else "update_image_version"
        answer = yield from self._call(activity, msgspec.to_builtins(self._order(now, step)))
        if isinstance(answer, StepError):
            self._note(step, StepResult(step.version, step.told, "failed", f"{answer.code}: {answer.message}"))
        elif why := answer.get("skipped"):
            self._note(step, StepResult(step.version, step.told, "skipped", why))
        else:
            self._note(step, StepResult(step.version, step.told, "done"))

    def _call(self, activity: str, given: Any) -> Generator[Any, Any, Any]:
        """The answer of an activity, or the StepError that is left after the last attempt."""
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            answer = yield self._context.call_activity(activity, given, dict)
            if answer.get("error") is None:
                return answer
            error = msgspec.convert(answer["error"], StepError)
            if not error.retriable or attempt == ATTEMPTS:
                break
            asked = timedelta(seconds=error.retry_after)
            yield self._context.create_timer(now_of(self._context) + max(asked, wait))
            wait *= 2
        return error

    def _order(self, now: datetime, step: RetentionStep | None = None) -> RetirementOrder:
        rollouts, retirement = self._rollouts, self._retirement
        return RetirementOrder(self._image, retirement.subscriptions, now, rollouts.running, rollouts.unreadable, step)

    # ---------------------------------------------------------------------------------------------------- the report

    def _note(self, step: RetentionStep, result: StepResult) -> None:
        detail = result.detail[:LONGEST_DETAIL]
        self._results.append(msgspec.structs.replace(result, detail=detail))
        sentences = {
            "done": step.reason,
            "skipped": f"no longer to be {step.told}: {detail}",
            "failed": f"could not be {step.told}: {detail}",
        }
        self._tell(result.version, sentences[result.outcome])
        self._show(summary_of_results(self._results))

    def _tell(self, version: str, sentence: str) -> None:
        if not self._context.is_replaying:
            _story.info("%s retirement: %s: %s", self._image.name, version, sentence)

    def _show(self, message: str) -> dict[str, Any]:
        retirement = self._retirement
        report = RetirementReport(
            self._image.name, message, retirement.apply, retirement.by, retirement.why, tuple(self._results)
        )
        shown: dict[str, Any] = msgspec.to_builtins(report)
        self._context.set_custom_status(shown)
        return shown

    def _end(self, message: str, *, is_news: bool = False) -> Orchestration:
        """The report. `is_news`: people are told of it if they are told of anything."""
        if not self._context.is_replaying:
            _log.info("retirement of %s: %s", self._image.name, message)
        if is_news and self._retirement.apply:
            now, by = now_of(self._context), self._retirement.by
            self._recorder.note(of_retirement(self._results, message, by, now))
        report = self._show(message)
        yield from self._recorder.finish()
        return report
