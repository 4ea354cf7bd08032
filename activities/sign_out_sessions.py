"""Ends sessions: of people who left them disconnected, or whose grace period is over."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out, for_each_session
from adapters import session_hosts
from adapters.errors import StepFailed
from rollout.orders import Order, forced_sessions
from rollout.steps import SignOutSessions, StepError

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def sign_out_sessions(order: Payload, context: func.Context) -> Payload:
    """Sign the sessions of the step out, but nobody who has come back to a disconnected one since it was decided.

    In: an Order of SignOutSessions. Out: `{"ok": true}` or `{"error": StepError, "left": [sessions not ended]}`.
    """
    return carry_out(order, SignOutSessions, _sign_out, context)


def _sign_out(step: SignOutSessions, _order: Order) -> None:
    back = _people_back(step)

    def end(session: str) -> None:
        if session in back:
            raise StepFailed(StepError("SessionActive", f"somebody is back in session {session} on {step.host}"))
        session_hosts.sign_out(step.registration, session)

    for_each_session(step.sessions, end)


def _people_back(step: SignOutSessions) -> tuple[str, ...]:
    forced = forced_sessions(step)
    if len(forced) == len(step.sessions):
        return ()
    now = {session.id: session for session in session_hosts.list_sessions(step.registration)}
    return tuple(id for id in step.sessions if id not in forced and id in now and not now[id].is_disconnected)
