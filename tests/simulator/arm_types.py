"""Checks a body against Microsoft's published types: unknown, missing and read-only properties, kinds, known values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "api_types"
COMPUTE = "compute-2026-04-01"
SCALE_SETS = "compute-scale-sets-2026-04-01"
DISKS = "compute-disks-2026-03-02"
GALLERIES = "compute-galleries-2025-12-03"
DESKTOP = "desktopvirtualization-2024-04-03"
DESKTOP_PREVIEW = "desktopvirtualization-2026-04-01-preview"

_REQUIRED, _READ_ONLY = 1, 2
_PLAIN: dict[str, type[Any]] = {"StringType": str, "IntegerType": int, "BooleanType": bool}


def response_problems(file: str, resource: str, body: object) -> list[str]:
    """What is wrong with a body that Azure would answer with; empty when nothing is."""
    return [*_problems(_Graph.load(file), _Graph.load(file).root(resource), body, "", _Mode.RESPONSE)]


def request_problems(file: str, resource: str, body: object) -> list[str]:
    """What is wrong with a body to PUT. What stands in the URL need not be in it."""
    return [*_problems(_Graph.load(file), _Graph.load(file).root(resource), body, "", _Mode.PUT)]


def patch_problems(file: str, resource: str, body: object) -> list[str]:
    """What is wrong with a body to PATCH, where nothing is required."""
    return [*_problems(_Graph.load(file), _Graph.load(file).root(resource), body, "", _Mode.PATCH)]


class _Mode:
    RESPONSE, PUT, PATCH = "response", "put", "patch"


class _Graph:
    def __init__(self, document: dict[str, Any]) -> None:
        self._types: list[dict[str, Any]] = document["types"]
        self._bodies: dict[str, str] = document["bodies"]

    @staticmethod
    @cache
    def load(file: str) -> _Graph:
        return _Graph(json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8")))

    def root(self, resource: str) -> dict[str, Any]:
        return self._types[int(self._bodies[resource].removeprefix("#/"))]

    def at(self, reference: dict[str, str]) -> dict[str, Any]:
        return self._types[int(reference["$ref"].removeprefix("#/"))]


def _problems(graph: _Graph, kind: dict[str, Any], value: Any, path: str, mode: str) -> Iterator[str]:
    name = kind["$type"]
    if value is None or name == "AnyType":
        return  # services answer null for what is not set
    if name in _PLAIN:
        fits = isinstance(value, _PLAIN[name]) and isinstance(value, bool) == (name == "BooleanType")
        if not fits:
            yield f"{path}: {value!r} is not a {name}"
    elif name == "StringLiteralType":
        # The casing of types in live answers differs from the specification's.
        if not isinstance(value, str) or value.lower() != kind["value"].lower():
            yield f"{path}: {value!r} is not {kind['value']!r}"
    elif name == "ArrayType":
        if not isinstance(value, list):
            yield f"{path}: {value!r} is not a list"
            return
        for index, item in enumerate(value):
            yield from _problems(graph, graph.at(kind["itemType"]), item, f"{path}[{index}]", mode)
    elif name == "UnionType":
        choices = [graph.at(element) for element in kind["elements"]]
        if not any(not [*_problems(graph, choice, value, path, mode)] for choice in choices):
            yield f"{path}: {value!r} is none of {[choice.get('value', choice['$type']) for choice in choices]}"
    else:
        yield from _object_problems(graph, kind, value, path, mode)


def _object_problems(graph: _Graph, kind: dict[str, Any], value: Any, path: str, mode: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not an object"
        return
    properties = kind.get("properties", {})
    more = kind.get("additionalProperties")
    in_url = ("id", "name", "type", "apiVersion") if not path and mode != _Mode.RESPONSE else ()
    for name, declared in properties.items():
        required = declared["flags"] & _REQUIRED and mode != _Mode.PATCH and name not in in_url
        if required and value.get(name) is None:
            yield f"{path}.{name}: missing"
    for name, item in value.items():
        if name in properties:
            if properties[name]["flags"] & _READ_ONLY and mode != _Mode.RESPONSE:
                yield f"{path}.{name}: read-only"
            yield from _problems(graph, graph.at(properties[name]["type"]), item, f"{path}.{name}", mode)
        elif more is not None:
            yield from _problems(graph, graph.at(more), item, f"{path}.{name}", mode)
        else:
            yield f"{path}.{name}: unknown"
