"""The HTTP API for operators: let a rollout skip one session host, or try again what waits or was set aside."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Meta, Struct

from adapters.errors import StepFailed
from adapters.pool_views import picture_of
from rollout.assignments import ImageRollBack, ImageRollout
from rollout.commands import LONGEST_NAME, Command, Refused, obey
from rollout.host_commands import NOTHING_TO_RETRY, SET_ASIDE_BEFORE, WHY_NOT_RETRIED, WHY_NOT_SKIPPED
from rollout.instance_ids import is_back_instance, pool_instance
from rollout.lease import MOST_QUEUED
from rollout.model import Phase, Stage
from rollout.policy import PoolPolicy
from rollout.pool_view import HostState, view_pool, yet_to_carry_out
from rollout.status import MOST_HOSTS_LISTED, PoolStatus
from rollout.subject import subject_of
from triggers.commands import CommandAnswer, addressed, pass_on, standing_command
from triggers.pools import GONE, lease_of, pool_status_of
from triggers.problems import answer, problem
from triggers.request_bodies import Reason, one_line
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_log = logging.getLogger("goldroll.triggers")

_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]

_HIDDEN = {Stage.STEERING, Stage.GIVING_BACK}
"""Stages that Azure does not show, and a status counts only: a step of any host may have failed in them."""

_ENDING = {
    "AbortedByOperator": Refused("AbortedAlready", "it has been aborted"),
    "RollBackRequested": Refused("RolledBackAlready", "it is to be rolled back"),
    "NewerVersion": Refused("SupersededAlready", "a newer version takes over"),
}
"""What a host pool's rollout that comes to its end gives as its reason, and why it takes no such command any more."""


class SkipRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Leave this session host of this host pool alone in this rollout."""

    reason: Reason
    pool: _Name
    host: _Name


class RetryRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Try again now: with `host` (then also `pool`) that session host, else all that waits for another attempt."""

    reason: Reason
    pool: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""
    host: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""


class _Rolled(NamedTuple):
    """A host pool of a rollout: what it is rolled to, and, in a roll back, instead of what."""

    policy: PoolPolicy
    target: str
    instead_of: str = ""


@bp.route(route="rollouts/{id}/skip", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def skip_host(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/skip `{"reason": "a disk is restored", "pool": "production", "host": "avd-007"}`.

    Also before the host pool's turn has come. See _tell.
    """
    told = await addressed(req, client, SkipRequest, '{"reason": "...", "pool": "production", "host": "avd-007"}')
    if isinstance(told, func.HttpResponse):
        return told
    given = told.given
    command = Command("skip", told.caller.name[:LONGEST_NAME], one_line(given.reason), host=given.host.lower())
    return await _tell(client, told.instance_id, told.status, command, given.pool)


@bp.route(route="rollouts/{id}/retry", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def retry_host(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """POST /api/rollouts/{id}/retry `{"reason": "the quota is raised", "pool": "production", "host": "avd-007"}`.

    Without `host` for all that waits in the host pool, without `pool` in each that has begun. See _tell.
    """
    told = await addressed(req, client, RetryRequest, '{"reason": "the quota is raised"}')
    if isinstance(told, func.HttpResponse):
        return told
    given = told.given
    if given.host and not given.pool:
        return problem(400, "BadRequest", "a host is named, and not the host pool that it is in", "pool")
    command = Command("retry", told.caller.name[:LONGEST_NAME], one_line(given.reason), host=given.host.lower())
    return await _tell(client, told.instance_id, told.status, command, given.pool)


async def _tell(
    client: df.DurableOrchestrationClient, instance_id: str, status: Any, command: Command, pool: str
) -> func.HttpResponse:
    """202 when the command has been passed on. It is carried out once, when the host pool's rollout looks next.

    403 for a caller who is no Operator; 404 for no such rollout, pool or host; 409 when it cannot be done, and why:
    for a host by what Azure shows of it now, at most so old as `GET /api/pools/{name}` shows it; 412 as for other
    commands; 502 when Azure cannot be read. What changes between the answer and that look is said in the story.
    """
    pools = [one for one in _rolled(instance_id, status.input_) if pool in ("", one.policy.name)]
    if not pools:
        return problem(404, "NoSuchPool", f"rollout {instance_id} has no host pool {pool!r}")
    refused = obey(standing_command(status.custom_status), command)
    if isinstance(refused, Refused):
        return problem(409, refused.code, f"rollout {instance_id}: {refused.why}")
    told, why_not = [], None
    for one in pools:
        why_not = await _why_not(client, instance_id, one, command)
        if why_not is None:
            await pass_on(client, one.policy.host_pool_id, pool_instance(instance_id, one.policy.name), command)
            told.append(one.policy.name)
    if why_not is not None and not told:
        return why_not if pool else problem(409, "NothingToRetry", f"no host pool of {instance_id} is at work")
    what = f"{command.kind} {command.host}".strip()
    about = subject_of(instance_id, pool=pool, host=command.host)
    _log.info("%s tells %s:%s to %s", command.by, instance_id, ",".join(told), what, extra=about.extra)
    return answer(CommandAnswer(instance_id, command.kind, tuple(told), command.by, command.host), 202)


async def _why_not(
    client: df.DurableOrchestrationClient, instance_id: str, pool: _Rolled, command: Command
) -> func.HttpResponse | None:
    """The answer that says why a host pool's rollout does not take the command now; None when it does."""
    name, rollout = pool.policy.name, pool_instance(instance_id, pool.policy.name)
    status = await client.get_status(rollout)
    shown = await pool_status_of(client, rollout) if status else None
    if status and has_ended(status):
        return problem(409, "HasEnded", f"the rollout of host pool {name} has ended")
    if shown is None and command.kind == "retry":
        return problem(409, "NothingToRetry", f"the rollout has not begun with host pool {name}")
    lease = await lease_of(client, pool.policy)
    if lease is None:
        return problem(409, "LeaseUnreadable", f"the lease of host pool {name} cannot be read")
    standing = obey(lease.commands.get(rollout), command)
    refused = standing if isinstance(standing, Refused) else None
    if shown is not None:
        halted = Refused("HaltedAlready", "it has halted") if shown.phase is Phase.HALTED else None
        refused = refused or halted or _ENDING.get(shown.reason)
    if refused is not None:
        return problem(409, refused.code, f"the rollout of host pool {name}: {refused.why}")
    waiting = yet_to_carry_out(lease.queued.get(rollout, ()), shown)
    last = next((one for one in reversed(waiting) if one.host == command.host), None)
    if command.host and last is not None and last.kind == command.kind:
        return problem(409, "ToldAlready", f"{command.host}: the rollout has been told so {last.spoken}")
    if len(waiting) >= MOST_QUEUED:
        return problem(409, "TooManyCommands", f"{MOST_QUEUED} commands wait for host pool {name}: wait for its look")
    return await _why_not_this_host(pool, rollout, shown, command) if command.host else None


async def _why_not_this_host(
    pool: _Rolled, rollout: str, shown: PoolStatus | None, command: Command
) -> func.HttpResponse | None:
    try:
        found = await asyncio.to_thread(_state_of, pool, rollout, shown, command.host)
    except StepFailed as failed:
        if failed.error.code in GONE:
            return problem(404, "HostPoolGone", f"host pool {pool.policy.name} is not in Azure: {failed.error.message}")
        return problem(502, "AzureUnreadable", str(failed))
    if found is None:
        return problem(404, "NoSuchHost", f"host pool {pool.policy.name} shows no session host {command.host!r}")
    refused = (WHY_NOT_SKIPPED if command.kind == "skip" else WHY_NOT_RETRIED).get(found)
    if shown is not None and refused is NOTHING_TO_RETRY and _HIDDEN & shown.in_hand.keys():
        refused = None
    quarantined = shown.quarantined if shown is not None else {}
    if found is HostState.QUARANTINED and command.host not in quarantined and len(quarantined) < MOST_HOSTS_LISTED:
        refused = SET_ASIDE_BEFORE
    return None if refused is None else problem(409, refused.code, f"{command.host}: {refused.why}")


def _state_of(pool: _Rolled, rollout: str, shown: PoolStatus | None, host: str) -> HostState | None:
    """The word for a host as Azure shows it now, None when it shows none of this name. Raises StepFailed."""
    snapshot = picture_of(pool.policy, rollout, datetime.now(UTC))
    not_begun = PoolStatus(pool.policy.name, "", Phase.SCHEDULED, instead_of=pool.instead_of)
    view = view_pool(snapshot, pool.policy, "", pool.target, rollout, shown or not_begun)
    return next((one.state for one in view.hosts if one.name == host), None)


def _rolled(instance_id: str, given: Any) -> tuple[_Rolled, ...]:
    """The host pools of a rollout or a roll back, by what it was started with; none when that cannot be read."""
    try:
        value = msgspec.json.decode(given) if isinstance(given, str) else given
        if is_back_instance(instance_id):
            back = msgspec.convert(value, ImageRollBack)
            return tuple(_Rolled(pool.policy, pool.version_id, back.version_id) for pool in back.pools)
        rollout = msgspec.convert(value, ImageRollout)
        return tuple(_Rolled(pool, rollout.version_id) for pool in rollout.pools)
    except msgspec.MsgspecError:
        return ()
