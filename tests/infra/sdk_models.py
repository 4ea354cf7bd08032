"""Reads what Microsoft's Python packages say of resource types: their names, what must be said, what may not be.

A package (azure-mgmt-storage) is generated from the same descriptions as Bicep's types. It has, for each API version, a
folder with `operations`, where a PUT names the path of a resource type and the model of its body, and `models`, which
give the names on the wire. It is read as text: nothing of a package is imported or run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

GROUPS = "microsoft.resources/resourcegroups"
_GROUP_PATH = re.compile(r"^/subscriptions/\{\w+\}/resource[gG]roups/\{\w+\}$")
_SIMPLE = {"str": "string", "int": "integer", "long": "integer", "float": "number", "bool": "boolean"}
_SIMPLE |= {"iso-8601": "string", "duration": "string", "rfc-1123": "string", "base64": "string"}
_MAP = "_attribute_map"


@dataclass(frozen=True)
class Model:
    """A class of a package: wire keys and types of its attributes, what holds for them, and which classes extend it."""

    attributes: dict[str, dict[str, str]]
    rules: dict[str, dict[str, Any]]
    subtypes: dict[str, dict[str, str]]
    choices: dict[str, str]


@dataclass(frozen=True)
class Put:
    """How a resource is written: its type in lower case, its name where the path fixes it, body and answer."""

    resource: str
    version: str
    fixed_name: str
    body: str
    answer: str


@dataclass(frozen=True)
class Attribute:
    """A property on the wire. `type` is the package's notation: str, Model, [Model], {Model}; `choices` its values."""

    required: bool
    read_only: bool
    type: str
    choices: tuple[str, ...] = ()


@dataclass
class Level:
    """An object on the wire: packages flatten objects inside objects, which are taken apart again here."""

    own: dict[str, Attribute] = field(default_factory=dict)
    inner: dict[str, Level] = field(default_factory=dict)
    more: str = ""


class ApiFolder:
    """The models and operations of one API version (or of the only one) of an unpacked package."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def puts(self) -> list[Put]:
        """Every resource that can be written."""
        return [put for file in sorted((self._folder / "operations").glob("_*.py")) for put in _puts(file)]

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every model by its name."""
        found = {}
        for file in sorted((self._folder / "models").glob("_models*.py")):
            classes = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
            found.update({node.name: _model(node) for node in classes})
        return found

    @cached_property
    def enums(self) -> dict[str, tuple[str, ...]]:
        """The known values of every enumeration."""
        found = {}
        for file in sorted((self._folder / "models").glob("*enums.py")):
            for node in ast.parse(file.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    values = [one.value for one in node.body if isinstance(one, ast.Assign)]
                    found[node.name] = tuple(ast.literal_eval(value) for value in values)
        return found

    def level(self, name: str) -> Level:
        """The object that a model stands for on the wire."""
        model, level = self.models[name], Level()
        for python_name, one in model.attributes.items():
            if not one["key"]:
                level.more = one["type"].strip("{}")
                continue
            rule = model.rules.get(python_name, {})
            *path, last = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", one["key"])]
            at = level
            for part in path:
                at = at.inner.setdefault(part, Level())
            values = self.enums.get(model.choices.get(python_name, "") or one["type"], ())
            kind = "str" if one["type"] in self.enums else one["type"]
            at.own[last] = Attribute(bool(rule.get("required")), bool(rule.get("readonly")), kind, values)
        return level

    def shapes(self, name: str) -> tuple[str, dict[str, str]] | None:
        """Where a model is one of several shapes: the property that tells which, and the model of each value."""
        model = self.models[name]
        for python_name, tags in model.subtypes.items():
            shapes = {}
            for tag, shape in tags.items():
                deeper = self.shapes(shape)
                shapes.update({tag: shape, **(deeper[1] if deeper else {})})
            return model.attributes[python_name]["key"].replace("\\.", "."), shapes
        return None


def plain_kind(notation: str) -> str:
    """The name that types.json has for a simple type; `any` where the package says no more."""
    return _SIMPLE.get(notation, "any")


def api_folders(unpacked: Path) -> Iterator[ApiFolder]:
    """The API versions of an unpacked package."""
    for operations in sorted(unpacked.rglob("operations")):
        if operations.parent.name != "aio" and (operations.parent / "models").is_dir():
            yield ApiFolder(operations.parent)


def _model(node: ast.ClassDef) -> Model:
    tables: dict[str, Any] = {}
    choices: dict[str, str] = {}
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            if one.targets[0].id in (_MAP, "_validation", "_subtype_map"):
                tables[one.targets[0].id] = ast.literal_eval(one.value)
        elif isinstance(one, ast.FunctionDef) and one.name == "__init__":
            for argument in one.args.kwonlyargs:
                found = re.search(r"Union\[str, '_models\.(\w+)'\]", ast.unparse(argument.annotation or argument))
                if found:
                    choices[argument.arg] = found[1]
    return Model(tables.get(_MAP, {}), tables.get("_validation", {}), tables.get("_subtype_map", {}), choices)


def _puts(file: Path) -> Iterator[Put]:
    tree = ast.parse(file.read_text("utf-8"))
    builders = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for holder in tree.body:
        for method in holder.body if isinstance(holder, ast.ClassDef) else []:
            if not isinstance(method, ast.FunctionDef):
                continue
            calls = [node for node in ast.walk(method) if isinstance(node, ast.Call)]
            builder = next((builders[name] for call in calls if (name := _called(call)) in builders), None)
            body = next((_text(call.args[1]) for call in calls if _called(call) == "body"), "")
            if builder is None or not body or "method='PUT'" not in ast.unparse(builder):
                continue
            answer = next((_text(call.args[0]) for call in calls if _called(call) == "_deserialize"), "")
            url, version = _url_and_version(builder)
            resource, fixed_name = _resource(url)
            if resource:
                yield Put(resource, version, fixed_name, body, answer)


def _url_and_version(builder: ast.FunctionDef) -> tuple[str, str]:
    texts = [node.value for node in ast.walk(builder) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    urls = [text for text in texts if text.startswith("/")]
    versions = [text for text in texts if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", text)]
    return (urls or [""])[0], (versions or [""])[0]


def _resource(url: str) -> tuple[str, str]:
    """The resource type of a path, and the name at its end where the path itself has one."""
    if _GROUP_PATH.match(url):
        return GROUPS, ""
    _, found, rest = url.rpartition("/providers/")
    namespace, *parts = rest.strip("/").split("/")
    if not found or len(parts) % 2 or any(part.startswith("{") for part in [namespace, *parts[::2]]):
        return "", ""
    return "/".join([namespace, *parts[::2]]).lower(), "" if parts[-1].startswith("{") else parts[-1]


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
