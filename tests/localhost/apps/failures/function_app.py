"""Fixture app: activities and orchestrations that fail, and retries."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
left_to_fail = {"times": 0}
TWICE_A_MINUTE_APART = df.RetryOptions(first_retry_interval_in_milliseconds=60_000, max_number_of_attempts=3)


@app.activity_trigger(input_name="text")
def refuse(text: str) -> str:
    """Always fails."""
    raise ValueError(text)


@app.activity_trigger(input_name="text")
def flaky(text: str) -> str:
    """Fails as often as `left_to_fail` says."""
    if left_to_fail["times"] > 0:
        left_to_fail["times"] -= 1
        raise ConnectionError("not yet")
    return text


@app.orchestration_trigger(context_name="context")
def lets_it_fail(context: df.DurableOrchestrationContext):
    """Does not catch."""
    yield context.call_activity("refuse", "no way")


@app.orchestration_trigger(context_name="context")
def catches(context: df.DurableOrchestrationContext):
    """Catches what the SDK raises, and says what it saw."""
    try:
        yield context.call_activity("refuse", "no way")
    except Exception as error:  # noqa: BLE001 -- the SDK raises plain Exception
        return [type(error).__name__, str(error).partition(" \n ")[0]]


@app.orchestration_trigger(context_name="context")
def own_error(context: df.DurableOrchestrationContext):
    """Fails by itself after a step."""
    yield context.call_activity("flaky", "x")
    raise RuntimeError("my own")


@app.orchestration_trigger(context_name="context")
def retries(context: df.DurableOrchestrationContext):
    """Three attempts, a minute apart."""
    started = context.current_utc_datetime
    try:
        result = yield context.call_activity_with_retry("flaky", TWICE_A_MINUTE_APART, "done")
    except Exception as error:  # noqa: BLE001 -- the SDK raises plain Exception
        result = str(error).partition(" \n ")[0]
    follow_up = yield context.call_activity("flaky", "next")
    return [result, (context.current_utc_datetime - started).total_seconds(), follow_up]


@app.orchestration_trigger(context_name="context")
def retries_child(context: df.DurableOrchestrationContext):
    """Retries a sub-orchestration."""
    return (yield context.call_sub_orchestrator_with_retry("flaky_child", TWICE_A_MINUTE_APART, "done"))


@app.orchestration_trigger(context_name="context")
def flaky_child(context: df.DurableOrchestrationContext):
    """Fails when its activity does."""
    return (yield context.call_activity("flaky", context.get_input()))


@app.orchestration_trigger(context_name="context")
def child_fails(context: df.DurableOrchestrationContext):
    """Says why the child failed."""
    try:
        yield context.call_sub_orchestrator("own_error", None)
    except Exception as error:  # noqa: BLE001 -- the SDK raises plain Exception
        return str(error).partition(" \n ")[0]


@app.orchestration_trigger(context_name="context")
def one_of_two_fails(context: df.DurableOrchestrationContext):
    """One of two fails at once, the other takes its time; what follows waits for both."""
    started = context.current_utc_datetime
    try:
        yield context.task_all([context.call_activity("refuse", "no"), context.call_sub_orchestrator("slow_child")])
    except Exception:  # noqa: BLE001 -- the SDK raises plain Exception
        yield context.call_activity("flaky", "x")
    return (context.current_utc_datetime - started).total_seconds()


@app.orchestration_trigger(context_name="context")
def slow_child(context: df.DurableOrchestrationContext):
    """Ends after an hour."""
    import datetime  # noqa: PLC0415 -- the fixture's only use

    yield context.create_timer(context.current_utc_datetime + datetime.timedelta(hours=1))


@app.orchestration_trigger(context_name="context")
def calls_nobody(context: df.DurableOrchestrationContext):
    """Calls an activity that does not exist."""
    yield context.call_activity("nobody", None)


@app.orchestration_trigger(context_name="context")
def returns_a_set(context: df.DurableOrchestrationContext):
    """Its output is not JSON."""
    return {1, 2}


@app.orchestration_trigger(context_name="context")
async def coroutine(context: df.DurableOrchestrationContext):
    """Orchestrators must not be async; the worker finds out only when it runs."""
    return 1


@app.orchestration_trigger(context_name="context")
def calls_http(context: df.DurableOrchestrationContext):
    """A durable HTTP call."""
    yield context.call_http("GET", "http://127.0.0.1/")
