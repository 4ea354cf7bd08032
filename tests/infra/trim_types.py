"""Makes types/types.json: of what Microsoft's packages say of resource types, what infra/ uses, as deep as it uses it.

Run `python -m tests.infra.trim_types` whenever a resource is added, has another API version, or gets an object that was
not there before. It gets the packages below by pip, into a folder that it removes again.
At every object that infra/ writes all names are kept, so an unknown property is told from one that was never used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.infra.bicep import Choice, Unknown, read
from tests.infra.published_types import FILE, READ_ONLY, REQUIRED
from tests.infra.rules import bicep_files
from tests.infra.sdk_models import ApiFolder, Attribute, Level, Put, api_folders, plain_kind

PACKAGES = (
    "azure-mgmt-applicationinsights==4.1.0",
    "azure-mgmt-authorization==4.0.0",
    "azure-mgmt-eventgrid==10.4.0",
    "azure-mgmt-loganalytics==13.0.0b7",
    "azure-mgmt-monitor==6.0.2",  # for diagnosticSettings, which later releases do not have
    "azure-mgmt-monitor==7.0.0",
    "azure-mgmt-msi==7.1.0",
    "azure-mgmt-network==28.1.0",
    "azure-mgmt-privatedns==1.2.0",
    "azure-mgmt-resource==23.4.0",
    "azure-mgmt-storage==22.2.0",
    "azure-mgmt-web==8.0.0",
)
"""Releases that speak the API versions of infra/. A later one wins where two have the same."""

ALSO: dict[str, dict[str, Any]] = {
    "microsoft.eventgrid/topics@2025-02-15": {"properties": {"inboundIpRules": []}, "identity": {}, "sku": {}},
}
"""Resources that infra/ does not have, and bodies that say how deep they are kept."""

LICENCE = "MIT, Copyright (c) Microsoft Corporation"

Trimmed = dict[str, Any]
_STRING: Trimmed = {"kind": "string"}
_RESOURCE: dict[str, Any] = {
    "id": [READ_ONLY, _STRING],
    "type": [READ_ONLY, _STRING],
    "apiVersion": [READ_ONLY, _STRING],
    "name": [REQUIRED, _STRING],
}
"""What every resource has in Bicep, where a package has it in the path."""


def main() -> int:
    """Write the file. 1 when infra/ uses a resource type or API version that none of the packages has."""
    uses: dict[str, list[Any]] = {name: [body] for name, body in ALSO.items()}
    for path in bicep_files():
        for one in read(path).of("resource"):
            bodies = one.value if isinstance(one.value, list) else [one.value]
            uses.setdefault(one.target.lower(), []).extend(bodies)
    resources: dict[str, Trimmed] = {}
    with tempfile.TemporaryDirectory(prefix="goldroll-types-") as folder:
        for package in PACKAGES:
            for api in api_folders(_unpacked(package, Path(folder) / package)):
                resources.update(resources_of(api, uses))
    _write(resources)
    missing = sorted(uses.keys() - resources.keys())
    for name in missing:
        sys.stderr.write(f"none of the packages has {name}\n")
    return 1 if missing else 0


def _unpacked(package: str, folder: Path) -> Path:
    folder.mkdir()
    get = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]
    subprocess.run([*get, str(folder), package], check=True, stderr=subprocess.PIPE)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def _write(resources: dict[str, Trimmed]) -> None:
    """One line for each resource, so that a change of one is read as such."""
    head = f'{{"packages": {json.dumps(PACKAGES)},\n"licence": {json.dumps(LICENCE)},\n"resources": {{\n'
    lines = [f"{json.dumps(name)}: {json.dumps(resources[name], separators=(',', ':'))}" for name in sorted(resources)]
    FILE.write_text(head + ",\n".join(lines) + "\n}}\n", "utf-8")


def resources_of(api: ApiFolder, uses: dict[str, list[Any]]) -> dict[str, Trimmed]:
    ways: dict[str, list[Put]] = {}
    for put in api.puts:
        name = f"{put.resource}@{put.version}"
        if name in uses:
            ways.setdefault(name, []).append(put)
    return {name: _resource(api, puts, uses[name]) for name, puts in ways.items()}


def _resource(api: ApiFolder, puts: list[Put], bodies: list[Any]) -> Trimmed:
    """A resource with one shape, or, where paths fix its name, with one for each name (the settings of a site)."""
    named = {put.fixed_name: put for put in puts if put.fixed_name}
    if not named:
        return _body(api, puts[0], bodies)
    shapes = {}
    for name, put in named.items():
        own = [body for body in bodies if isinstance(body, dict) and body.get("name") == name]
        shapes[name] = _body(api, put, own) if own else None
    return {"kind": "tagged", "by": "name", "properties": {"name": _RESOURCE["name"]}, "of": shapes}


def _body(api: ApiFolder, put: Put, bodies: list[Any]) -> Trimmed:
    trimmed = _object(api, api.level(put.body), bodies)
    answered = api.level(put.answer).own if put.answer in api.models else {}
    only_read = {name: [READ_ONLY, None] for name in answered if name not in trimmed["properties"]}
    trimmed["properties"] = {**only_read, **trimmed["properties"], **_RESOURCE}
    return trimmed


def _object(api: ApiFolder, level: Level, values: Iterable[Any]) -> Trimmed:
    objects = [value for value in values if isinstance(value, dict)]
    properties: dict[str, Any] = {}
    for name, one in level.own.items():
        flags = (REQUIRED if one.required else 0) | (READ_ONLY if one.read_only else 0)
        properties[name] = [flags, None if one.read_only else _attribute(api, one, _inside(objects, name))]
    for name, inner in level.inner.items():
        used = _inside(objects, name)
        flags = REQUIRED if any(one.required for one in inner.own.values()) else 0
        properties[name] = [flags, _object(api, inner, used) if used else None]
    trimmed: Trimmed = {"kind": "object", "properties": properties}
    if level.more:
        trimmed["more"] = {"kind": "any"}
    return trimmed


def _attribute(api: ApiFolder, one: Attribute, values: list[Any]) -> Trimmed | None:
    if one.choices:
        return {"kind": "union", "of": [{"kind": "literal", "value": choice} for choice in one.choices]}
    return _type(api, one.type, values)


def _type(api: ApiFolder, notation: str, values: list[Any]) -> Trimmed | None:
    """A type in the notation of the packages; None for an object that infra/ does not write."""
    if notation.startswith("["):
        items = [item for value in values if isinstance(value, list) for item in value]
        return {"kind": "array", "of": _type(api, notation[1:-1], _options(items))}
    if notation.startswith("{"):
        items = [item for value in values if isinstance(value, dict) for item in value.values()]
        return {"kind": "object", "properties": {}, "more": _type(api, notation[1:-1], _options(items))}
    if notation not in api.models:
        return {"kind": plain_kind(notation)}
    if not values:
        return None
    several = api.shapes(notation)
    if several is None:
        return _object(api, api.level(notation), values)
    by, models = several
    shapes: dict[str, Trimmed | None] = {}
    for tag, model in models.items():
        own = [value for value in values if isinstance(value, dict) and value.get(by) == tag]
        shapes[tag] = _object(api, api.level(model), own) if own else None
    return {"kind": "tagged", "by": by, "properties": {by: [REQUIRED, _STRING]}, "of": shapes}


def _inside(objects: list[dict[str, Any]], name: str) -> list[Any]:
    return _options(value[name] for value in objects if name in value)


def _options(values: Iterable[Any]) -> list[Any]:
    """What a value may be, without those that only a deployment knows."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, Choice):
            found += _options(value.options)
        elif not (isinstance(value, Unknown) and value.kind == ""):
            found.append(value)
    return found


if __name__ == "__main__":
    sys.exit(main())
