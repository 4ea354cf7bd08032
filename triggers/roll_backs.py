"""The HTTP API for operators: roll back what a rollout has done, whether it runs or has ended."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Struct

from adapters.notifications import sinks_in_use
from adapters.record_store import is_recorded
from rollout.assignments import ImageRollBack, ImageRollout, PoolBack
from rollout.commands import LONGEST_NAME, Command, Refused, obey
from rollout.instance_ids import (
    COMMAND_EVENT,
    ROLL_BACK_IMAGE,
    back_instance,
    is_back_instance,
    is_image_instance,
    pool_instance,
)
from rollout.model import Phase, short_version
from rollout.policy import PoolPolicy
from rollout.subject import subject_of
from triggers.access import admit
from triggers.commands import CommandRequest, pass_on, standing_command
from triggers.problems import answer, problem
from triggers.request_bodies import one_line, read_body
from triggers.rollout_views import is_rollout
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

T = TypeVar("T")

MOST_ATTEMPTS = 20

_NOTHING_DONE = {
    Phase.ROLLED_BACK: "it has been rolled back already",
    Phase.REFUSED: "the rollout has done nothing to it",
    Phase.BLOCKED: "the rollout has done nothing to it",
}


class RollBackAnswer(Struct, frozen=True):
    """The roll back (`id`) of `rollout`; `pools` maps each pool to the version it goes back to, `left_out` to why not.

    Where no pool has begun there is nothing to take back: the rollout ends, and `id` is its own.
    """

    id: str
    rollout: str
    by: str
    pools: dict[str, str] = {}
    left_out: dict[str, str] = {}


class _PoolTold(Struct, frozen=True):
    """What a host pool's rollout shows; see rollout.status.PoolStatus."""

    phase: str = ""
    previous: str = ""
    desired: int = 0


@bp.route(route="rollouts/{id}/rollback", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def roll_back(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/rollback `{"reason": "printing is broken", "pool": "production"}`.

    202 with the roll back: a rollout of its own, which puts every host pool (or `pool` alone) back on the version that
    most of its hosts ran before. A rollout that runs is told to let go first. 200 with the roll back that is under way
    already, so that asking twice is safe; `left_out` says of the other pools why. 403, 404, 409: problem+json says why.
    """
    caller = admit(req, "Operator")
    if isinstance(caller, func.HttpResponse):
        return caller
    given = read_body(req, CommandRequest, '{"reason": "printing is broken"}')
    if isinstance(given, func.HttpResponse):
        return given
    instance_id = req.route_params.get("id", "")
    status = await client.get_status(instance_id, show_input=True) if is_image_instance(instance_id) else None
    if not status or not is_rollout(status):
        return problem(404, "NoSuchRollout", f"there is no rollout {instance_id[:200]!r}")
    if is_back_instance(instance_id):
        why = "a roll back is taken back by starting the version again: POST /api/rollouts"
        return problem(409, "IsARollBack", why)
    rollout = _decoded(status.input_, ImageRollout)
    if rollout is None:
        return problem(409, "NothingToRollBack", f"what rollout {instance_id} was started with cannot be read")
    if given.pool and given.pool not in [pool.name for pool in rollout.pools]:
        return problem(404, "NoSuchPool", f"rollout {instance_id} has no host pool {given.pool!r}")
    wanted = [pool for pool in rollout.pools if given.pool in ("", pool.name)]
    told = await _told(client, status, wanted)
    pools, left_out = _to_roll_back(wanted, told)
    if not pools and has_ended(status):
        why = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        return problem(409, "NothingToRollBack", f"there is no host pool to roll back: {why}")
    command = Command("roll_back", caller.name[:LONGEST_NAME], one_line(given.reason))
    if not has_ended(status):
        await _let_go(client, instance_id, given, command, standing_command(status.custom_status), wanted)
    if not pools:
        return answer(RollBackAnswer(instance_id, instance_id, command.by, left_out=left_out), 202)
    back = ImageRollBack(
        rollout.version_id,
        instance_id,
        rollout.image,
        pools,
        command.by,
        command.reason,
        recorded=is_recorded(),
        notified=sinks_in_use(),
        tells=True,
    )
    started = await _start(client, instance_id, back)
    if isinstance(started, func.HttpResponse):
        return started
    id, is_new = started
    _log.info("%s rolls %s back as %s", caller.name, instance_id, id, extra=subject_of(id).extra)
    going = {pool.policy.name: short_version(pool.version_id) for pool in pools}
    return answer(RollBackAnswer(id, instance_id, command.by, going, left_out), 202 if is_new else 200)


async def _let_go(
    client: df.DurableOrchestrationClient,
    instance_id: str,
    given: CommandRequest,
    command: Command,
    standing: Command | None,
    pools: list[PoolPolicy],
) -> None:
    """Tell the rollout, and each of its pools, to end; told already, it is told nothing more."""
    if not given.pool and not isinstance(obey(standing, command), Refused):
        await client.raise_event(instance_id, COMMAND_EVENT, msgspec.to_builtins(command))
    for pool in pools:
        await pass_on(client, pool.host_pool_id, pool_instance(instance_id, pool.name), command)


async def _start(
    client: df.DurableOrchestrationClient, instance_id: str, back: ImageRollBack
) -> tuple[str, bool] | func.HttpResponse:
    """The instance of the roll back and whether it is new; the next attempt when the one before has ended."""
    names = {pool.policy.name for pool in back.pools}
    for attempt in range(1, MOST_ATTEMPTS + 1):
        id = back_instance(instance_id, attempt)
        status = await client.get_status(id, show_input=True)
        if not status:
            await client.start_new(ROLL_BACK_IMAGE, id, msgspec.to_builtins(back))
            return id, True
        if has_ended(status):
            continue
        running = _decoded(status.input_, ImageRollBack)
        if running is not None and names <= {pool.policy.name for pool in running.pools}:
            return id, False
        return problem(409, "RollBackUnderWay", f"{id} is under way for other host pools: wait for its end")
    return problem(409, "TooManyAttempts", f"rollout {instance_id} has been rolled back {MOST_ATTEMPTS} times")


def _to_roll_back(pools: list[PoolPolicy], told: dict[str, _PoolTold]) -> tuple[tuple[PoolBack, ...], dict[str, str]]:
    """The pools of which it is known what to go back to, and of the others why not."""
    found, left_out = [], {}
    for pool in pools:
        shown = told.get(pool.name)
        if shown is None:
            left_out[pool.name] = "the rollout has not begun with it"
        elif shown.phase in _NOTHING_DONE:
            left_out[pool.name] = _NOTHING_DONE[Phase(shown.phase)]
        elif not shown.previous:
            left_out[pool.name] = "the version that its hosts ran before is not known: all were on the new one"
        else:
            ended_well = shown.phase in (Phase.SUCCEEDED, Phase.SUCCEEDED_WITH_SKIPS, Phase.SUPERSEDED)
            found.append(PoolBack(pool, shown.previous, 0 if ended_well else shown.desired))
    return tuple(found), left_out


async def _told(client: df.DurableOrchestrationClient, status: Any, pools: list[PoolPolicy]) -> dict[str, _PoolTold]:
    """What the rollout's pools show, by name: from its result, or each from its own orchestration."""
    output = status.output if isinstance(status.output, dict) else {}
    results = {one.get("pool"): one for one in output.get("pools", ()) if isinstance(one, dict)}
    found = {}
    for pool in pools:
        shown = results.get(pool.name)
        if shown is None and (own := await client.get_status(pool_instance(status.instance_id, pool.name))):
            shown = own.output if isinstance(own.output, dict) else own.custom_status
        if shown is not None:
            try:
                found[pool.name] = msgspec.convert(shown, _PoolTold)
            except msgspec.ValidationError:
                continue
    return found


def _decoded(given: Any, kind: type[T]) -> T | None:
    """The input of an orchestration, as the object or its JSON as text; None when it is something else."""
    try:
        value = msgspec.json.decode(given) if isinstance(given, str) else given
        return msgspec.convert(value, kind)
    except msgspec.MsgspecError:
        return None
