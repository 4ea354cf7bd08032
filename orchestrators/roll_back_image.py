"""Takes one image version back from the host pools that have it: marks it, rolls every pool back at once, waits.

There are no rings and no gates: every pool that is on a version that somebody has found bad goes back now. About the
one place where it waits, see roll_out_image.py.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from orchestrators.recorder import Recorder
from rollout import latest
from rollout.assignments import ImageRollBack, PoolBack, PoolRollout
from rollout.commands import Command, Refused, obey, read_command
from rollout.instance_ids import COMMAND_EVENT, ROLL_HOST_POOL, pool_instance
from rollout.latest import MarkState
from rollout.model import Phase, short_version
from rollout.overall import phase_of_roll_back, summary
from rollout.recording import Event, of_command
from rollout.ring_steps import MarkVersion, error_of, first_line
from rollout.status import ImageResult, ImageStatus, PoolStatus
from rollout.subject import subject_of
from rollout.verdicts import Verdict

bp = df.Blueprint()

LONGEST_SLEEP = timedelta(days=5)

_story = logging.getLogger("goldroll.story")

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def roll_back_image(context: df.DurableOrchestrationContext) -> Orchestration:
    """Roll a version back. Input: ImageRollBack. Custom status: ImageStatus. Output: ImageResult.

    Takes operators' commands as external events; each host pool learns of them by its lease.
    """
    return (yield from RollBack(context, msgspec.convert(context.get_input(dict), ImageRollBack)).run())


class RollBack:
    """The one execution of a roll back."""

    def __init__(self, context: df.DurableOrchestrationContext, back: ImageRollBack) -> None:
        """Nothing is done yet. A version that has to earn its place as the latest has lost it."""
        self._context = context
        self._back = back
        self._version = short_version(back.version_id)
        self._ended: dict[str, PoolStatus] = {}
        self._told: Command | None = None
        self._recorder = Recorder(
            context,
            image=back.image.name,
            version=self._version,
            recorded=back.recorded and back.tells,
            notified=back.notified if back.tells else (),
        )
        why = f"rolled back by {back.by}" + (f": {back.reason}" if back.reason else "")
        mark = MarkState()
        if back.image.latest == "earned":
            mark = latest.want(mark, latest.refuse(Verdict.VETOED, back.by, why, now_of(context)))
        self._mark = mark
        names = ", ".join(pool.policy.name for pool in back.pools)
        began = f"{back.image.name} {self._version} on {names} is {why}"
        self._tell(why, Event(now_of(context), "RollBackStarted", began, by=back.by))
        self._command = context.wait_for_external_event(COMMAND_EVENT, object)
        self._pools = {pool.policy.name: self._roll_back(pool) for pool in back.pools}

    def run(self) -> Orchestration:
        """Wait for whatever comes first, until every pool has ended and the version is marked; the result."""
        marking: tuple[MarkVersion, Any] | None = None
        while self._pools or marking or not self._mark.is_settled:
            self._show(Phase.ROLLING_BACK)
            now, due = now_of(self._context), latest.due(self._mark, now_of(self._context))
            waits: list[Any] = [self._command, *self._pools.values()]
            timer: Any = None
            has_begun = marking is None and due is not None
            if marking is None and due is not None:
                order = {"version": self._back.version_id, "mark": _json(due)}
                marking = due, self._context.call_activity("mark_version", order, dict)
            has_begun |= self._recorder.begin_due(now)
            if not has_begun:
                timer = self._context.create_timer(max(now, self._look_again_at(now)))
                waits.append(timer)
            if marking is not None:
                waits.append(marking[1])
            waits += self._recorder.tasks
            yield self._context.task_any(waits)
            if timer is not None and not timer.is_completed:
                timer.cancel()
            self._recorder.end_completed(now_of(self._context))
            self._record_command()
            self._record_pools()
            if marking is not None and marking[1].is_completed:
                self._record_mark(*marking)
                marking = None
        result = self._result()
        self._note("RolloutEnded", result["message"], phase=result["phase"])
        yield from self._recorder.finish()
        return result

    def _look_again_at(self, now: datetime) -> datetime:
        """When to go on even if nothing happens: what has failed is tried again."""
        marks_at = None if self._mark.is_settled else self._mark.retry_at
        until = [now + LONGEST_SLEEP, marks_at, self._recorder.retry_at]
        return min(at for at in until if at is not None)

    # ------------------------------------------------------------------------------------------------ what comes back

    def _record_command(self) -> None:
        if not self._command.is_completed:
            return
        given = read_command(self._command.result)
        self._command = self._context.wait_for_external_event(COMMAND_EVENT, object)  # at once: see roll_out_image.py
        standing = Refused("NotPaused", "it cannot be read") if given is None else obey(self._told, given)
        if isinstance(standing, Refused):
            sentence = f"a command changes nothing: {standing.why}"
            by = given.by if given is not None else ""
            self._tell(sentence, Event(now_of(self._context), "CommandRefused", sentence, by=by))
            return
        self._recorder.note(of_command(self._told, standing, now_of(self._context)))
        self._told = standing

    def _record_pools(self) -> None:
        for name, task in list(self._pools.items()):
            if task.is_completed:
                del self._pools[name]
                ended = self._ended[name] = self._pool_result(name, task.result)
                self._note("PoolEnded", ended.message or ended.phase, ended.reason, pool=name, phase=ended.phase)

    def _record_mark(self, mark: MarkVersion, task: Any) -> None:
        error = error_of(task.result)
        self._tell(latest.told_of(mark, self._mark, error))
        self._mark = latest.recorded(self._mark, mark.kind, error, now_of(self._context))

    def _pool_result(self, name: str, result: Any) -> PoolStatus:
        try:
            return msgspec.convert(result, PoolStatus)
        except msgspec.ValidationError:
            # A sub-orchestration that failed leaves its exception as the result.
            return PoolStatus(name, self._version, Phase.FAILED, "OrchestrationFailed", first_line(result))

    # ---------------------------------------------------------------------------------------------------- what is begun

    def _roll_back(self, pool: PoolBack) -> Any:
        order = PoolRollout(
            pool.version_id,
            pool.policy,
            instead_of=self._back.version_id,
            size=pool.size,
            recorded=self._back.recorded,
            image=self._back.image.name,
            notified=self._back.notified,
        )
        return self._context.call_sub_orchestrator(
            ROLL_HOST_POOL,
            _json(order),
            pool_instance(self._context.instance_id, pool.policy.name),
            expected_type=dict,
        )

    # ------------------------------------------------------------------------------------------------------ the status

    def _note(self, kind: str, sentence: str, reason: str = "", *, pool: str = "", phase: str = "") -> None:
        self._recorder.note((Event(now_of(self._context), kind, sentence, reason, pool=pool, phase=phase),))

    def _tell(self, sentence: str, event: Event | None = None) -> None:
        """Tell the story; in the record it stands as `event`, or as a note."""
        if sentence:
            self._recorder.note((event or Event(now_of(self._context), "Noted", sentence),))
        if sentence and not self._context.is_replaying:
            about = subject_of(self._context.instance_id)
            _story.info("%s %s: %s", self._back.image.name, self._version, sentence, extra=about.extra)

    def _phases(self) -> dict[str, Phase]:
        return {
            pool.policy.name: self._ended[pool.policy.name].phase
            if pool.policy.name in self._ended
            else Phase.ROLLING_BACK
            for pool in self._back.pools
        }

    def _show(self, phase: Phase, message: str = "") -> None:
        phases = self._phases()
        told = message or f"rolling back from {self._version}: {summary(phases.values())}"
        status = ImageStatus(self._back.image.name, self._version, phase, told, phases, command=self._told)
        self._context.set_custom_status(_json(status))

    def _result(self) -> Any:
        phases = self._phases()
        unwritten = f"; the image version could not be marked: {self._mark.error}" if self._mark.has_failed else ""
        message = f"rolled back from {self._version}: {summary(phases.values())}{unwritten}"
        phase = phase_of_roll_back(phases.values())
        self._show(phase, message)
        pools = tuple(self._ended[pool.policy.name] for pool in self._back.pools)
        return _json(ImageResult(self._back.image.name, self._version, phase, message, pools))


def _json(value: Any) -> Any:
    return msgspec.to_builtins(value)
