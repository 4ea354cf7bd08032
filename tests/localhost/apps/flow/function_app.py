"""Fixture app: sequences, fan-out, timers, external events, sub-orchestrations and compounds."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
runs: list[int] = []


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    """Doubles a number and notes that it ran."""
    runs.append(n)
    return n * 2


@app.activity_trigger(input_name="text")
async def shout(text: str) -> str:
    """An asynchronous activity."""
    return text.upper()


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    """Doubles each number of the input at once."""
    return (yield context.task_all([context.call_activity("double", n) for n in context.get_input()]))


@app.orchestration_trigger(context_name="context")
def one_after_the_other(context: df.DurableOrchestrationContext):
    """Calls `double` as often as the input says."""
    total = 0
    for number in range(context.get_input()):
        total += yield context.call_activity("double", number)
    return total


@app.orchestration_trigger(context_name="context")
def loud(context: df.DurableOrchestrationContext):
    """Calls the asynchronous activity."""
    return (yield context.call_activity("shout", context.get_input()))


@app.orchestration_trigger(context_name="context")
def returns_at_once(context: df.DurableOrchestrationContext):
    """No generator at all."""
    return context.get_input()


@app.orchestration_trigger(context_name="context")
def sleeper(context: df.DurableOrchestrationContext):
    """Sleeps for the input's seconds and tells how long it was."""
    started = context.current_utc_datetime
    yield context.create_timer(started + timedelta(seconds=context.get_input()))
    return (context.current_utc_datetime - started).total_seconds()


@app.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext):
    """Waits an hour for `approved`; cancels the timer unless told to leave it."""
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    event = context.wait_for_external_event("approved")
    winner = yield context.task_any([event, timer])
    if winner == timer:
        return "too late"
    if context.get_input() != "leave the timer":
        timer.cancel()
    return event.result


@app.orchestration_trigger(context_name="context")
def late_listener(context: df.DurableOrchestrationContext):
    """Listens only after an hour."""
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    return (yield context.wait_for_external_event("word"))


@app.orchestration_trigger(context_name="context")
def two_words(context: df.DurableOrchestrationContext):
    """Listens for two different events, one after the other."""
    first = yield context.wait_for_external_event("first")
    second = yield context.wait_for_external_event("second")
    return [first, second]


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    """Calls the child with its own id and with a given one."""
    child = context.call_sub_orchestrator("child", "a")
    named = context.call_sub_orchestrator("child", "b", instance_id=f"{context.instance_id}-named")
    return (yield context.task_all([child, named]))


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext):
    """Shouts its input after a minute."""
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    shouted = yield context.call_activity("shout", context.get_input())
    return [shouted, context.parent_instance_id]


@app.orchestration_trigger(context_name="context")
def nested(context: df.DurableOrchestrationContext):
    """A compound of compounds; the timer is left behind and cancelled."""
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    both = context.task_all([context.call_activity("double", 1), context.call_activity("double", 2)])
    either = context.task_any([both, timer])
    winner = yield context.task_any([either, context.wait_for_external_event("never")])
    timer.cancel()
    return [winner == either, both.result]


@app.orchestration_trigger(context_name="context")
def leftovers(context: df.DurableOrchestrationContext):
    """Takes results in the order in which they come: later compounds hold tasks that were scheduled before."""
    pending = [
        context.create_timer(context.current_utc_datetime + timedelta(minutes=3)),
        context.create_timer(context.current_utc_datetime + timedelta(minutes=1)),
        context.create_timer(context.current_utc_datetime + timedelta(minutes=2)),
    ]
    order, waiting = [], list(pending)
    while waiting:
        winner = yield context.task_any(waiting)
        order.append(pending.index(winner))
        waiting.remove(winner)
    return order


@app.orchestration_trigger(context_name="context")
def reports(context: df.DurableOrchestrationContext):
    """Sets a custom status before each step."""
    context.set_custom_status({"step": 1})
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    context.set_custom_status({"step": 2})
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))


@app.orchestration_trigger(context_name="context")
def talkative(context: df.DurableOrchestrationContext):
    """Sets a custom status of as many characters as the input says."""
    context.set_custom_status("x" * context.get_input())
    yield context.create_timer(context.current_utc_datetime)


@app.orchestration_trigger(context_name="context")
def replay_flags(context: df.DurableOrchestrationContext):
    """Whether it is replaying before, between and after two activities, as the last episode sees it."""
    flags = [context.is_replaying]
    yield context.call_activity("double", 1)
    flags.append(context.is_replaying)
    yield context.call_activity("double", 2)
    return [*flags, context.is_replaying]


@app.orchestration_trigger(context_name="context")
def names_things(context: df.DurableOrchestrationContext):
    """Ids and times that must not change on replay."""
    first = [context.new_uuid(), str(context.new_guid()), str(context.current_utc_datetime)]
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    again = [context.new_uuid(), str(context.current_utc_datetime)]
    yield context.call_activity("double", 1)
    return [first, again]
