"""The HTTP API for operators: pause a rollout or one of its host pools, let it go on, abort it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct

from adapters.caller import Caller
from rollout.commands import LONGEST_NAME, Command, CommandKind, Refused, obey
from rollout.instance_ids import COMMAND_EVENT, host_pool_key, is_back_instance, is_image_instance, pool_instance
from rollout.subject import subject_of
from triggers.access import admit
from triggers.problems import answer, problem
from triggers.request_bodies import Reason, header_of, one_line, read_body
from triggers.rollout_views import is_rollout, may_follow, revision_of
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

Body = TypeVar("Body")


class CommandRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command. With `pool` it is for that host pool alone."""

    reason: Reason
    pool: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""


class CommandAnswer(Struct, frozen=True, omit_defaults=True):
    """A command that has been passed on: to which host pools (or to which one's `host`), and in whose name."""

    id: str
    command: CommandKind
    pools: tuple[str, ...]
    by: str
    host: str = ""


class Addressed(Struct, Generic[Body], frozen=True):
    """A request that tells a rollout something: who sends it, its body, and the rollout, which has not ended."""

    caller: Caller
    given: Body
    instance_id: str
    status: Any


class _Pool(Struct, frozen=True):
    name: str
    host_pool_id: str


class _PoolBack(Struct, frozen=True):
    policy: _Pool


class _Given(Struct, frozen=True):
    """What a rollout was started with; see rollout.assignments.ImageRollout, of which nothing else is read."""

    pools: tuple[_Pool, ...] = ()


class _GivenBack(Struct, frozen=True):
    """The same of a roll back; see rollout.assignments.ImageRollBack."""

    pools: tuple[_PoolBack, ...] = ()


class _Told(Struct, frozen=True):
    """What a rollout shows of the command that stands; see rollout.status.ImageStatus."""

    command: Command | None = None


@bp.route(route="rollouts/{id}/pause", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def pause_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/pause `{"reason": "printing is slow", "pool": "production"}`; see _command."""
    return await _command(req, client, "pause")


@bp.route(route="rollouts/{id}/resume", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def resume_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/resume `{"reason": "printing is well", "pool": "production"}`; see _command."""
    return await _command(req, client, "resume")


@bp.route(route="rollouts/{id}/abort", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def abort_rollout(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/abort `{"reason": "a wrong build", "pool": "production"}`; see _command."""
    return await _command(req, client, "abort")


async def _command(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, kind: CommandKind
) -> func.HttpResponse:
    """202 when the command has been passed on. It takes effect before the rollout begins anything more.

    Without `pool` it is for the whole rollout and all its host pools. Sent twice, it changes nothing more: the second
    one gets 409 as soon as the rollout shows the first. 403 for a caller who is no Operator, 404 for no such
    rollout or pool, 409 when the rollout has ended or the command changes nothing, 412 when the request's If-Match
    names another revision of the rollout than the one it shows now: problem+json says which.
    """
    told = await addressed(req, client, CommandRequest, '{"reason": "printing is slow"}')
    if isinstance(told, func.HttpResponse):
        return told
    caller, given, instance_id, status = told.caller, told.given, told.instance_id, told.status
    pools = [pool for pool in _pools(instance_id, status.input_) if given.pool in ("", pool.name)]
    if not pools:
        return problem(404, "NoSuchPool", f"rollout {instance_id} has no host pool {given.pool!r}")
    command = Command(kind, caller.name[:LONGEST_NAME], one_line(given.reason))
    if not given.pool:
        refused = obey(standing_command(status.custom_status), command)
        if isinstance(refused, Refused):
            return problem(409, refused.code, f"rollout {instance_id}: {refused.why}")
        await client.raise_event(instance_id, COMMAND_EVENT, msgspec.to_builtins(command))
    for pool in pools:
        await pass_on(client, pool.host_pool_id, pool_instance(instance_id, pool.name), command)
    about = subject_of(instance_id, pool=given.pool)
    whom = f"{instance_id}:{given.pool}" if given.pool else instance_id
    _log.info("%s tells %s to %s", caller.name, whom, kind, extra=about.extra)
    told_pools = tuple(pool.name for pool in pools)
    return answer(CommandAnswer(instance_id, kind, told_pools, caller.name), 202)


async def addressed(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, model: type[Body], example: str
) -> Addressed[Body] | func.HttpResponse:
    """What a request tells which rollout; or the answer that says why it may not, or what is wrong with it."""
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    given = read_body(req, model, example)
    if isinstance(given, func.HttpResponse):
        return given
    instance_id = req.route_params.get("id", "")
    status = await client.get_status(instance_id, show_input=True) if is_image_instance(instance_id) else None
    if not status or not is_rollout(status):
        return problem(404, "NoSuchRollout", f"there is no rollout {instance_id[:200]!r}")
    if has_ended(status):
        return problem(409, "HasEnded", f"rollout {instance_id} has ended")
    revision = revision_of(status)
    if not may_follow(header_of(req, "If-Match"), revision):
        return problem(412, "MovedOn", f"rollout {instance_id} has moved on: it shows revision {revision} now")
    return Addressed(caller, given, instance_id, status)


async def pass_on(client: df.DurableOrchestrationClient, pool_id: str, rollout: str, command: Command) -> None:
    """Let a command wait in the host pool's lease for this rollout of the pool; it asks before every turn."""
    told = {
        "rollout": rollout,
        "now": datetime.now(UTC).isoformat(),
        "command": msgspec.to_builtins(command),
    }
    await client.signal_entity(df.EntityId("host_pool", host_pool_key(pool_id)), "command", told)


def _pools(instance_id: str, given: Any) -> tuple[_Pool, ...]:
    try:
        value = msgspec.json.decode(given) if isinstance(given, str) else given
        if is_back_instance(instance_id):
            return tuple(pool.policy for pool in msgspec.convert(value, _GivenBack).pools)
        return msgspec.convert(value, _Given).pools
    except msgspec.MsgspecError:
        return ()


def standing_command(custom_status: Any) -> Command | None:
    """The command that stands, as far as a rollout shows it."""
    try:
        return msgspec.convert(custom_status, _Told).command
    except msgspec.ValidationError:
        return None
