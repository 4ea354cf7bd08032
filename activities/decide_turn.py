"""Takes one turn of a rollout: look at the pool, decide, tell the story.

The decision is made where the pool was observed: the picture of a pool of a thousand hosts is megabytes, more than may
pass through Durable's history. What goes in and out is what the rollout remembers and the steps.
"""

from __future__ import annotations

import logging
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Struct, structs

from activities.answers import Payload, unexpected
from adapters.errors import StepFailed
from adapters.pool_reader import observe
from adapters.telemetry import measure, span
from rollout.measuring import of_turn
from rollout.model import PoolSnapshot, RolloutState, Stage
from rollout.notifying import of_replacements
from rollout.orders import MOST_STEPS, within
from rollout.outbox import pack
from rollout.policy import PoolPolicy
from rollout.pool import deals_with_sessions, decide, decide_unreadable, to_look_into
from rollout.recording import Event, host_named_in, of_decision, of_waves
from rollout.steps import Decision, StartDraining, Step
from rollout.subject import Subject, subject_of
from rollout.travelling import pack_decision, unpack

bp = df.Blueprint()

_story = logging.getLogger("goldroll.story")


class TurnOrder(Struct, frozen=True):
    """What a turn starts from."""

    state: str
    policy: PoolPolicy
    now: datetime
    recorded: bool = False
    notified: bool = False


@bp.activity_trigger(input_name="turn")
def decide_turn(turn: Payload, context: func.Context) -> Payload:
    """Observe the pool and decide.

    In: `{"state": RolloutState (packed), "policy": PoolPolicy, "now": time}`. Out: `{"decision": Decision}`, its state
    packed too, its story told to the log and left out, its steps no more than a turn carries out. A pool that cannot be
    read gives a decision to try again, or to end when it is gone. With `"recorded": true` or `"notified": true` also
    `"events"`: what the decision has changed, packed; they are left out when there are none.
    """
    order = msgspec.convert(turn, TurnOrder)
    before = unpack(order.state)
    subject = subject_of(before.rollout_id, pool=order.policy.name)
    with span("decide_turn", subject, context) as noted:
        answer, after = _take_turn(order, before, subject)
        noted |= {"phase": str(after.phase), "reason": after.reason}
    return answer


def _take_turn(order: TurnOrder, before: RolloutState, subject: Subject) -> tuple[Payload, RolloutState]:
    decision, snapshot = _decide(before, order.policy, order.now, subject)
    decision = within(decision, MOST_STEPS, order.now)
    hosts = {host.name: host for host in snapshot.hosts} if snapshot is not None else {}
    known = {*hosts, *before.in_hand, *decision.state.in_hand} if decision.story else ()
    for sentence in decision.story:
        about = structs.replace(subject, host=host_named_in(sentence, known))
        _story.info("%s: %s", order.policy.name, sentence, extra=about.extra)
    events: tuple[Event, ...] = ()
    if order.recorded or order.notified:
        waves, events = of_waves(before, decision.state, order.now)
        decision = structs.replace(decision, state=structs.replace(decision.state, waves=waves))
        events += of_decision(before, decision, hosts, order.now)
    if order.notified:
        replaced, began_or_ended = of_replacements(before.replaced, decision.state, hosts, order.now)
        decision = structs.replace(decision, state=structs.replace(decision.state, replaced=replaced))
        events += began_or_ended
    measure(lambda: of_turn(before, decision, snapshot, order.policy, order.now))
    answer: Payload = {"decision": pack_decision(decision)}
    if events:
        answer["events"] = pack(events)
    return answer, decision.state


def _decide(
    state: RolloutState, policy: PoolPolicy, now: datetime, subject: Subject
) -> tuple[Decision, PoolSnapshot | None]:
    """The decision, and what it was made on: None when the pool could not be read."""
    asked_for = [name for name, host in state.in_hand.items() if host.stage is Stage.PROVISIONING]
    new = to_look_into(state, now)
    try:
        snapshot = observe(
            state.pool_id,
            state.target,
            policy,
            state.rollout_id,
            new,
            now,
            untouched=asked_for,
            fresh_sessions=deals_with_sessions(state, policy, now),
        )
        decision = decide(state, snapshot, policy, now)
        return _with_what_was_seen(decision, snapshot, policy.scaling_exclusion_tag), snapshot
    except StepFailed as failed:
        return decide_unreadable(state, failed.error, now), None
    except Exception as error:  # noqa: BLE001 - a rollout must not die of one bad turn, with hosts drained
        return decide_unreadable(state, unexpected(error, subject), now), None


def _with_what_was_seen(decision: Decision, snapshot: PoolSnapshot, exclusion_tag: str) -> Decision:
    """Say of each host to be drained which of its tags are there already, so that nobody needs to read it again."""
    hosts = {host.name: host for host in snapshot.hosts}

    def seen(step: Step) -> Step:
        if not isinstance(step, StartDraining) or (host := hosts.get(step.host)) is None:
            return step
        # Azure keeps the case of tag names and ignores it.
        excluded = any(name.lower() == exclusion_tag.lower() for name in host.tags)
        return structs.replace(step, held=host.is_held_by(decision.state.rollout_id), excluded=excluded)

    steps = tuple(seen(step) for step in decision.steps)
    return structs.replace(decision, steps=steps)
