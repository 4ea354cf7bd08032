"""Azure Resource Manager in front of the estate: takes requests apart, finds the route, speaks ARM's error bodies."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator import (
    desktop_routes,
    gallery_routes,
    log_analytics,
    machine_routes,
    marketplace_routes,
    run_command_routes,
    scale_set_routes,
    session_routes,
    surrounding_routes,
    usage_routes,
)
from simulator.access import Access, permission_routes
from simulator.errors import AzureError
from simulator.estate import Estate
from simulator.faults import compute_policy
from simulator.throttling import TokenBuckets
from simulator.wire import API_VERSION, Answer, Json, Request, Route
from simulator.world import guid

_MAX_BODY = 4 * 1024 * 1024


class Arm:
    """The wire format of every operation a rollout needs (facts 2.1, 3.1, 4), and of Log Analytics' query API.

    `calls` counts requests by operation, `statuses` answers by HTTP status. `actor` is who the journal says has asked.
    With `access` calls are refused that its roles do not allow; without it everybody may do everything.
    `throttled` switches ARM's and Compute's token buckets on. `retry_after` is what answers about long-running
    operations recommend, in seconds. `listeners` hear of every answer: (operation, request, answer).
    """

    def __init__(
        self,
        estate: Estate,
        *,
        actor: str = "rollout",
        page_size: int = 200,
        throttled: bool = False,
        retry_after: int = 10,
        access: Access | None = None,
    ) -> None:
        self.estate = estate
        self.access = access
        self.actor = actor
        self.page_size = page_size
        self.retry_after = retry_after
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.listeners: list[Callable[[str, Request, Answer], None]] = []
        self.buckets = TokenBuckets(estate.now) if throttled else None
        self._rng = estate.world.stream("arm")
        images = (gallery_routes, marketplace_routes)
        compute = (machine_routes, scale_set_routes, run_command_routes, usage_routes)
        modules = (*images, *compute, desktop_routes, session_routes, surrounding_routes)
        routes = chain.from_iterable(module.routes(estate) for module in modules)
        others = chain(log_analytics.routes(estate.workspaces), permission_routes(lambda: self.access))
        self._routes = _Table(chain(routes, others))

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None) -> Answer:
        """Answer one request. Raises ConnectionLost when a fault breaks the connection, and nothing else."""
        request = self._request(method.upper(), url, headers)
        route, names = self._routes.find(request.method, request.path)
        name = route.name if route else "unknown"
        self.calls[name] += 1
        try:
            answer = self._answer(replace(request, names=names), route, body)
        except AzureError as error:
            answer = error_answer(error)
        answer = self._with_headers(request, route, answer)
        self.statuses[answer.status] += 1
        for listener in self.listeners:
            listener(name, request, answer)
        return answer

    def _answer(self, request: Request, route: Route | None, body: bytes | str | None) -> Answer:
        if route is None or route.of_manager:
            _check_api_version(request)
        if route is None:
            raise self._no_route(request)
        verb = "LIST" if route.lists else request.method
        if self.buckets is not None and route.of_manager:
            self.buckets.take(request.method, request.path, _policy(request, route))
        request = replace(request, body=_parse(body))
        if self.access is not None:
            self.access.check(request.method, request.path, request.body)
        # A further page is not the same list as the first one when an older state of it is returned.
        path = f"{request.path}?{request.query['$skiptoken']}" if "$skiptoken" in request.query else request.path

        def act() -> Answer:
            with self.estate.acting_as(self.actor):
                return route.handler(request)

        return self.estate.faults.call(verb, path, act)

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> Request:
        parts = urlsplit(url)
        query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
        lowered = {name.lower(): value for name, value in headers.items()}
        path = unquote(parts.path).rstrip("/")
        return Request(method, path, query, lowered, {}, f"{parts.scheme}://{parts.netloc}", self.page_size)

    def _no_route(self, request: Request) -> AzureError:
        if self._routes.knows(request.path):
            return AzureError(
                405, "HttpMethodNotAllowed", f"The requested resource does not support http method '{request.method}'."
            )
        return AzureError(
            404,
            "InvalidResourceType",
            f"The resource type could not be found for api version '{request.api_version}': {request.path}",
        )

    def _with_headers(self, request: Request, route: Route | None, answer: Answer) -> Answer:
        headers = {
            "x-ms-request-id": guid(self._rng),
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", guid(self._rng)),
            **answer.headers,
        }
        if answer.status < 400 and "Retry-After" in answer.headers:
            headers["Retry-After"] = str(self.retry_after)
        if self.buckets is not None and route is not None and route.of_manager:
            left = self.buckets.remaining(request.method, request.path, _policy(request, route))
            headers.update({name: value for name, value in left.items() if name not in headers})
        return replace(answer, headers=headers)


def _policy(request: Request, route: Route) -> str:
    return compute_policy("LIST" if route.lists else request.method, request.path)


def error_answer(error: AzureError) -> Answer:
    """The ARM error body of a refusal."""
    body: Json = {"code": error.code, "message": error.message}
    if error.target:
        body["target"] = error.target
    if error.details:
        body["details"] = error.details
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Answer(error.status, {"error": body} if error.wrapped else body, headers)


@dataclass(frozen=True, slots=True)
class _Pattern:
    route: Route
    expression: re.Pattern[str]


class _Table:
    """Finds the route for a path; the shape (number of segments) narrows the search down to a handful."""

    def __init__(self, routes: Iterator[Route]) -> None:
        self._by_shape: dict[int, list[_Pattern]] = {}
        for route in routes:
            expression = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path) + "$", re.IGNORECASE)
            self._by_shape.setdefault(route.path.count("/"), []).append(_Pattern(route, expression))

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        for pattern in self._by_shape.get(path.count("/"), ()):
            if pattern.route.method == method:
                match = pattern.expression.match(path)
                if match:
                    return pattern.route, match.groupdict()
        return None, {}

    def knows(self, path: str) -> bool:
        return any(pattern.expression.match(path) for pattern in self._by_shape.get(path.count("/"), ()))


def _check_api_version(request: Request) -> None:
    version = request.query.get("api-version")
    if version is None:
        raise AzureError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not API_VERSION.match(version):
        raise AzureError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are of the form yyyy-MM-dd[-preview].",
        )


def _parse(body: bytes | str | None) -> Json:
    if not body:
        return {}
    if len(body) > _MAX_BODY:
        raise AzureError(413, "RequestContentTooLarge", "The request content is larger than 4 MB.")
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AzureError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return parsed
