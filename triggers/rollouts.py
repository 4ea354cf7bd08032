"""The HTTP API for rollouts: start one, list them, look at one."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct, structs

from adapters.caller import UnknownCaller, caller_of
from adapters.errors import StepFailed
from adapters.policy_source import PolicyUnusable
from rollout.expected import Expected
from rollout.instance_ids import is_image_instance
from triggers.problems import LONGEST_BODY, answer, problem
from triggers.proposals import NotProposed, requested
from triggers.rollout_views import created_at, is_rollout, pools_of, summary_of, view_of
from triggers.starting import start_again

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

_STATUS_OF = {"UnknownImage": 404, "NoSuchVersion": 404, "UnusableVersion": 409, "NoHostPool": 409}


class RolloutRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to start a rollout. `expected` is taken over from its plan, see forecast.plan.RolloutPlan:
    so the rollout tells at its end how it went against that."""

    image: Annotated[str, Meta(min_length=1, max_length=100)]
    version: Annotated[str, Meta(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    expected: Annotated[dict[str, Expected], Meta(max_length=200)] = {}


@bp.route(route="rollouts", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def start_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts `{"image": "win11", "version": "1.2.3"}`.

    202 with the rollout when it starts; 200 with the one that runs or has succeeded already, so that asking twice is
    safe. One that has ended otherwise is attempted again. 400, 403, 404, 409: problem+json says what is wrong.
    """
    try:
        request = _read(req.get_body())
    except msgspec.MsgspecError as error:
        example = '{"image": "win11", "version": "1.2.3"}'
        return problem(400, "BadRequest", f"the body must be like {example}: {error}")
    try:
        caller = caller_of(req.headers)
    except UnknownCaller as error:
        return problem(403, "UnknownCaller", str(error))
    try:
        proposal = await asyncio.to_thread(requested, request.image, request.version, caller.name)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    except StepFailed as failed:
        return problem(502, "AzureUnreadable", str(failed))
    if isinstance(proposal, NotProposed):
        return problem(_STATUS_OF.get(proposal.code, 409), proposal.code, proposal.why)
    start = await start_again(client, structs.replace(proposal, expected=request.expected))
    _log.info("a request %s %s", "starts" if start.is_new else "finds", start.instance_id)
    location = f"{req.url.split('?')[0].rstrip('/')}/{start.instance_id}"
    body = {"id": start.instance_id, "image": request.image, "version": request.version}
    return answer(body, 202 if start.is_new else 200, {"Location": location})


@bp.route(route="rollouts", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def list_rollouts(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/rollouts: all rollouts that Durable remembers, the newest first, without their pools' details."""
    statuses = [status for status in await client.get_status_all() if is_rollout(status)]
    newest_first = sorted(statuses, key=created_at, reverse=True)
    return answer({"rollouts": [summary_of(status) for status in newest_first]}, 200)


@bp.route(route="rollouts/{id}", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/rollouts/{id}: phase, message, and where each host pool stands and why."""
    instance_id = req.route_params.get("id", "")
    status = await client.get_status(instance_id) if is_image_instance(instance_id) else None
    if not status:
        return problem(404, "NoSuchRollout", f"there is no rollout {instance_id[:200]!r}")
    pools = {name: await client.get_status(id) for name, id in pools_of(status).items()}
    return answer(view_of(status, pools), 200)


def _read(body: bytes) -> RolloutRequest:
    if len(body) > LONGEST_BODY:
        raise msgspec.ValidationError(f"{len(body)} bytes are too many")
    return msgspec.json.decode(body, type=RolloutRequest)
