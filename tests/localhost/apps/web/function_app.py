"""Fixture app: HTTP routes, Event Grid, timers and the durable client."""

import json
import os

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
seen: list[object] = []


@app.route(route="echo/{name}", methods=["GET", "POST"])
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Says what it got."""
    answer = {
        "name": req.route_params["name"],
        "query": dict(req.params),
        "method": req.method,
        "body": req.get_body().decode(),
        "header": req.headers.get("X-Test"),
        "function": context.function_name,
        "setting": os.environ.get("GREETING"),
    }
    return func.HttpResponse(json.dumps(answer), mimetype="application/json", headers={"X-Answer": "yes"})


@app.route(route="echo/special", methods=["GET"])
def special(req: func.HttpRequest) -> str:
    """A literal route beside one with a parameter."""
    return "special"


@app.route(route="optional/{first}/{second?}", methods=["GET"])
def optional(req: func.HttpRequest) -> func.HttpResponse:
    """A route whose last part may be missing."""
    return func.HttpResponse(json.dumps(dict(req.route_params)))


@app.route(route="numbers/{n:int}", methods=["GET"])
def numbers(req: func.HttpRequest) -> func.HttpResponse:
    """A route that takes numbers only."""
    return func.HttpResponse(req.route_params["n"], status_code=201)


@app.route(route="breaks", methods=["GET"])
def breaks(req: func.HttpRequest) -> func.HttpResponse:
    """Raises."""
    raise KeyError("oops")


@app.route(route="start/{name}/{id?}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def starter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestration."""
    given = json.loads(req.get_body() or b"null")
    instance_id = await client.start_new(req.route_params["name"], req.route_params.get("id"), given)
    return client.create_check_status_response(req, instance_id)


@app.route(route="wait/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def waiter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestration and waits for its end."""
    instance_id = await client.start_new(req.route_params["name"])
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id, 10_000, 10)


@app.route(route="client/{call}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def client_call(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Calls a method of the SDK's client; the answer is its result, or the text of what it raised."""
    call, instance_id = req.route_params["call"], req.route_params["id"]
    entity = df.EntityId("tally", instance_id)
    calls = {
        "raise": lambda: client.raise_event(instance_id, "word", req.get_json()),
        "status": lambda: client.get_status(instance_id, show_history=True, show_history_output=True, show_input=True),
        "all": lambda: client.get_status_by(instance_id_prefix=instance_id, runtime_status=[]),
        "terminate": lambda: client.terminate(instance_id, "enough of it"),
        "suspend": lambda: client.suspend(instance_id, "a break"),
        "resume": lambda: client.resume(instance_id, "on we go"),
        "purge": lambda: client.purge_instance_history(instance_id),
        "rewind": lambda: client.rewind(instance_id, "why"),
        "restart": lambda: client.restart(instance_id, False),
        "signal": lambda: client.signal_entity(entity, "add", req.get_json()),
        "entity": lambda: client.read_entity_state(entity),
    }
    try:
        result = await calls[call]()
    except Exception as error:  # noqa: BLE001 -- the SDK raises plain Exception
        return func.HttpResponse(json.dumps({"raised": str(error)}), status_code=500)
    return func.HttpResponse(json.dumps(_plain(result), default=str))


def _plain(result: object) -> object:
    """What a test can compare: a status as JSON, None for one that was not found, other results by their attributes."""
    if isinstance(result, list):
        return [_plain(item) for item in result]
    if isinstance(result, DurableOrchestrationStatus):
        return result.to_json() if result else None
    return getattr(result, "__dict__", result)


@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None:
    """Notes an event; fails when it says so."""
    if event.get_json().get("fail"):
        raise RuntimeError("asked to fail")
    seen.append(event.subject)


@app.event_grid_trigger(arg_name="event")
def on_raw_event(event: str) -> None:
    """Notes the raw text."""
    seen.append(json.loads(event))


@app.event_grid_trigger(arg_name="event")
@app.durable_client_input(client_name="client")
async def on_event_start(event: str, client: df.DurableOrchestrationClient) -> None:
    """Starts an orchestration whose id is the event's subject."""
    await client.start_new("listener", json.loads(event)["subject"].strip("/"), None)


@app.timer_trigger(arg_name="timer", schedule="0 */15 * * * *")
def quarter_hourly(timer: func.TimerRequest) -> None:
    """Notes each run."""
    seen.append("past due" if timer.past_due else "on time")


@app.timer_trigger(arg_name="timer", schedule="%SWEEP%")
@app.durable_client_input(client_name="client")
async def sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Starts an orchestration on a schedule from the app settings."""
    await client.start_new("listener", "swept")


@app.orchestration_trigger(context_name="context")
def listener(context: df.DurableOrchestrationContext):
    """Waits for `word`."""
    return (yield context.wait_for_external_event("word"))


@app.orchestration_trigger(context_name="context")
def quick(context: df.DurableOrchestrationContext):
    """Ends at once with its input."""
    return context.get_input()


@app.orchestration_trigger(context_name="context")
def broken(context: df.DurableOrchestrationContext):
    """Fails at once."""
    raise ValueError("broken")


@app.entity_trigger(context_name="context")
def tally(context: df.DurableEntityContext) -> None:
    """Sums up."""
    context.set_state(context.get_state(lambda: 0) + context.get_input())
