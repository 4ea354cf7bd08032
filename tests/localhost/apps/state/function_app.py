"""Fixture app: entities, continue_as_new, and what survives them."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    """Adds, gives its value, fails or goes away."""
    value = context.get_state(lambda: 0)
    operation = context.operation_name
    if operation == "add":
        value += context.get_input()
        context.set_state(value)
        context.set_result(value)
    elif operation == "get":
        context.set_result(value)
    elif operation == "delete":
        context.destruct_on_exit()
    else:
        raise ValueError(f"no operation {operation}")


@app.orchestration_trigger(context_name="context")
def counts(context: df.DurableOrchestrationContext):
    """Signals twice, then calls."""
    entity = df.EntityId("counter", "c")
    context.signal_entity(entity, "add", 1)
    context.signal_entity(entity, "add", 10)
    after = yield context.call_entity(entity, "add", 100)
    read = yield context.call_entity(entity, "get")
    return [after, read]


@app.orchestration_trigger(context_name="context")
def asks_the_impossible(context: df.DurableOrchestrationContext):
    """Calls an operation that raises."""
    try:
        yield context.call_entity(df.EntityId("counter", "c"), "divide", 0)
    except Exception as error:  # noqa: BLE001 -- the SDK raises plain Exception
        return str(error)


@app.orchestration_trigger(context_name="context")
def asks_nobody(context: df.DurableOrchestrationContext):
    """Calls an entity that the app does not have."""
    yield context.call_entity(df.EntityId("nobody", "c"), "get")


@app.activity_trigger(input_name="n")
def step(n: int) -> int:
    """One step."""
    return n + 1


@app.orchestration_trigger(context_name="context")
def counts_down(context: df.DurableOrchestrationContext):
    """One turn for each number, each in an execution of its own."""
    left, done = context.get_input()
    done = yield context.call_activity("step", done)
    if left > 1:
        context.continue_as_new([left - 1, done])
        return None
    return done


@app.orchestration_trigger(context_name="context")
def eternal(context: df.DurableOrchestrationContext):
    """Sleeps and begins anew; an uncancelled second timer holds it back when the input says so."""
    turns = context.get_input()
    if turns["left"] == 0:
        return turns
    context.set_custom_status(f"{turns['left']} left")
    if turns.get("straggler"):
        late = context.create_timer(context.current_utc_datetime + timedelta(hours=2))
        yield context.task_any([late, context.create_timer(context.current_utc_datetime + timedelta(minutes=1))])
    else:
        yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    context.continue_as_new({**turns, "left": turns["left"] - 1})


@app.orchestration_trigger(context_name="context")
def hears_in_its_second_life(context: df.DurableOrchestrationContext):
    """Its first execution ends after a minute, held open for ten; the second listens for `word` for a day."""
    if context.get_input() == "second":
        timer = context.create_timer(context.current_utc_datetime + timedelta(days=1))
        event = context.wait_for_external_event("word")
        winner = yield context.task_any([event, timer])
        if winner == timer:
            return "silence"
        timer.cancel()
        return event.result
    straggler = context.create_timer(context.current_utc_datetime + timedelta(minutes=10))
    yield context.task_any([straggler, context.create_timer(context.current_utc_datetime + timedelta(minutes=1))])
    context.continue_as_new("second")


@app.orchestration_trigger(context_name="context")
def parent_of_eternal(context: df.DurableOrchestrationContext):
    """Waits for a child that begins anew several times."""
    return (yield context.call_sub_orchestrator("counts_down", [3, 0]))
