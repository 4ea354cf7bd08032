"""Retirement of image versions: by a timer, and over HTTP, where the plan can be seen before it is applied."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct, structs

from activities.plan_retirement import planned
from activities.read_running_rollouts import running_rollouts
from adapters.errors import StepFailed
from adapters.gallery import list_versions
from adapters.notifications import sinks_in_use
from adapters.policy_source import PolicyUnusable, current_policy
from rollout.instance_ids import retirement_instance
from rollout.policy import ImagePolicy, Policy
from rollout.retention import RetentionPlan
from rollout.retirement import Retirement, RetirementOrder, StepResult, actions_of, retirement_of, summary
from rollout.verdicts import Verdict
from triggers.access import admit
from triggers.problems import answer, problem
from triggers.request_bodies import one_line, read_body
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

ORCHESTRATION = "retire_image_versions"

_log = logging.getLogger("goldroll.triggers")


class RetirementRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to retire versions; may be empty."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class RetirementAnswer(Struct, frozen=True):
    """The run that has been started, or is under way."""

    id: str
    image: str


class VersionView(Struct, frozen=True):
    """What becomes of a version now, and why; see rollout.retention.VersionPlan."""

    version: str
    verdict: Verdict
    actions: tuple[str, ...]
    reason: str
    protected: bool
    overtaken: bool
    put_off: bool


class LastRun(Struct, frozen=True, omit_defaults=True):
    """The last run, as far as it has told: see rollout.retirement.RetirementReport."""

    id: str
    status: str
    updated: datetime | None
    image: str = ""
    message: str = ""
    apply: bool = False
    by: str = ""
    why: str = ""
    results: tuple[StepResult, ...] = ()


class RetirementView(Struct, frozen=True, omit_defaults=True):
    """What would become of an image's versions now, whatever has been carried out before."""

    image: str
    mode: str
    observed_at: datetime
    message: str
    notes: tuple[str, ...]
    versions: tuple[VersionView, ...]
    last_run: LastRun | None = None


@bp.timer_trigger(arg_name="timer", schedule="%GOLDROLL_RETIREMENT_SCHEDULE%", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def retire(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Start a run for each image definition: one that applies where the policy says so, else one that only plans.

    Single versions and images of the marketplace are not ours to retire.
    """
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        _log.error("nothing is retired, the policy cannot be used: %s", error)
        return
    for image in policy.images:
        if not image.definition_id:
            continue
        apply = image.retention.mode == "apply"
        await _start(client, retirement_of(policy, image, apply=apply, by="schedule", notified=sinks_in_use()))


@bp.route(route="images/{name}/retirement", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_retirement(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/images/{name}/retirement: what would become of each version now and why, and how the last run went.

    Nothing is changed. 404: the policy has no such image. 409: it is no image definition. 502: Azure cannot be read.
    503: the policy cannot be used.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    found = await _image(req)
    if isinstance(found, func.HttpResponse):
        return found
    policy, image = found
    retirement = retirement_of(policy, image, apply=False, by="")
    try:
        versions = await asyncio.to_thread(list_versions, image.definition_id)
        rollouts = await running_rollouts(client, image.definition_id, [version.id for version in versions])
        order = RetirementOrder(
            image, retirement.subscriptions, datetime.now(UTC), rollouts.running, rollouts.unreadable
        )
        plan = await asyncio.to_thread(planned, order)
    except StepFailed as failed:
        return problem(502, "AzureUnreadable", str(failed))
    last = await client.get_status(retirement_instance(image.definition_id))
    return answer(_view(image, plan, last), 200)


@bp.route(route="images/{name}/retirement", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def start_retirement(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/images/{name}/retirement `{"reason": "..."}`: carry the plan out now, whatever `mode` the policy says.

    202 with the run; 200 with the one that is under way already, so that asking twice is safe. 400, 403,
    404, 409, 503: problem+json says what is wrong.
    """
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    request = read_body(req, RetirementRequest, '{"reason": "make room"}, or empty', may_be_empty=True)
    if isinstance(request, func.HttpResponse):
        return request
    found = await _image(req)
    if isinstance(found, func.HttpResponse):
        return found
    policy, image = found
    why = one_line(request.reason)
    id, is_new = await _start(
        client, retirement_of(policy, image, apply=True, by=caller.name, why=why, notified=sinks_in_use())
    )
    location = {"Location": req.url.split("?")[0]}
    return answer(RetirementAnswer(id, image.name), 202 if is_new else 200, location)


async def _image(req: func.HttpRequest) -> tuple[Policy, ImagePolicy] | func.HttpResponse:
    name = req.route_params.get("name", "")
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    image = next((image for image in policy.images if image.name == name), None)
    if image is None:
        known = ", ".join(sorted(image.name for image in policy.images))
        return problem(404, "UnknownImage", f"the policy has no image {name[:100]!r}; it has {known}")
    if not image.definition_id:
        return problem(
            409, "NothingToRetire", f"{image.name} is no image definition: its versions are not ours to retire"
        )
    return policy, image


async def _start(client: df.DurableOrchestrationClient, retirement: Retirement) -> tuple[str, bool]:
    """The run's instance, and whether it is new: there is one for each definition, used again when it has ended."""
    id = retirement_instance(retirement.image.definition_id)
    status = await client.get_status(id)
    if status and not has_ended(status):
        return id, False
    try:
        await client.start_new(ORCHESTRATION, id, msgspec.to_builtins(retirement))
    except Exception:
        # Two triggers may have asked at the same moment, and Durable refuses the second.
        status = await client.get_status(id)
        if status and not has_ended(status):
            return id, False
        raise
    return id, True


def _view(image: ImagePolicy, plan: RetentionPlan, last: Any) -> RetirementView:
    versions = tuple(
        VersionView(
            entry.version,
            entry.verdict,
            actions_of(entry),
            entry.reason,
            entry.is_protected,
            entry.is_overtaken,
            entry.put_off,
        )
        for entry in plan.versions
    )
    shown = RetirementView(
        image.name, image.retention.mode, plan.observed_at, summary(plan), tuple(plan.notes), versions
    )
    return structs.replace(shown, last_run=_last_run(last)) if last else shown


def _last_run(status: Any) -> LastRun:
    told = status.output if isinstance(status.output, dict) else status.custom_status
    known = {"id": status.instance_id, "status": status.runtime_status.name, "updated": status.last_updated_time}
    try:
        return msgspec.convert({**(told if isinstance(told, dict) else {}), **known}, LastRun)
    except msgspec.ValidationError:
        return LastRun(**known)  # told by another version of this app
