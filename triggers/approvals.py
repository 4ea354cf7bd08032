"""The HTTP API for people's answers: approve a ring of a rollout, or reject it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct

from adapters.caller import Caller
from rollout.gates import LONGEST_NAME, Approval, AskedApproval, Refusal, RingPhase, refusal_of
from rollout.instance_ids import APPROVAL_EVENT, is_image_instance
from rollout.subject import subject_of
from triggers.access import admit
from triggers.problems import answer, problem
from triggers.request_bodies import Reason, one_line, read_body
from triggers.rollout_views import is_rollout
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

_STATUS_OF = {"NoSuchRing": 404, "NotAsked": 409, "TooLate": 409, "WrongRole": 403, "SamePerson": 403}


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an answer. Without `ring` it is about the one that is asked about now."""

    reason: Reason
    ring: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""


class ApprovalAnswer(Struct, frozen=True):
    """An answer that has been passed on to the rollout: about which ring, and in whose name."""

    id: str
    ring: str
    decision: Literal["approve", "reject"]
    by: str


class _Told(Struct, frozen=True):
    """What a rollout shows of its rings; see rollout.status.ImageStatus, of which nothing else is read."""

    rings: dict[str, RingPhase] = {}
    asked: AskedApproval | None = None


@bp.route(route="rollouts/{id}/approve", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def approve_ring(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/approve `{"reason": "printing works", "ring": "validation"}`; see _answer."""
    return await _answer(req, client, "approve")


@bp.route(route="rollouts/{id}/reject", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def reject_ring(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/reject `{"reason": "printing is broken", "ring": "validation"}`; see _answer."""
    return await _answer(req, client, "reject")


async def _answer(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, decision: Literal["approve", "reject"]
) -> func.HttpResponse:
    """202 when the answer has been passed on to the rollout, which judges it once more when it takes it in.

    403 for somebody who may not answer, 404 for no such rollout or ring, 409 when nobody is asked about the ring (yet,
    or any more) or the rollout has ended: problem+json says which. The same answer twice is harmless: the second one
    gets 409, or, when it is very quick, is told of in the rollout's story and changes nothing.
    """
    caller = admit(req, "Approver")
    if isinstance(caller, func.HttpResponse):
        return caller
    given = read_body(req, Answer, '{"reason": "printing works"}')
    if isinstance(given, func.HttpResponse):
        return given
    instance_id = req.route_params.get("id", "")
    status = await client.get_status(instance_id) if is_image_instance(instance_id) else None
    if not status or not is_rollout(status):
        return problem(404, "NoSuchRollout", f"there is no rollout {instance_id[:200]!r}")
    if has_ended(status):
        return problem(409, "HasEnded", f"rollout {instance_id} has ended")
    told = _told(status.custom_status)
    approval = _approval(given, told, caller, decision)
    refusal = _refusal(approval, told)
    if refusal is not None:
        return problem(_STATUS_OF[refusal.code], refusal.code, refusal.why)
    await client.raise_event(instance_id, APPROVAL_EVENT, msgspec.to_builtins(approval))
    about, ring = subject_of(instance_id), approval.ring
    _log.info("%s answers %s about ring %s of %s", caller.name, decision, ring, instance_id, extra=about.extra)
    return answer(ApprovalAnswer(instance_id, approval.ring, decision, caller.name), 202)


def _approval(given: Answer, told: _Told, caller: Caller, decision: Literal["approve", "reject"]) -> Approval:
    ring = given.ring or (told.asked.ring if told.asked else "")
    return Approval(ring, decision, caller.name[:LONGEST_NAME], caller.roles, one_line(given.reason))


def _refusal(approval: Approval, told: _Told) -> Refusal | None:
    if not approval.ring:
        return Refusal("NotAsked", "nobody is asked about any ring of this rollout now")
    # Whether it comes too late is for the rollout to say, whose clock counts; then it asks no more.
    since = told.asked.since if told.asked else datetime.min.replace(tzinfo=UTC)
    return refusal_of(approval, told.asked, told.rings, since)


def _told(custom_status: Any) -> _Told:
    try:
        return msgspec.convert(custom_status, _Told)
    except msgspec.ValidationError:
        # A rollout that has shown nothing yet asks nobody.
        return _Told()
