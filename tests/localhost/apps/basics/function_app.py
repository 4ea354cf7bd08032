"""Fixture app: the small orchestrations that most engine tests use."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


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
def sleeper(context: df.DurableOrchestrationContext):
    """Sleeps for the input's seconds and tells how long it was."""
    started = context.current_utc_datetime
    yield context.create_timer(started + timedelta(seconds=context.get_input()))
    return (context.current_utc_datetime - started).total_seconds()


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    """Doubles a number."""
    return n * 2
