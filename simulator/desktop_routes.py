"""ARM routes of host pools, their registration tokens and scaling plans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from simulator import ids
from simulator.desktop_bodies import plan_body, pool_body
from simulator.errors import AzureError, not_found
from simulator.estate import Estate
from simulator.host_pools import POOL, HostPool, LoadBalancing, PoolType
from simulator.wire import Answer, Json, Request, Route, desktop_time, invalid, paged, parse_time

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}/providers/Microsoft.DesktopVirtualization"
_EVERYWHERE = _SUBSCRIPTION + "/providers/Microsoft.DesktopVirtualization"
_POOL = _GROUP + "/hostPools/{pool}"
_PLAN = _GROUP + "/scalingPlans/{plan}"
_TEXTS = {
    "friendlyName": "friendly_name",
    "description": "description",
    "customRdpProperty": "custom_rdp_property",
    "vmTemplate": "vm_template",
}

Choice = TypeVar("Choice", PoolType, LoadBalancing)


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _POOL, "hostPools.get", these.get)
    yield Route("PUT", _POOL, "hostPools.put", these.put)
    yield Route("PATCH", _POOL, "hostPools.patch", these.patch)
    yield Route("DELETE", _POOL, "hostPools.delete", these.delete)
    yield Route("POST", _POOL + "/retrieveRegistrationToken", "hostPools.retrieveRegistrationToken", these.token)
    yield Route("POST", _POOL + "/listRegistrationTokens", "hostPools.listRegistrationTokens", these.tokens)
    yield Route("GET", _POOL + "/scalingPlans", "scalingPlans.listByHostPool", these.plans_of_pool, lists=True)
    yield Route("GET", _GROUP + "/hostPools", "hostPools.listByResourceGroup", these.list_in_group, lists=True)
    yield Route("GET", _EVERYWHERE + "/hostPools", "hostPools.list", these.list_in_subscription, lists=True)
    yield Route("GET", _PLAN, "scalingPlans.get", these.plan)
    yield Route("GET", _GROUP + "/scalingPlans", "scalingPlans.listByResourceGroup", these.plans_in_group, lists=True)
    yield Route("GET", _EVERYWHERE + "/scalingPlans", "scalingPlans.list", these.plans_in_subscription, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._pools = estate.pools

    def get(self, request: Request) -> Answer:
        return Answer(200, pool_body(self._pools.get(pool_id(request)), request.api_version))

    def put(self, request: Request) -> Answer:
        location = request.body.get("location")
        if not isinstance(location, str):
            raise invalid("The location property is required for this definition.", "location")
        properties = request.properties()
        wanted = pool_id(request)
        existed = any(pool.id.lower() == wanted.lower() for pool in self._pools.all())
        if not existed:
            self._pools.create(
                wanted,
                location,
                pool_type=_one_of(PoolType, properties.get("hostPoolType"), "hostPoolType"),
                load_balancing=_one_of(LoadBalancing, properties.get("loadBalancerType"), "loadBalancerType"),
                tags=request.body.get("tags"),
            )
        pool = self._apply(request, properties)
        return Answer(200 if existed else 201, pool_body(pool, request.api_version))

    def patch(self, request: Request) -> Answer:
        pool = self._apply(request, request.properties())
        if isinstance(request.body.get("tags"), dict):
            pool.tags = {str(name): str(value) for name, value in request.body["tags"].items()}
        return Answer(200, pool_body(pool, request.api_version))

    def delete(self, request: Request) -> Answer:
        return Answer(200 if self._pools.delete(pool_id(request), force=request.flag("force")) else 204)

    def token(self, request: Request) -> Answer:
        return Answer(200, _registration(self._pools.get(pool_id(request))))

    def tokens(self, request: Request) -> Answer:
        pool = self._pools.get(pool_id(request))
        listed = {"expirationTime": desktop_time(pool.token_expires_at), "token": pool.token}
        return Answer(200, {"value": [listed] if pool.token else []})

    def list_in_group(self, request: Request) -> Answer:
        found = [pool for pool in self._in_subscription(request) if pool.group.lower() == request.group.lower()]
        return self._listed(request, found)

    def list_in_subscription(self, request: Request) -> Answer:
        return self._listed(request, self._in_subscription(request))

    def plan(self, request: Request) -> Answer:
        wanted = f"{request.subscription}/{request.group}/{request.names['plan']}".lower()
        for plan in self._pools.scaling_plans():
            if f"{plan.subscription}/{plan.group}/{plan.name}".lower() == wanted:
                return Answer(200, plan_body(plan))
        raise not_found("Microsoft.DesktopVirtualization/scalingPlans", request.names["plan"], request.group)

    def plans_of_pool(self, request: Request) -> Answer:
        self._pools.get(pool_id(request))
        return paged(request, self._pools.scaling_plans(pool_id(request)), plan_body)

    def plans_in_group(self, request: Request) -> Answer:
        wanted = (request.subscription.lower(), request.group.lower())
        plans = self._pools.scaling_plans()
        found = [plan for plan in plans if (plan.subscription.lower(), plan.group.lower()) == wanted]
        return paged(request, found, plan_body)

    def plans_in_subscription(self, request: Request) -> Answer:
        plans = self._pools.scaling_plans()
        found = [plan for plan in plans if plan.subscription.lower() == request.subscription.lower()]
        return paged(request, found, plan_body)

    def _in_subscription(self, request: Request) -> list[HostPool]:
        return [pool for pool in self._pools.all() if pool.subscription.lower() == request.subscription.lower()]

    def _listed(self, request: Request, pools: list[HostPool]) -> Answer:
        return paged(request, pools, lambda pool: pool_body(pool, request.api_version), requested_page(request))

    def _apply(self, request: Request, properties: Json) -> HostPool:
        pool = self._pools.get(pool_id(request))
        self._renew_token(pool, properties.get("registrationInfo") or {})
        limit = properties.get("maxSessionLimit")
        if limit is not None:
            if not isinstance(limit, int) or isinstance(limit, bool):
                raise invalid("MaxSessionLimit must be a number.", "maxSessionLimit")
            self._pools.set_limit(pool.id, limit)
        if properties.get("loadBalancerType") is not None:
            pool.load_balancing = _one_of(LoadBalancing, properties["loadBalancerType"], "loadBalancerType")
        for name, attribute in _TEXTS.items():
            if properties.get(name) is not None:
                setattr(pool, attribute, str(properties[name]))
        if properties.get("startVMOnConnect") is not None:
            pool.start_vm_on_connect = properties["startVMOnConnect"] is True
        return pool

    def _renew_token(self, pool: HostPool, wanted: Json) -> None:
        operation = wanted.get("registrationTokenOperation", "None")
        if operation == "Update":
            self._pools.issue_token(pool.id, parse_time(wanted.get("expirationTime"), "expirationTime"))
        elif operation == "Delete":
            self._pools.delete_token(pool.id)
        elif operation != "None":
            raise AzureError(400, "400", f"RegistrationTokenOperation '{operation}' is not known.")


def pool_id(request: Request) -> str:
    """The id of the pool in the path."""
    return ids.pool_id(request.subscription, request.group, request.names["pool"])


def requested_page(request: Request) -> int | None:
    """The page size asked for with `pageSize`, if any."""
    wanted = request.query.get("pagesize")
    if wanted is None:
        return None
    if not wanted.isdigit() or int(wanted) < 1:
        raise invalid("The page size must be a positive number.", "pageSize")
    return int(wanted)


def _registration(pool: HostPool) -> Json:
    if not pool.token:
        raise not_found(POOL, f"{pool.name}/registrationToken", pool.group)
    return {
        "expirationTime": desktop_time(pool.token_expires_at),
        "token": pool.token,
        "registrationTokenOperation": "None",
    }


def _one_of(choices: type[Choice], value: object, target: str) -> Choice:
    try:
        return choices(str(value))
    except ValueError:
        raise invalid(f"The value '{value}' of '{target}' is not valid.", target) from None
