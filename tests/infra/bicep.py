"""Reads a Bicep file: its declarations, and their values as far as they can be known without Azure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))

_RETURNS = {
    "cidrSubnet": "string",
    "empty": "bool",
    "format": "string",
    "guid": "string",
    "items": "array",
    "loadTextContent": "string",
    "readEnvironmentVariable": "string",
    "string": "string",
    "subscriptionResourceId": "string",
    "union": "object",
    "uniqueString": "string",
}
"""What functions return. A function that is not here may return anything."""


@dataclass(frozen=True)
class Unknown:
    """A value that only a deployment knows; `kind` is its Bicep type, "" when that is not known either."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Choice:
    """One of two values, by a condition."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Declaration:
    """A parameter, variable, resource, module or output: where it stands, and what it says."""

    sort: str
    name: str
    line: int
    node: Node
    decorators: frozenset[str] = frozenset()
    kind: str = ""
    value: Any = None
    target: str = ""
    existing: bool = False
    has_default: bool = False


@dataclass(frozen=True)
class BicepFile:
    """One file. `broken` are the lines that are no Bicep."""

    path: Path
    broken: tuple[int, ...]
    declarations: tuple[Declaration, ...]
    root: Node = field(repr=False)

    def of(self, *sorts: str) -> list[Declaration]:
        """The declarations of these sorts: parameter, variable, resource, module, output."""
        return [one for one in self.declarations if one.sort in sorts]

    def named(self, name: str) -> Declaration | None:
        """The declaration of a name. An output may share its name with another; the other is meant."""
        return next((one for one in self.declarations if one.name == name and one.sort != "output"), None)


def read(path: Path, text: str | None = None) -> BicepFile:
    """Parse a file, or `text` in its place. Never raises for what the file says: see `broken`."""
    source = path.read_text("utf-8") if text is None else text
    root = _PARSER.parse(source.encode()).root_node
    known: dict[str, Declaration] = {}
    declarations = []
    for node, decorators in _statements(root):
        one = _declaration(node, decorators, known)
        declarations.append(one)
        if one.sort != "output":
            known[one.name] = one
    broken = tuple(sorted({node.start_point[0] + 1 for node in walk(root) if node.type == "ERROR" or node.is_missing}))
    return BicepFile(path, broken, tuple(declarations), root)


def read_parameters(path: Path) -> BicepFile:
    """Parse a .bicepparam file, whose `param name = value` reads like a variable."""
    lines = path.read_text("utf-8").splitlines()
    as_bicep = [f"var {line[6:]}" if line.startswith("param ") else line for line in lines]
    return read(path, "\n".join("" if line.startswith("using ") else line for line in as_bicep) + "\n")


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def text_of(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode()


def names_used(node: Node) -> Iterator[Node]:
    """Identifiers that refer to something: not the names of properties, functions, types, nor what is declared."""
    for child in node.children:
        first = child == node.named_children[0] if node.named_children else False
        if child.type == "identifier":
            names = node.type in ("object_property", "call_expression", "parameter_declaration", "variable_declaration")
            declares = node.type in ("resource_declaration", "module_declaration", "output_declaration")
            # The grammar reads the first item of [f().x] as two: f, and (). Such an f is a function.
            called = child.next_sibling is not None and text_of(child.next_sibling).startswith("(")
            if not (first and (names or declares)) and not called:
                yield child
        elif child.type != "type":
            yield from names_used(child)


def calls(node: Node) -> Iterator[str]:
    """Names of the functions called below a node, `a.b()` as `b`."""
    for child in walk(node):
        if child.type == "call_expression":
            yield text_of(child.named_children[0]).split(".")[-1]


def _statements(root: Node) -> Iterator[tuple[Node, frozenset[str]]]:
    decorators: frozenset[str] = frozenset()
    for node in root.named_children:
        if node.type == "decorators":
            decorators = frozenset(calls(node))
        elif node.type.endswith("_declaration"):
            yield node, decorators
            decorators = frozenset()


def _declaration(node: Node, decorators: frozenset[str], known: dict[str, Declaration]) -> Declaration:
    sort = node.type.removesuffix("_declaration")
    children = [child for child in node.named_children if child.type != "comment"]
    name = text_of(children[0])
    kind = next((text_of(child) for child in children if child.type == "type"), "")
    if not kind:
        kind = next((text_of(child) for child in children[1:] if child.type in ("primitive_type", "array_type")), "")
    body, target = children[-1], ""
    if sort in ("resource", "module"):
        target = text_of(children[1]).strip("'")
    has_value = sort != "parameter" or "=" in [child.type for child in node.children]
    value = value_of(body, known) if has_value else None
    existing = any(child.type == "existing" or text_of(child) == "existing" for child in node.children)
    line = node.start_point[0] + 1
    return Declaration(sort, name, line, node, decorators, kind, value, target, existing, has_value)


def value_of(node: Node, known: dict[str, Declaration]) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case for each kind of node
    """The value of an expression: str, int, bool, None, list, dict, Choice, or Unknown where Azure decides."""
    text = text_of(node)
    match node.type:
        case "string":
            parts = node.named_children
            if any(part.type == "interpolation" for part in parts):
                return Unknown(text, "string")
            return "".join(text_of(part) for part in parts).replace("\\'", "'")
        case "number":
            return int(text)
        case "boolean":
            return text == "true"
        case "null":
            return None
        case "array":
            return [value_of(child, known) for child in node.named_children if child.type != "comment"]
        case "object":
            return dict(_properties(node, known))
        case "for_statement":
            return [value_of(node.named_children[-1], _shadowed(node, known))]
        case "if_statement" | "parenthesized_expression":
            return value_of(node.named_children[-1], known)
        case "ternary_expression":
            _, one, other = [child for child in node.named_children if child.type != "comment"]
            return Choice((value_of(one, known), value_of(other, known)))
        case "call_expression":
            return Unknown(text, _RETURNS.get(text_of(node.named_children[0]), ""))
        case "unary_expression" if text.startswith("!"):
            return Unknown(text, "bool")
        case "identifier":
            return _referred(text, known)
        case "member_expression":
            return _member(node, text, known)
    return Unknown(text)


def _properties(node: Node, known: dict[str, Declaration]) -> Iterator[tuple[str, Any]]:
    for item in node.named_children:
        if item.type == "object_property":
            key, *rest = [child for child in item.named_children if child.type != "comment"]
            yield text_of(key).strip("'"), value_of(rest[-1], known) if rest else Unknown(text_of(item))


def _shadowed(node: Node, known: dict[str, Declaration]) -> dict[str, Declaration]:
    loop = {text_of(child) for child in walk(node) if child.type in ("loop_variable", "loop_enumerator")}
    if node.named_children[0].type == "identifier":
        loop.add(text_of(node.named_children[0]))
    return {name: one for name, one in known.items() if name not in loop}


def _referred(name: str, known: dict[str, Declaration]) -> Any:
    one = known.get(name)
    if one is None:
        return Unknown(name)
    if one.sort == "variable":
        return one.value
    simple = {"string": "string", "int": "int", "bool": "bool", "object": "object"}
    return Unknown(name, "array" if one.kind.endswith("[]") else simple.get(one.kind, ""))


def _member(node: Node, text: str, known: dict[str, Declaration]) -> Any:
    owner = known.get(text_of(node.named_children[0]))
    if owner is not None and owner.sort == "resource" and text.rsplit(".", 1)[-1] in ("id", "name"):
        return Unknown(text, "string")
    return Unknown(text)
