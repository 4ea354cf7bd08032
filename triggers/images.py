"""The HTTP API for images: when the next rollouts are, and in which regions the versions are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import azure.durable_functions as df
import azure.functions as func
from msgspec import Struct

from adapters.errors import StepFailed
from adapters.image_sources import list_versions
from adapters.policy_source import PolicyUnusable, current_policy
from adapters.pool_reader import count_by_region
from rollout.model import normalise_region
from rollout.policy import ImagePolicy, Policy
from rollout.region_matrix import VersionRegions, compare, required_regions
from rollout.schedules import next_occurrences, spoken
from rollout.windows import read_zone
from triggers.access import admit
from triggers.problems import answer, problem
from triggers.request_bodies import moment_in
from triggers.scheduled_rollouts import remembered

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)


class Run(Struct, frozen=True):
    """A run of a schedule, on the wall of its zone and in UTC."""

    local: datetime
    utc: datetime


class LastRun(Struct, frozen=True):
    """The last occurrence that has been settled, and what came of it."""

    utc: datetime
    outcome: str


class ScheduleView(Struct, frozen=True):
    """An image's schedule: in words, its next runs, and the last one."""

    image: str
    schedule: str
    next: tuple[Run, ...]
    last: LastRun | None


class RegionsView(Struct, frozen=True):
    """Where an image's versions have to be and may be (anywhere if `approved` is empty), and each one's regions."""

    image: str
    required: dict[str, tuple[str, ...]]
    approved: tuple[str, ...]
    versions: tuple[VersionRegions, ...]


@bp.route(route="images/{name}/schedule", methods=["GET"])
@bp.durable_client_input(client_name="client")
async def show_schedule(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """GET /api/images/{name}/schedule[?from=2026-11-23T08:00:00Z]: the next five runs, and what came of the last one.

    Each run in the schedule's zone and in UTC. `from` is the moment after which they are, now by default.
    404 when the policy has no such image or the image has no schedule.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    asked = req.params.get("from", "")
    after = moment_in(asked) if asked else datetime.now(UTC)
    if after is None:
        return problem(400, "BadRequest", "from must be a time such as 2026-11-23T08:00:00Z", "from")
    found = await asyncio.to_thread(find_image, req.route_params.get("name", ""))
    if isinstance(found, func.HttpResponse):
        return found
    image, schedule = found[1], found[1].schedule
    if schedule is None:
        why = f"image {image.name} has no schedule: a version is rolled out as soon as it is published"
        return problem(404, "NoSchedule", why)
    memory, zone = await remembered(client, image.name), read_zone(schedule.zone)
    runs = tuple(Run(moment.astimezone(zone), moment) for moment in next_occurrences(schedule, after))
    last = LastRun(memory.last, memory.outcome) if memory.last else None
    return answer(ScheduleView(image.name, spoken(schedule), runs, last), 200)


@bp.route(route="images/{name}/regions", methods=["GET"])
def show_regions(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/images/{name}/regions: each version's regions against those in which it has to be and may be.

    Required are the regions of the host pools that use the image, as Azure shows them now, and those of the policy.
    404 when the policy has no such image, 502 when Azure cannot be read.
    """
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    found = find_image(req.route_params.get("name", ""))
    if isinstance(found, func.HttpResponse):
        return found
    policy, image = found
    if image.marketplace is not None:
        return problem(404, "NoRegions", f"image {image.name} is of the marketplace, which is in every region")
    try:
        pools = {
            pool.name: tuple(count_by_region(pool.host_pool_id))
            for pool in policy.host_pools
            if pool.image == image.name
        }
        versions = list_versions(image, ())
    except StepFailed as failed:
        return problem(502, "AzureUnreadable", str(failed))
    required, approved = required_regions(pools, image.replication), image.replication.approved_regions
    approved_regions = tuple(normalise_region(region) for region in approved)
    return answer(RegionsView(image.name, required, approved_regions, compare(versions, required, approved)), 200)


def find_image(name: str) -> tuple[Policy, ImagePolicy] | func.HttpResponse:
    """The image of this name with the policy that it is part of, or the answer that says why there is none."""
    try:
        policy = current_policy()
    except PolicyUnusable as error:
        return problem(503, "PolicyUnusable", f"the policy cannot be used: {error}")
    for image in policy.images:
        if image.name == name:
            return policy, image
    known = ", ".join(sorted(image.name for image in policy.images))
    return problem(404, "UnknownImage", f"the policy has no image {name[:100]!r}; it has {known}")
