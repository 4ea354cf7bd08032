"""The edge of every activity: JSON in, JSON out, and errors as answers, because Durable loses their types."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from adapters.errors import StepFailed
from adapters.telemetry import Invocation, measure, span
from rollout.measuring import of_failure
from rollout.orders import Answer, Order, activity_of
from rollout.steps import StepError
from rollout.subject import Subject, subject_of

if TYPE_CHECKING:
    Payload = dict[str, Any]
else:
    Payload = dict  # the Functions worker refuses parametrised generics in annotations

StepType = TypeVar("StepType")

_log = logging.getLogger("goldroll.activities")


def carry_out(
    payload: Payload, kind: type[StepType], act: Callable[[StepType, Order], None], invocation: Invocation
) -> Payload:
    """Decode an order, carry out its step with `act`, and say what became of it: `{"ok": true}` or `{"error": {...}}`.

    `act` raises StepFailed, or SomeLeft when it did not reach some of the sessions. Each step is a span about its host.
    """

    def run() -> Payload:
        order = msgspec.convert(payload, Order)
        step = order.step
        if not isinstance(step, kind):
            raise TypeError(f"an order for {type(step).__name__} came to the activity for {kind.__name__}")
        activity, subject = activity_of(order.step), subject_of(order.rollout_id, host=order.step.host)

        def do() -> Payload:
            act(step, order)
            return {"ok": True}

        with span(activity, subject, invocation) as noted:
            answer = answering(do, subject)
            if "error" in answer:
                noted["error"] = answer["error"]["code"]
                measure(lambda: of_failure(activity, subject.pool, answer["error"]["code"]))
        return answer

    return answering(run)


class SomeLeft(StepFailed):
    """A step for several sessions did not reach these."""

    def __init__(self, error: StepError, left: tuple[str, ...]) -> None:
        super().__init__(error)
        self.left = left


def for_each_session(sessions: Iterable[str], act: Callable[[str], None]) -> None:
    """Do one thing for each session; raises SomeLeft with the first failure and all sessions that were not reached.

    Once Azure asks to wait, the rest is left: going on would only make it wait longer.
    """
    error: StepError | None = None
    left: list[str] = []
    for session in sessions:
        if error is not None and error.retry_after:
            left.append(session)
            continue
        try:
            act(session)
        except StepFailed as failed:
            left.append(session)
            error = error if error is not None and not failed.error.retry_after else failed.error
    if error is not None:
        raise SomeLeft(error, tuple(left))


def answering(run: Callable[[], Payload], subject: Subject = Subject()) -> Payload:  # noqa: B008 - frozen
    """The result of `run`, or its failure as `{"error": {...}}`; `subject` is what the log says that it was about."""
    try:
        return run()
    except SomeLeft as failed:
        return as_json(Answer(failed.error, failed.left))
    except StepFailed as failed:
        return as_json(Answer(failed.error))
    except Exception as error:  # noqa: BLE001 - Durable would turn it into a failed task without a type
        return as_json(Answer(unexpected(error, subject)))


def unexpected(error: Exception, subject: Subject = Subject()) -> StepError:  # noqa: B008 - frozen
    """A failure that nobody foresaw, a bug most likely: logged in full, answered in short, tried again later."""
    _log.error("unexpected failure", exc_info=error, extra=subject.extra)
    return StepError("Unexpected", f"{type(error).__name__}; the log has the details")


def as_json(value: Any) -> Payload:
    """A struct as plain JSON values."""
    return msgspec.to_builtins(value)  # type: ignore[no-any-return]
