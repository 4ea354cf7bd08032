"""The HTTP API for host pools: which there are and what was rolled out last, and a live look at one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import Struct, structs

from adapters.errors import StepFailed
from adapters.policy_source import PolicyUnusable, current_policy
from adapters.pool_views import kept_for, picture_of
from rollout.instance_ids import host_pool_key
from rollout.lease import Lease
from rollout.model import Phase, PoolCounts, short_version
from rollout.policy import Policy, PoolPolicy
from rollout.pool_view import PoolView, view_pool
from rollout.status import PoolStatus
from triggers.access import admit
from triggers.conditional import answer_unless_known
from triggers.problems import problem
from triggers.rollout_views import summary_of
from triggers.starting import has_ended

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

GONE = ("ResourceNotFound", "ResourceGroupNotFound", "404")


class PoolSummary(Struct, frozen=True, omit_defaults=True):
    """A host pool of the policy, and the rollout that was given it last.

    `rollout` is the id of that rollout as a whole; `holder` and `waiting` are rollouts of this pool, in their order.
    `trouble` says why nothing is known of them.
    """

    pool: str
    image: str
    ring: str = ""
    rollout: str = ""
    version: str = ""
    phase: Phase | None = None
    message: str = ""
    since: datetime | None = None
    next: datetime | None = None
    counts: PoolCounts = PoolCounts()
    holder: str = ""
    waiting: tuple[str, ...] = ()
    trouble: str = ""


class PoolList(Struct, frozen=True):
    """The policy's host pools, in the order of the file."""

    pools: tuple[PoolSummary, ...]


@bp.route(route="pools", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def list_pools(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/pools: the policy's host pools in the order of the file, each with its last rollout and its lease.

    Nothing is asked of Azure. With If-None-Match 304 when nothing has changed. 503 when the policy cannot be used.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    pools = await asyncio.gather(*(_summary(client, policy, pool) for pool in policy.host_pools))
    return answer_unless_known(req.headers, PoolList(tuple(pools)))


@bp.route(route="pools/{name}", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_pool(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/pools/{name}: every session host with its state, session slots and people; see PoolView.

    Azure is read once in GOLDROLL_VIEW_SECONDS, whoever asks how often; the header Age says how long ago it was.
    404 when the policy has no such pool or it no longer exists, 502 when it cannot be read, 503 when the policy cannot
    be used.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    name = req.route_params.get("name", "")
    pool = next((pool for pool in policy.host_pools if pool.name == name), None)
    if pool is None:
        known = ", ".join(pool.name for pool in policy.host_pools)
        return problem(404, "UnknownPool", f"the policy has no host pool {name[:100]!r}; it has {known}")
    lease = await lease_of(client, pool)
    status = await pool_status_of(client, lease.last) if lease is not None and lease.last else None
    try:
        view, age = await asyncio.to_thread(_look, pool, _ring_of(policy, pool), lease or Lease(), status)
    except StepFailed as failed:
        if failed.error.code in GONE:
            return problem(404, "HostPoolGone", f"host pool {name} is not in Azure: {failed.error.message}")
        return problem(502, "AzureUnreadable", str(failed))
    response = answer_unless_known(req.headers, view)
    response.headers["Age"] = str(age)
    return response


def _look(pool: PoolPolicy, ring: str, lease: Lease, status: PoolStatus | None) -> tuple[PoolView, int]:
    now = datetime.now(UTC)
    snapshot = picture_of(pool, lease.last, now)
    queued = lease.queued.get(lease.last, ())
    view = view_pool(snapshot, pool, ring, lease.last_target, _whole(lease.last), status, queued)
    age = max(0, int((now - snapshot.observed_at).total_seconds()))
    return structs.replace(view, kept_seconds=kept_for().total_seconds()), age


async def _summary(client: df.DurableOrchestrationClient, policy: Policy, pool: PoolPolicy) -> PoolSummary:
    known = PoolSummary(pool.name, pool.image, _ring_of(policy, pool))
    lease = await lease_of(client, pool)
    if lease is None:
        return structs.replace(known, trouble="the host pool's lease cannot be read")
    known = structs.replace(known, holder=lease.holder, waiting=tuple(waiter.rollout for waiter in lease.waiting))
    if not lease.last:
        return known
    known = structs.replace(known, rollout=_whole(lease.last), version=short_version(lease.last_target))
    status = await pool_status_of(client, lease.last)
    if status is None:
        return structs.replace(known, trouble="nothing is known of the rollout any more")
    return structs.replace(
        known,
        phase=status.phase,
        message=status.message,
        since=status.since,
        next=status.next,
        counts=status.counts,
    )


async def lease_of(client: df.DurableOrchestrationClient, pool: PoolPolicy) -> Lease | None:
    """The pool's lease, None when what is stored is none. One that has never been asked for is free."""
    found = await client.read_entity_state(df.EntityId("host_pool", host_pool_key(pool.host_pool_id)))
    if not found.entity_exists or found.entity_state is None:
        return Lease()
    state: Any = found.entity_state
    try:
        return msgspec.convert(msgspec.json.decode(state) if isinstance(state, str) else state, Lease)
    except (msgspec.MsgspecError, ValueError):
        return None


async def pool_status_of(client: df.DurableOrchestrationClient, instance_id: str) -> PoolStatus | None:
    """What a pool's rollout shows of itself, or that it has died; None when nobody remembers it."""
    status = await client.get_status(instance_id)
    if not status:
        return None
    ended = has_ended(status)
    try:
        told = msgspec.convert(status.output if ended else status.custom_status, PoolStatus)
    except msgspec.ValidationError:
        told = PoolStatus(instance_id.rpartition(":")[2], "", Phase.SCHEDULED, message="it has just been started")
        if ended:
            told = structs.replace(told, phase=Phase.FAILED, message=summary_of(status)["message"])
    return told


def _whole(pool_rollout: str) -> str:
    return pool_rollout.rpartition(":")[0]


def _ring_of(policy: Policy, pool: PoolPolicy) -> str:
    rings = (ring for image in policy.images if image.name == pool.image for ring in image.rings)
    return next((ring.name for ring in rings if pool.name in ring.host_pools), "")
