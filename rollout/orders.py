"""A step with all that carrying it out needs, as it travels to an activity, and what the activity's answer means."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, structs

from rollout.model import HostProgress, RolloutState, Stage
from rollout.outcomes import record
from rollout.policy import PoolPolicy, SessionHostTemplate
from rollout.steps import (
    DEFERRED,
    Decision,
    InstallAgent,
    JoinHost,
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    RestoreHost,
    RetainHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)

MOST_STEPS = 100
"""Steps that a turn carries out at most: each takes up to four events of the orchestration's history."""

AT_ONCE = timedelta(seconds=1)
"""When the turn after one that could not do everything comes: at once, but later all the same."""

LEAVING = frozenset({Stage.DRAINING, Stage.REMOVING})


class Order(Struct, frozen=True, omit_defaults=True):
    """One step to carry out at `now` for a rollout of a pool.

    `exclusion_tag` names the tag that keeps autoscale away from a VM, "" for none. `template` comes with the steps
    that make a host: it is by far the largest part.
    """

    step: Step
    rollout_id: str
    pool_id: str
    now: datetime
    exclusion_tag: str = ""
    template: SessionHostTemplate | None = None

    @property
    def new_host(self) -> SessionHostTemplate:
        """The template, which every order for a step that makes a host has."""
        if self.template is None:
            raise ValueError(f"the order for {type(self.step).__name__} has no template")
        return self.template


class Answer(Struct, frozen=True, omit_defaults=True):
    """What an activity says of its step: no `error` is success; `left` are the sessions that it did not reach."""

    error: StepError | None = None
    left: tuple[str, ...] = ()


def order(step: Step, state: RolloutState, policy: PoolPolicy, now: datetime) -> Order:
    """The order that carries out `step`."""
    return Order(
        step=step,
        rollout_id=state.rollout_id,
        pool_id=state.pool_id,
        now=now,
        exclusion_tag=policy.scaling_exclusion_tag,
        template=policy.session_host if isinstance(step, ProvisionHost | JoinHost | InstallAgent) else None,
    )


def within(decision: Decision, most: int, now: datetime) -> Decision:
    """The decision with its `most` urgent steps; the others are remembered as not tried, and decided on again at once.

    What people gain from comes first, what takes a host from them comes last.
    """
    if len(decision.steps) <= most:
        return decision
    in_hand = decision.state.in_hand
    ordered = sorted(decision.steps, key=lambda step: _urgency(step, in_hand.get(step.host)))
    later = StepError(DEFERRED, "too many steps for one turn")
    state = record(decision.state, [StepOutcome(step, later) for step in ordered[most:]], now)
    wake_at = None if decision.done else now + AT_ONCE
    return structs.replace(decision, state=state, steps=tuple(ordered[:most]), wake_at=wake_at)


def _urgency(step: Step, progress: HostProgress | None) -> int:
    if isinstance(step, StartDraining) and progress is not None and progress.stage not in LEAVING:
        return 0  # it keeps people off a host that is not proven, or off one that shall be taken away
    return _URGENCY[type(step)]


_URGENCY: dict[type[Step], int] = {
    StopDraining: 0,
    ReleaseHost: 0,
    QuarantineHost: 0,
    SignOutSessions: 1,
    NotifySessions: 2,
    RestoreHost: 1,
    RemoveHost: 3,
    RetainHost: 3,
    InstallAgent: 4,
    JoinHost: 4,
    ProvisionHost: 5,
    StartDraining: 6,
}


def activity_of(step: Step) -> str:
    """The name of the activity that carries out a step: that of the step in lower case, `provision_host`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(step).__name__).lower()


def outcomes(step: Step, answer: Any) -> tuple[StepOutcome, ...]:
    """What became of a step, from its activity's answer (an Answer as JSON).

    A step for several sessions that reached only some of them has two outcomes, so that nobody is told twice. An answer
    that cannot be read counts as a failure that may pass.
    """
    try:
        read = msgspec.convert(answer, Answer)
    except msgspec.ValidationError as error:
        read = Answer(error=StepError("UnreadableAnswer", str(error)))
    if read.error is not None and isinstance(step, NotifySessions | SignOutSessions) and read.left:
        reached = tuple(id for id in step.sessions if id not in read.left)
        parts = (StepOutcome(part_of(step, reached)),) if reached else ()
        return (*parts, StepOutcome(part_of(step, read.left), read.error))
    return (StepOutcome(step, read.error),)


def part_of(step: NotifySessions | SignOutSessions, sessions: tuple[str, ...]) -> NotifySessions | SignOutSessions:
    """The same step for some of its sessions only."""
    if isinstance(step, NotifySessions):
        return structs.replace(step, sessions=sessions)
    forced = len(set(sessions) & set(forced_sessions(step)))
    return structs.replace(step, sessions=sessions, forced=forced)


def forced_sessions(step: SignOutSessions) -> tuple[str, ...]:
    """The sessions that were active when their sign-out was decided: the last ones of the step."""
    return step.sessions[len(step.sessions) - step.forced :]
