"""The HTTP API for a freeze: for a while nothing begins anywhere."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Struct

from adapters.instances import list_instances
from rollout.commands import LONGEST_NAME, Command
from rollout.freeze import Freeze, FreezeAnswer, freeze_in, ordered
from rollout.instance_ids import COMMAND_EVENT, FREEZE_ENTITY, FREEZE_KEY
from triggers.access import admit
from triggers.problems import answer, problem
from triggers.request_bodies import Reason, one_line, read_body
from triggers.rollout_views import is_rollout

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

_ENTITY = df.EntityId(FREEZE_ENTITY, FREEZE_KEY)
_UNDER_WAY = (df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Pending)
MOST_PAGES, PAGE = 20, 100
"""How many of Durable's instances are gone through, to tell those that wait for the end of a freeze."""


class FreezeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order: why, and until when, with a zone."""

    reason: Reason
    until: datetime


class ThawRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request to end the freeze before its time."""

    reason: Reason


async def standing_freeze(client: df.DurableOrchestrationClient) -> Freeze | None:
    """The freeze that stands now; one that cannot be read counts as one. Raises what the client raises."""
    stored = await client.read_entity_state(_ENTITY)
    return freeze_in(stored.entity_state if stored.entity_exists else None, datetime.now(UTC))


@bp.route(route="freeze", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_freeze(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/freeze: the freeze that stands, if there is one."""
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    return answer(FreezeAnswer(await standing_freeze(client)), 200)


@bp.route(route="freeze", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def order_freeze(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/freeze `{"reason": "the end of the year", "until": "2027-01-04T06:00:00Z"}`: nothing begins until then.

    202 with the freeze, which takes the place of one that stands: so it is made longer or shorter. It takes effect
    within seconds, before anything more is begun. 400 for a time that is past, too far away, or without a zone.
    """
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    given = read_body(req, FreezeRequest, '{"reason": "the end of the year", "until": "2027-01-04T06:00:00Z"}')
    if isinstance(given, func.HttpResponse):
        return given
    if given.until.tzinfo is None:
        return problem(400, "BadRequest", "until must have a zone, as in 2027-01-04T06:00:00Z", "until")
    now = datetime.now(UTC)
    freeze = ordered(caller.name, one_line(given.reason), now, _utc(given.until))
    if isinstance(freeze, str):
        return problem(400, "BadRequest", freeze, "until")
    await _tell(client, "begin", now, freeze)
    _log.warning("everything is frozen %s", freeze.spoken)
    return answer(FreezeAnswer(freeze), 202)


@bp.route(route="freeze", methods=["DELETE"])
@bp.durable_client_input(client_name="client")
async def end_freeze(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """DELETE /api/freeze `{"reason": "the books are closed"}`: the freeze is over, and rollouts go on.

    202, also when there is none: twice is harmless. Rollouts that wait for its end are told, those of host pools
    find out when they look next.
    """
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    given = read_body(req, ThawRequest, '{"reason": "the books are closed"}')
    if isinstance(given, func.HttpResponse):
        return given
    await _tell(client, "end", datetime.now(UTC))
    thaw = Command("thaw", caller.name[:LONGEST_NAME], one_line(given.reason))
    await _wake(client, thaw)
    _log.warning("the freeze is ended %s", thaw.spoken)
    return answer(FreezeAnswer(), 202)


async def _tell(
    client: df.DurableOrchestrationClient, operation: str, now: datetime, freeze: Freeze | None = None
) -> None:
    news: dict[str, Any] = {"now": now, "freeze": freeze}
    await client.signal_entity(_ENTITY, operation, msgspec.to_builtins(news))


async def _wake(client: df.DurableOrchestrationClient, thaw: Command) -> None:
    """Tell every rollout that is under way. One that is not reached goes on when the freeze was to end."""
    token = ""
    for _ in range(MOST_PAGES):
        page = await list_instances(client, "image-", PAGE, token, statuses=_UNDER_WAY)
        for status in page.statuses:
            if is_rollout(status):
                await client.raise_event(status.instance_id or "", COMMAND_EVENT, msgspec.to_builtins(thaw))
        token = page.token
        if not token:
            return
    _log.warning("there are too many rollouts to tell them all that the freeze has ended")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
