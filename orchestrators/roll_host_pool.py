"""Rolls one image version out to one host pool: hold the lease, then turn after turn decide, act and wait."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import azure.durable_functions as df
import msgspec
from msgspec import structs

from orchestrators.frozen import answer_of, ask_for_freeze
from orchestrators.lease import PoolLease
from orchestrators.moment import now_of
from orchestrators.recorder import Recorder
from rollout.assignments import PoolRollout
from rollout.instance_ids import superseding_version
from rollout.lease import ROLL_BACK, LeaseAnswer
from rollout.model import Phase, short_version
from rollout.notifying import ends_of
from rollout.orders import MOST_STEPS, activity_of, order, outcomes, within
from rollout.pool import decide_unreadable, look_again_at, record, start, supersede, tell
from rollout.recording import Event, of_command, of_outcomes
from rollout.rolling_back import go_back, policy_of_roll_back
from rollout.status import pool_status
from rollout.steps import Decision, Step, StepError, StepOutcome
from rollout.travelling import pack, unpack, unpack_decision
from rollout.watching import POOL_IN_USE

bp = df.Blueprint()

LEASE_POLL = timedelta(minutes=2)
"""How often a rollout that waits for the pool asks again."""

EVENTS_PER_HISTORY = 120
"""History events after which the rollout goes on in a new execution. Every episode replays all of them, so the cost
grows with their square."""

LONGEST_HISTORY = 480
"""Events that no history passes: a turn carries out as many steps as still find room."""

_EVENTS_PER_TURN, _EVENTS_PER_STEP = 18, 4
"""A step is scheduled and completed, two events; when its answer comes alone, its episode begins and ends, two more."""

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def roll_host_pool(context: df.DurableOrchestrationContext) -> Orchestration:
    """Roll a host pool. Input: PoolRollout. Output and custom status: PoolStatus.

    The rollout's id is the instance id. Whatever happens, the lease is given back at the end.
    """
    rollout = msgspec.convert(context.get_input(dict), PoolRollout)
    return (yield from PoolOrchestration(context, rollout).run())


class PoolOrchestration:
    """One execution of a host pool's rollout."""

    def __init__(self, context: df.DurableOrchestrationContext, rollout: PoolRollout) -> None:
        """Begin, or go on where the last execution stopped."""
        self._context = context
        self._rollout = rollout
        self._lease = PoolLease(context, rollout.policy.host_pool_id)
        self._state = (
            unpack(rollout.state)
            if rollout.state
            else start(
                context.instance_id,
                rollout.policy.host_pool_id,
                rollout.version_id,
                _whole_seconds(now_of(context)),
                instead_of=rollout.instead_of,
                size=rollout.size,
            )
        )
        self._policy = policy_of_roll_back(rollout.policy) if self._state.instead_of else rollout.policy
        self._recorder = Recorder(
            context,
            image=rollout.image,
            version=short_version(rollout.version_id),
            pool=rollout.policy.name,
            recorded=rollout.recorded,
            notified=rollout.notified,
            unwritten=rollout.unwritten,
        )
        self._events = 0

    def run(self) -> Orchestration:
        """Take the lease, roll, give the lease back; the result is None when a new execution goes on."""
        self._show(None)
        answer = yield from self._take_lease()
        if answer is None or answer.verdict != "granted":
            ended = self._ended_without_lease(answer)
            if answer is not None:
                self._note_end()
                yield from self._recorder.finish()
            return ended
        if not self._state.last_number:
            self._state = structs.replace(self._state, last_number=answer.last_number)
        if self._state.reason == POOL_IN_USE:
            self._state = structs.replace(self._state, reason="", message="", since=self._now())
        try:
            goes_on = yield from self._turns()
        except Exception:
            yield from self._lease.release(self._state.last_number)
            raise
        if goes_on:
            return None
        yield from self._lease.release(self._state.last_number)
        yield from self._recorder.finish()
        return self._show(None)

    # ------------------------------------------------------------------------------------------------------ the lease

    def _take_lease(self) -> Generator[Any, Any, LeaseAnswer | None]:
        """The answer that ended the waiting; None when the waiting goes on in a new execution."""
        while self._events < EVENTS_PER_HISTORY:
            how = ROLL_BACK if self._rollout.instead_of else self._policy.on_newer_version
            answer = yield from self._lease.acquire(self._rollout.version_id, how)
            if answer.verdict != "waiting":
                return answer
            if answer.command is not None and answer.command.ends_it:
                yield from self._lease.release()  # nothing is in hand yet: it leaves the queue
                return structs.replace(answer, verdict="refused")
            look_again = self._now() + LEASE_POLL
            self._say(Phase.SCHEDULED, POOL_IN_USE, answer.message)
            self._show(look_again)
            yield self._context.create_timer(look_again)
            self._events += _EVENTS_PER_TURN
        self._go_on_in_new_execution()
        return None

    def _ended_without_lease(self, answer: LeaseAnswer | None) -> Any:
        if answer is None:
            return None
        if answer.command is not None:
            self._say(Phase.ABORTED, "AbortedByOperator", f"aborted {answer.command.spoken}")
            return self._show(None)
        self._say(Phase.SUPERSEDED if answer.superseded_by else Phase.REFUSED, POOL_IN_USE, answer.message)
        return self._show(None)

    # ------------------------------------------------------------------------------------------------------ the turns

    def _turns(self) -> Generator[Any, Any, bool]:
        """Turn after turn until the rollout has ended; True when it goes on in a new execution."""
        while self._events < EVENTS_PER_HISTORY:
            answer = yield from self._lease.check_in(self._state.last_number, self._state.carried_out)
            if answer.verdict == "lost":
                # Somebody else may be at work on the pool: nothing is touched any more, not even to tidy up.
                self._say(Phase.FAILED, "LeaseLost", answer.message)
                self._note_end()
                return False
            frozen = answer_of(self._context, (yield ask_for_freeze(self._context)))
            # A freeze keeps things from beginning; a roll back puts back what has begun. What an operator has told this
            # rollout itself goes before what is told all of them.
            stands = frozen.freeze.as_pause if frozen.freeze and not self._state.instead_of else None
            told = answer.command or stands
            self._recorder.note(of_command(self._state.command, told, self._now()))
            self._state = tell(self._state, told, answer.queued)
            if answer.superseded_by:
                newer = superseding_version(answer.superseded_by, self._rollout.version_id)
                self._state = supersede(self._state, newer)
            decision = yield from self._decide()
            decision = within(decision, self._room_for_steps(), self._now())
            self._state = decision.state
            self._show(decision.wake_at)
            wake_at = None if decision.done else decision.wake_at
            writing = self._recorder.begin_writing(self._now()) if wake_at is not None else {}
            again_at = None
            if decision.steps or writing:
                again_at = yield from self._act(decision.steps, writing)
            if wake_at is None:
                back = go_back(self._state, self._policy, self._now())
                if back is None:
                    return False
                self._state, self._policy = back, policy_of_roll_back(self._policy)
            else:
                yield self._context.create_timer(min(wake_at, again_at or wake_at))
            self._events += _EVENTS_PER_TURN + _EVENTS_PER_STEP * (len(decision.steps) + len(writing))
        self._go_on_in_new_execution()
        return True

    def _decide(self) -> Generator[Any, Any, Decision]:
        now = self._now()
        turn = {"state": pack(self._state), "policy": _json(self._policy), "now": _json(now)}
        if self._rollout.recorded:
            turn["recorded"] = True
        if self._rollout.notified:
            turn["notified"] = True
        try:
            answer = yield self._context.call_activity("decide_turn", turn, dict)
            self._recorder.note_packed(answer.get("events", ""))
            return unpack_decision(answer["decision"])
        except Exception as error:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
            return decide_unreadable(self._state, _died(error), self._now())

    def _room_for_steps(self) -> int:
        # Telling a sink takes the room of a step.
        room = (LONGEST_HISTORY - self._events - _EVENTS_PER_TURN) // _EVENTS_PER_STEP
        return min(MOST_STEPS, room - self._recorder.sinks)

    def _act(self, steps: tuple[Step, ...], writing: dict[str, Any]) -> Generator[Any, Any, datetime | None]:
        """Carry the steps out, beside the tasks that tell the sinks; when to look again because some steps failed or
        had to be put off, None when none did."""
        now = self._now()
        tasks = [
            self._context.call_activity(activity_of(step), _json(order(step, self._state, self._policy, now)), dict)
            for step in steps
        ]
        try:
            answers = yield self._context.task_all([*tasks, *writing.values()])
        except Exception as error:  # noqa: BLE001 - as above
            # One activity died, with its worker most likely. What became of the others is seen in the next turn.
            results = [StepOutcome(step, _died(error)) for step in steps]
            for sink in writing:
                self._recorder.end_writing(sink, None, self._now())
        else:
            for sink, answer in zip(writing, answers[len(steps) :], strict=True):
                self._recorder.end_writing(sink, answer, self._now())
            results = [
                outcome
                for step, answer in zip(steps, answers[: len(steps)], strict=True)
                for outcome in outcomes(step, answer)
            ]
        now, before = self._now(), self._state
        self._state = record(before, tuple(results), now)
        self._recorder.note(of_outcomes(before, self._state, results, now))
        return look_again_at(self._state, results, now)

    # ------------------------------------------------------------------------------------------------------ the status

    def _say(self, phase: Phase, reason: str, message: str) -> None:
        same = (self._state.phase, self._state.reason) == (phase, reason)
        since = self._state.since if same else self._now()
        self._state = structs.replace(self._state, phase=phase, reason=reason, message=message, since=since)

    def _note_end(self) -> None:
        state, now = self._state, self._now()
        ended = Event(now, "RolloutEnded", state.message, state.reason, phase=state.phase)
        self._recorder.note((*ends_of(state.replaced, state.replaced, now), ended))

    def _now(self) -> datetime:
        return _whole_seconds(now_of(self._context))

    def _show(self, next_look: datetime | None) -> Any:
        status = _json(pool_status(self._policy.name, self._state, next_look))
        self._context.set_custom_status(status)
        return status

    def _go_on_in_new_execution(self) -> None:
        rollout = structs.replace(self._rollout, state=pack(self._state), unwritten=self._recorder.packed)
        self._context.continue_as_new(_json(rollout))


def _whole_seconds(moment: datetime) -> datetime:
    # Fractions would stand behind every time that a rollout remembers, a quarter of its memory, and mean nothing.
    return moment.replace(microsecond=0)


def _json(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _died(error: Exception) -> StepError:
    first_line = str(error).strip().splitlines()[:1]
    return StepError("ActivityDied", (first_line or [type(error).__name__])[0][:300])
