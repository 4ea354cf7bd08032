"""The OpenAPI description of the HTTP API, made from the table of routes and the models that the functions use."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from triggers.access import admit
from triggers.problems import Problem, answer
from triggers.routes import ROUTES, Route

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

_DETAIL = {
    400: "the request is not as it should be: `field` names what is wrong",
    403: "the caller may not do that",
    404: "there is no such thing, or nothing to show",
    409: "it cannot be done as things stand",
    412: "the rollout has moved on",
    413: "the body is too long",
    415: "the body is not JSON",
    502: "Azure cannot be read",
    503: "the policy cannot be used",
}


@bp.route(route="openapi.json", methods=["GET"])
def describe_api(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/openapi.json: this API as OpenAPI 3.1."""
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    return answer(description(), 200)


def description() -> dict[str, Any]:
    """The OpenAPI document, as JSON objects. Addresses are below `/api`."""
    bodies = [model for route in ROUTES for model in (*route.answers.values(), route.body) if model is not None]
    schemas, components = msgspec.json.schema_components([Problem, *bodies], ref_template="#/components/schemas/{name}")
    schema_of = {id(model): schema for model, schema in zip([Problem, *bodies], schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Goldroll",
            "version": "1",
            "description": "Rolls golden images out to host pools. docs/api.md says how to call it.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"key": []}, {"entra": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "entra": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": _json(schema_of[id(model)])}
        for status, model in route.answers.items()
    }
    problems = {*route.problems, 403, *((400, 413, 415) if route.body is not None else ())}
    for status in sorted(problems):
        content = {"application/problem+json": {"schema": schema_of[id(Problem)]}}
        answers[str(status)] = {"description": _DETAIL[status], "content": content}
    operation: dict[str, Any] = {
        "operationId": route.function,
        "summary": route.about,
        "description": f"Needs the app role {route.role}." if route.role else "",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for name in re.findall(r"\{(\w+)\}", route.path)
            ),
            *(
                {"name": one.name, "in": one.place, "description": one.about, "schema": one.schema}
                for one in route.parameters
            ),
        ],
        "responses": answers,
    }
    if route.body is not None:
        operation["requestBody"] = {"required": route.body_required, "content": _json(schema_of[id(route.body)])}
    return operation


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
