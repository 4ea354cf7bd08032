"""The HTTP API for rollouts: start one, list them page by page, look at one and wait for news of it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Annotated, Any

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct, structs

from adapters.errors import StepFailed
from adapters.instances import BadToken, list_instances
from adapters.policy_source import PolicyUnusable
from rollout.expected import Expected
from rollout.instance_ids import is_image_instance
from rollout.policy_rules import iso
from rollout.subject import subject_of
from triggers.access import admit
from triggers.freezing import standing_freeze
from triggers.problems import answer, problem
from triggers.proposals import NotProposed, requested
from triggers.request_bodies import Reason, header_of, moment_in, one_line, read_body
from triggers.rollout_views import (
    created_at,
    is_rollout,
    may_follow,
    pools_of,
    pools_told,
    revision_of,
    summary_of,
    view_of,
)
from triggers.starting import has_ended, start_again

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_AFTER_BACKS = "rollouts:"
"""What the token of a page begins with when every roll back has been listed."""

_log = logging.getLogger("goldroll.triggers")

MOST_LISTED, MOST_PAGES = 100, 20

LONGEST_WAIT = timedelta(seconds=220)
"""What Azure's front end leaves of its 230 seconds for an answer."""

LOOK = 1.0
"""Seconds between two looks of somebody who waits."""

_STATUS_OF = {"UnknownImage": 404, "NoSuchVersion": 404, "UnusableVersion": 409, "NoHostPool": 409}


class RolloutRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to start a rollout; `reason` is shown with it.

    `expected` is taken over from its plan, see forecast.plan.RolloutPlan: so the rollout tells at its end how it went
    against that.
    """

    image: Annotated[str, Meta(min_length=1, max_length=100)]
    version: Annotated[str, Meta(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")]
    reason: Reason | None = None
    expected: Annotated[dict[str, Expected], Meta(max_length=60)] = {}


class StartAnswer(Struct, frozen=True):
    """The rollout that has been started, or that had been before."""

    id: str
    image: str
    version: str


@bp.route(route="rollouts", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def start_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts `{"image": "win11", "version": "1.2.3", "reason": "the new office suite"}`.

    202 with the rollout when it starts; 200 with the one that runs or has succeeded already, so that asking twice is
    safe. One that has ended otherwise is attempted again. 400, 403, 404, 409: problem+json says what is wrong; 409
    Frozen during a freeze.
    """
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    request = read_body(req, RolloutRequest, '{"image": "win11", "version": "1.2.3"}')
    if isinstance(request, func.HttpResponse):
        return request
    if (freeze := await standing_freeze(client)) is not None:
        return problem(409, "Frozen", f"nothing is started {freeze.spoken}")
    try:
        proposal = await asyncio.to_thread(requested, request.image, request.version, caller.name)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    except StepFailed as failed:
        return problem(502, "AzureUnreadable", str(failed))
    if isinstance(proposal, NotProposed):
        return problem(_STATUS_OF.get(proposal.code, 409), proposal.code, proposal.why)
    asked = structs.replace(proposal, start_reason=one_line(request.reason or ""), expected=request.expected)
    start = await start_again(client, asked)
    verb, about = "starts" if start.is_new else "finds", subject_of(start.instance_id)
    _log.info("%s %s %s", caller.name, verb, start.instance_id, extra=about.extra)
    location = f"{req.url.split('?')[0].rstrip('/')}/{start.instance_id}"
    body = StartAnswer(start.instance_id, request.image, request.version)
    return answer(body, 202 if start.is_new else 200, {"Location": location})


@bp.route(route="rollouts", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def list_rollouts(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/rollouts[?image=&phase=&pool=&since=&limit=&token=]: rollouts in short, page by page.

    A page is in the order of Durable's store, which is that of ids, roll backs first; the newest leads it. It may hold
    fewer than `limit` (50; at most 100) and yet have a `next`: a call goes through 2,000 instances at most. `since` is
    the earliest start. A finished rollout whose instance Durable has purged is not there any more.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    wanted = _wanted(req)
    if isinstance(wanted, func.HttpResponse):
        return wanted
    found: list[Any] = []
    given = req.params.get("token", "")
    # Roll backs have ids of their own kind, and come first: there are few of them.
    prefix, token = ("image-", given.removeprefix(_AFTER_BACKS)) if given.startswith(_AFTER_BACKS) else ("back-", given)
    for _ in range(MOST_PAGES):
        try:
            page = await list_instances(client, prefix, wanted.limit - len(found), token, wanted.since)
        except BadToken as error:
            return problem(400, "BadRequest", f"token must be the `next` of another answer: {error}", "token")
        found += [status for status in page.statuses if is_rollout(status) and wanted.matches(status)]
        token, is_last = page.token, not page.token and prefix == "image-"
        if not token and prefix == "back-":
            prefix = "image-"
        if is_last or len(found) >= wanted.limit:
            break
    newest_first = sorted(found, key=created_at, reverse=True)
    following = "" if is_last else token if prefix == "back-" else f"{_AFTER_BACKS}{token}"
    return answer({"rollouts": [summary_of(status) for status in newest_first], "next": following}, 200)


@bp.route(route="rollouts/{id}", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/rollouts/{id}[?wait=PT30S]: phase, message, and where each host pool stands and why; its ETag.

    With `wait` the answer comes when the rollout's revision is another than that of If-None-Match (without it: than
    when it was asked for), when the rollout has ended, or when so much time is over: PT220S at most.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    wait = _span(req.params.get("wait", "PT0S"))
    if wait is None:
        return problem(400, "BadRequest", f"wait must be a span of at most {iso(LONGEST_WAIT)}, as PT30S is", "wait")
    instance_id = req.route_params.get("id", "")
    status = await _status(client, instance_id)
    if not status:
        return problem(404, "NoSuchRollout", f"there is no rollout {instance_id[:200]!r}")
    known = header_of(req, "If-None-Match")
    before, clock = revision_of(status), asyncio.get_running_loop().time
    until = clock() + wait.total_seconds()
    while clock() < until and not has_ended(status) and may_follow(known, revision_of(status)):
        if not known and revision_of(status) != before:
            break
        await asyncio.sleep(min(LOOK, max(0.0, until - clock())))
        status = await _status(client, instance_id) or status
    pools = {name: await client.get_status(id) for name, id in pools_of(status).items()}
    view = view_of(status, pools)
    if not has_ended(status) and (freeze := await standing_freeze(client)) is not None:
        view["freeze"] = freeze
    return answer(view, 200, {"ETag": f'"{view["revision"]}"', "Cache-Control": "private, no-cache"})


async def _status(client: df.DurableOrchestrationClient, instance_id: str) -> Any:
    status = await client.get_status(instance_id, show_input=True) if is_image_instance(instance_id) else None
    return status if status and is_rollout(status) else None


class _Wanted(Struct, frozen=True):
    """Which rollouts are listed."""

    limit: int
    since: datetime | None
    image: str
    phase: str
    pool: str

    def matches(self, status: Any) -> bool:
        """What it is told, it goes by; nothing told is any."""
        shown = summary_of(status)
        return (
            self.image in ("", shown["image"])
            and self.phase.lower() in ("", str(shown["phase"]).lower())
            and (not self.pool or self.pool in pools_told(status))
        )


def _wanted(req: func.HttpRequest) -> _Wanted | func.HttpResponse:
    limit, since = req.params.get("limit", "50"), req.params.get("since", "")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST_LISTED):
        return problem(400, "BadRequest", f"limit must be a number from 1 to {MOST_LISTED}", "limit")
    moment = moment_in(since) if since else None
    if since and moment is None:
        return problem(400, "BadRequest", "since must be a time such as 2026-11-23T08:00:00Z", "since")
    image, phase, pool = (req.params.get(name, "")[:200] for name in ("image", "phase", "pool"))
    return _Wanted(int(limit), moment, image, phase, pool)


def _span(text: str) -> timedelta | None:
    try:
        span = msgspec.convert(text, timedelta)
    except (msgspec.ValidationError, OverflowError):
        return None
    return span if timedelta(0) <= span <= LONGEST_WAIT else None
