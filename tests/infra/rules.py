"""What must hold for every Bicep file of infra/. Each rule yields sentences; none means that all is well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra import published_types
from tests.infra.bicep import BicepFile, Choice, calls, names_used, read, text_of, walk

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"

_TOO_MUCH = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
}
_NAMESPACES = {"az", "sys"}

_MUST_BE: dict[str, dict[str, Any]] = {
    "microsoft.storage/storageaccounts": {
        "properties.allowSharedKeyAccess": False,
        "properties.allowBlobPublicAccess": False,
        "properties.supportsHttpsTrafficOnly": True,
        "properties.minimumTlsVersion": "TLS1_2",
    },
    "microsoft.web/sites": {"properties.httpsOnly": True},
    "microsoft.eventgrid/topics": {"properties.disableLocalAuth": True},
    "microsoft.insights/components": {"properties.DisableLocalAuth": True},
    "microsoft.web/sites/basicpublishingcredentialspolicies": {"properties.allow": False},
}
"""Settings that close a door: what a resource of the type must say, whatever else it says."""


def bicep_files() -> list[Path]:
    """Every Bicep file of the repository."""
    return sorted(INFRA.rglob("*.bicep"))


def findings(file: BicepFile) -> list[str]:
    """Everything that is wrong with a file: "line 12: ..."; a file that cannot be parsed is judged no further."""
    if file.broken:
        return [f"line {line}: this is no Bicep" for line in file.broken]
    rules = (_types, _names, _unused, _secrets, _roles, _modules, _doors)
    return [found for rule in rules for found in rule(file)]


def _types(file: BicepFile) -> Iterator[str]:
    for one in file.of("resource"):
        if not one.existing:
            for problem in published_types.problems(one.target, one.value):
                yield f"line {one.line}: {one.name}: {problem}"
        elif one.target.lower() not in published_types.published():
            yield f"line {one.line}: {one.name}: {one.target} is no published type, or not in tests/infra/types"


def _names(file: BicepFile) -> Iterator[str]:
    loops = {text_of(node) for node in walk(file.root) if node.type in ("loop_variable", "loop_enumerator")} | {
        text_of(node.named_children[0]) for node in walk(file.root) if node.type == "for_statement"
    }
    known = {one.name for one in file.declarations if one.sort != "output"} | loops | _NAMESPACES
    for one in file.declarations:
        for name in names_used(one.node):
            if text_of(name) not in known:
                yield f"line {name.start_point[0] + 1}: {text_of(name)} is not declared"


def _unused(file: BicepFile) -> Iterator[str]:
    used = {text_of(name) for one in file.declarations for name in names_used(one.node)}
    for one in file.of("parameter", "variable"):
        if one.name not in used:
            yield f"line {one.line}: the {one.sort} {one.name} is not used"
    for one in file.of("resource"):
        if one.existing and one.name not in used:
            yield f"line {one.line}: the resource {one.name} is looked up and not used"


def _secrets(file: BicepFile) -> Iterator[str]:
    secret = {one.name for one in file.of("parameter") if "secure" in one.decorators}
    for one in file.of("variable"):  # in the order of the text: a variable may carry on what another one holds
        if secret & {text_of(name) for name in names_used(one.node)}:
            secret.add(one.name)
    for one in file.of("output"):
        if secret & {text_of(name) for name in names_used(one.node)}:
            yield f"line {one.line}: the output {one.name} holds a secret, which every reader of deployments can see"
    for one in file.of("parameter"):
        named_so = re.search("password|secret(?!.*uri)", one.name, re.IGNORECASE)
        if named_so and "secure" not in one.decorators:
            yield f"line {one.line}: the parameter {one.name} is not marked @secure()"
        if "secure" in one.decorators and isinstance(one.value, str) and one.value:
            yield f"line {one.line}: the secret {one.name} has a default, which is in the file for all to read"
    for one in file.declarations:
        for function in calls(one.node):
            if re.match("list[A-Z]", function):
                yield f"line {one.line}: {function}() reads keys; identities are used instead"


def _roles(file: BicepFile) -> Iterator[str]:
    for one in file.of("resource"):
        if one.target.lower().startswith("microsoft.authorization/roledefinitions@") and not one.existing:
            for action in _strings(one.value):
                if "*" in action:
                    yield f"line {one.line}: the role {one.name} has the wildcard {action!r}"
    for node in walk(file.root):
        if node.type == "string_content" and text_of(node).lower() in _TOO_MUCH:
            yield f"line {node.start_point[0] + 1}: the role {_TOO_MUCH[text_of(node).lower()]} is more than is needed"


def _modules(file: BicepFile) -> Iterator[str]:
    outputs: dict[str, set[str]] = {}
    for one in file.of("module"):
        path = file.path.parent / one.target
        if not path.is_file():
            yield f"line {one.line}: there is no file {one.target}"
            continue
        called = read(path)
        outputs[one.name] = {output.name for output in called.of("output")}
        declared = {parameter.name: parameter for parameter in called.of("parameter")}
        body = one.value[0] if isinstance(one.value, list) else one.value
        given = body.get("params", {})
        for name in sorted(given.keys() - declared.keys()):
            yield f"line {one.line}: {one.target} has no parameter {name}"
        for name, parameter in declared.items():
            if name not in given and not parameter.has_default:
                yield f"line {one.line}: {one.target} needs the parameter {name}"
            if name in given and not _fits(parameter.kind, given[name]):
                yield f"line {one.line}: the parameter {name} of {one.target} must be {parameter.kind}"
    for match in re.finditer(r"\b(\w+)!?\.outputs\.(\w+)", text_of(file.root)):
        module, output = match.groups()
        if module in outputs and output not in outputs[module]:
            yield f"{match.group()}: the module has no output {output}"


def _fits(kind: str, value: Any) -> bool:
    if isinstance(value, Choice):
        return all(_fits(kind, option) for option in value.options)
    python: dict[str, type] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
    wanted = list if kind.endswith("[]") else python.get(kind)
    known = isinstance(value, (str, int, bool, dict, list))
    return not known or wanted is None or type(value) is wanted


def _doors(file: BicepFile) -> Iterator[str]:
    for one in file.of("resource"):
        for path, wanted in _MUST_BE.get(one.target.partition("@")[0].lower(), {}).items():
            value: Any = one.value
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if not one.existing and value != wanted:
                yield f"line {one.line}: {one.name}: {path} must be {wanted!r}, not {value!r}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)
