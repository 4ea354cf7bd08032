"""Makes types/types.json: of Microsoft's published types, those that infra/ uses, as deep as it uses them.

Run `python -m tests.infra.trim_types FOLDER` with the path of a checkout of github.com/Azure/bicep-types-az, whenever
a resource gains a property of its own shape. At every object that infra/ writes all names are kept, so an unknown
property is told from one that is known and was never used.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.infra.bicep import Choice, Unknown, read
from tests.infra.published_types import FILE
from tests.infra.rules import bicep_files

SOURCE = "https://github.com/Azure/bicep-types-az"
_PLAIN = {"StringType": "string", "IntegerType": "integer", "BooleanType": "boolean", "AnyType": "any"}
_FLAGS = 3


def main(arguments: list[str]) -> int:
    """Write the file from a checkout (with or without a work tree) and say what it lacks."""
    checkout = Path(arguments[0])
    commit = _git(checkout, "rev-parse", "HEAD").strip()
    paths = _git(checkout, "ls-tree", "-r", "--name-only", "HEAD", "generated/").splitlines()
    uses: dict[str, list[Any]] = {}
    for path in bicep_files():
        for one in read(path).of("resource"):
            bodies = one.value if isinstance(one.value, list) else [one.value]
            uses.setdefault(one.target, []).extend(bodies)
    resources, missing = {}, []
    for name, bodies in sorted(uses.items()):
        found = _find(checkout, paths, name)
        if found is None:
            missing.append(name)
        else:
            types, body = found
            resources[name.lower()] = _trim(types, body, bodies)
    document = {"source": SOURCE, "commit": commit, "licence": "MIT, Copyright (c) Microsoft Corporation"}
    FILE.write_text(json.dumps({**document, "resources": resources}, separators=(",", ":")) + "\n", "utf-8")
    for name in missing:
        sys.stderr.write(f"no published type: {name}\n")
    return 1 if missing else 0


def _find(checkout: Path, paths: list[str], name: str) -> tuple[list[Any], dict[str, str]] | None:
    provider, version = name.split("/", 1)[0].lower(), name.rsplit("@", 1)[1]
    for path in paths:
        if re.search(f"/{re.escape(provider)}/{version}/types.json$", path):
            types = json.loads(_git(checkout, "show", f"HEAD:{path}"))
            for one in types:
                if one["$type"] == "ResourceType" and one["name"].lower() == name.lower():
                    return types, one["body"]
    return None


def _trim(types: list[Any], reference: dict[str, str], values: list[Any]) -> dict[str, Any]:
    kind = types[int(reference["$ref"][2:])]
    values = [option for value in values for option in _options(value)]
    match kind["$type"]:
        case "StringLiteralType":
            return {"kind": "literal", "value": kind["value"]}
        case "UnionType":
            return {"kind": "union", "of": [_trim(types, element, values) for element in kind["elements"]]}
        case "ArrayType":
            inner = [item for value in values if isinstance(value, list) for item in value]
            return {"kind": "array", "of": _trim(types, kind["itemType"], inner)}
        case "ObjectType":
            trimmed = {"kind": "object", "properties": _properties(types, kind["properties"], values)}
            if "additionalProperties" in kind:
                more = [item for value in values if isinstance(value, dict) for item in value.values()]
                trimmed["more"] = _trim(types, kind["additionalProperties"], more)
            return trimmed
        case "DiscriminatedObjectType":
            by = kind["discriminator"]
            tags = {value.get(by) for value in values if isinstance(value, dict)} - {None}
            known = {tag for tag in tags if isinstance(tag, str)}
            shapes = {
                tag: _trim(types, shape, [value for value in values if value.get(by) == tag]) if tag in known else None
                for tag, shape in kind["elements"].items()
            }
            base = _properties(types, kind["baseProperties"], values)
            return {"kind": "tagged", "by": by, "properties": base, "of": shapes}
    return {"kind": _PLAIN.get(kind["$type"], "any")}


def _properties(types: list[Any], declared: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    trimmed = {}
    for name, one in declared.items():
        inner = [value[name] for value in values if isinstance(value, dict) and name in value]
        trimmed[name] = [one["flags"] & _FLAGS, _trim(types, one["type"], inner) if inner else None]
    return trimmed


def _options(value: Any) -> list[Any]:
    if isinstance(value, Choice):
        return [option for one in value.options for option in _options(one)]
    return [] if isinstance(value, Unknown) and value.kind == "" else [value]


def _git(checkout: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(checkout), *arguments], check=True, capture_output=True, encoding="utf-8"
    ).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
