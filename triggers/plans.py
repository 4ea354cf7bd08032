"""The HTTP API for plans: what a rollout would do, before anything does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import azure.durable_functions as df
import azure.functions as func
from msgspec import Meta, Struct

from adapters.errors import StepFailed
from adapters.policy_source import PolicyUnusable
from triggers.access import admit
from triggers.planning import plan_of
from triggers.problems import answer, problem
from triggers.proposals import NotProposed, requested, requested_newest
from triggers.request_bodies import read_body

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

STATUS_OF = {"UnknownImage": 404, "NoSuchVersion": 404}


class PlanRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for a plan. Without `version` the newest one that may be rolled out; `pools` none: all.

    Without `forecast` nothing is foretold: the plan comes at once and names no times. Without `checks` it is not looked
    for what does not fit, which spares the calls that docs/plan.md counts.
    """

    image: Annotated[str, Meta(min_length=1, max_length=100)]
    version: Annotated[str, Meta(pattern=r"^([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})?$")] = ""
    pools: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=200)] = ()
    forecast: bool = True
    checks: bool = True


@bp.route(route="plan", methods=["POST"])
def make_plan(req: func.HttpRequest) -> func.HttpResponse:
    """POST /api/plan `{"image": "win11", "version": "1.2.3", "pools": ["production"]}`: what a rollout would do now.

    Changes nothing. 200 with the plan; 400, 404, 409, 502, 503: problem+json says what is wrong.
    """
    caller = admit(req, "Reader")
    if isinstance(caller, func.HttpResponse):
        return caller
    request = read_body(req, PlanRequest, '{"image": "win11", "version": "1.2.3"}')
    if isinstance(request, func.HttpResponse):
        return request
    try:
        if request.version:
            rollout = requested(request.image, request.version, "")
        else:
            rollout = requested_newest(request.image)
        if isinstance(rollout, NotProposed):
            return problem(STATUS_OF.get(rollout.code, 409), rollout.code, rollout.why)
        known = [pool.name for pool in rollout.pools]
        if unknown := [name for name in request.pools if name not in known]:
            why = f"image {request.image} has no host pool {unknown[0]!r}; it has {', '.join(known)}"
            return problem(404, "NoSuchPool", why)
        now = datetime.now(UTC)
        plan = plan_of(rollout, request.pools, now, foretell=request.forecast, check=request.checks)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    except StepFailed as failed:
        return problem(502, "AzureUnreadable", str(failed))
    return answer(plan, 200)
