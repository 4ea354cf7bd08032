"""Checks what a resource declares against types/types.json, which trim_types makes of what Microsoft publishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.bicep import Choice, Unknown

FILE = Path(__file__).parent / "types" / "types.json"

REQUIRED, READ_ONLY = 1, 2
_OF_BICEP = ("parent", "scope", "dependsOn")
_KINDS = {"string": "string", "int": "integer", "bool": "boolean", "array": "array", "object": "object"}


@cache
def published() -> dict[str, Any]:
    """The trimmed types: resource type and version, in lower case, to its type."""
    return dict(json.loads(FILE.read_text("utf-8"))["resources"])


def problems(resource: str, value: Any) -> Iterator[str]:
    """What is wrong with a resource of this type and version ("Microsoft.X/y@2025-01-01"), one sentence each."""
    kind = published().get(resource.lower())
    if kind is None:
        yield f"{resource} is no published type, or not among those of tests/infra/types"
        return
    for body in value if isinstance(value, list) else [value]:
        yield from _problems(kind, {key: item for key, item in body.items() if key not in _OF_BICEP}, "")


def _problems(kind: dict[str, Any] | None, value: Any, path: str) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind
    if value is None or (kind is not None and kind["kind"] == "any"):
        return
    if kind is None:
        yield f"{path} is not among the types of tests/infra/types; run python -m tests.infra.trim_types"
    elif isinstance(value, Choice):
        for option in value.options:
            yield from _problems(kind, option, path)
    elif isinstance(value, Unknown):
        if value.kind and not _may_be(kind, _KINDS[value.kind]):
            yield f"{path} is {value.text}, {_a(value.kind)}, and must be {_described(kind)}"
    elif kind["kind"] == "union":
        if all(any(_problems(one, value, path)) for one in kind["of"]):
            yield f"{path} is {value!r} and must be {_described(kind)}"
    elif kind["kind"] == "literal":
        if value != kind["value"]:
            yield f"{path} is {value!r} and must be {kind['value']!r}"
    elif kind["kind"] == "array":
        if not isinstance(value, list):
            yield f"{path} must be a list"
        else:
            for index, item in enumerate(value):
                yield from _problems(kind["of"], item, f"{path}[{index}]")
    elif kind["kind"] in ("object", "tagged"):
        yield from _object(kind, value, path)
    else:
        python: type = {"string": str, "integer": int, "number": int, "boolean": bool}[kind["kind"]]
        if not isinstance(value, python) or isinstance(value, bool) != (python is bool):
            yield f"{path} is {value!r} and must be {_described(kind)}"


def _object(kind: dict[str, Any], value: Any, path: str) -> Iterator[str]:  # noqa: PLR0912 - the tag, the names, the values
    if not isinstance(value, dict):
        yield f"{path or 'the resource'} must be an object"
        return
    properties = dict(kind["properties"])
    if kind["kind"] == "tagged":
        tag = value.get(kind["by"])
        if tag is not None and not isinstance(tag, str):
            return  # which of the shapes it is, only a deployment knows
        if tag not in kind["of"]:
            yield f"{path}.{kind['by']} is {tag!r} and must be one of {', '.join(sorted(kind['of']))}".lstrip(".")
            return
        if kind["of"][tag] is None:
            yield f"{path}: the shape {tag!r} is not among the types; run python -m tests.infra.trim_types"
            return
        properties |= kind["of"][tag]["properties"]
    more = kind.get("more")
    for name, (flags, _) in properties.items():
        if flags & REQUIRED and name not in value:
            yield f"{path}.{name} is missing".lstrip(".")
    for name, item in value.items():
        here = f"{path}.{name}".lstrip(".")
        if name in properties:
            flags, inner = properties[name]
            if flags & READ_ONLY:
                yield f"{here} is read-only"
            else:
                yield from _problems(inner, item, here)
        elif more is not None:
            yield from _problems(more, item, here)
        else:
            yield f"{here} is unknown"


def _may_be(kind: dict[str, Any], wanted: str) -> bool:
    if kind["kind"] == "union":
        return any(_may_be(one, wanted) for one in kind["of"])
    same = {"literal": "string", "tagged": "object", "number": "integer"}  # Bicep itself writes whole numbers only
    return bool(same.get(kind["kind"], kind["kind"]) == wanted)


def _described(kind: dict[str, Any]) -> str:
    if kind["kind"] == "union":
        return "one of " + ", ".join(repr(one["value"]) if "value" in one else str(one["kind"]) for one in kind["of"])
    return repr(kind["value"]) if kind["kind"] == "literal" else _a(kind["kind"])


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"
