"""The text of a policy file as a tree in which every value knows its place in the file, for messages that name it.

YAML is read as YAML 1.2 does: `22:00` and `no` are text, not the numbers and truth values of YAML 1.1. Anchors may be
used, tags and merge keys may not. Nothing a file holds can take much time or memory: size, depth and the number of
values after anchors are followed are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_VALUES = 50_000
"""Values after anchors are followed; a file of 256 kB without anchors hardly has more."""

_TAG = "tag:yaml.org,2002:"


class Problem(NamedTuple):
    """One thing that is wrong: `path` as `host_pools[0].drain.grace` ("" is the file), `line` from 1, 0 if unknown."""

    path: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        return f"{self.path or 'the file'}: {self.message}{where}"


class PolicyError(ValueError):
    """The policy file cannot be used; `problems` holds everything that is wrong with it, in the order of the file."""

    SHOWN = 50

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = [f"  {problem}" for problem in problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"  and {len(problems) - self.SHOWN} more")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"the policy file has {count}:", *lines]))


@dataclass(frozen=True, eq=False)
class Entry:
    """A value of the file: text, number, truth value or None, a dict or a tuple of entries; and where it stands.

    A value of a preset stands where the preset is named, and `preset` names it; "" for what the file says itself.
    """

    data: str | int | float | bool | dict[str, Entry] | tuple[Entry, ...] | None
    path: str
    line: int
    preset: str = ""

    def plain(self, leave_out: frozenset[Entry] = frozenset()) -> Any:
        """The value as plain builtins, without the entries in `leave_out`."""
        if isinstance(self.data, dict):
            return {key: e.plain(leave_out) for key, e in self.data.items() if e not in leave_out}
        if isinstance(self.data, tuple):
            return [e.plain(leave_out) for e in self.data if e not in leave_out]
        return self.data

    def find(self, keys: str) -> Entry | None:
        """The entry below this one at `drain.reminders.0`; None when the file does not say it."""
        here = self
        for key in keys.split("."):
            if isinstance(here.data, dict) and key in here.data:
                here = here.data[key]
            elif isinstance(here.data, tuple) and key.isdigit() and int(key) < len(here.data):
                here = here.data[int(key)]
            else:
                return None
        return here

    def holds_any_of(self, entries: frozenset[Entry]) -> bool:
        """This entry or one below it is among `entries`."""
        below = self.data.values() if isinstance(self.data, dict) else self.data if isinstance(self.data, tuple) else ()
        return self in entries or any(e.holds_any_of(entries) for e in below)


def read_tree(text: str) -> tuple[Entry, list[Problem]]:
    """The file as a tree, and what is wrong with single keys (given twice, not text).

    Raises PolicyError when there is no tree: no YAML, too large, nested too deeply, or more than one document.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _unusable(f"is larger than {MAX_BYTES // 1024} kB")
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Characters that YAML does not allow, and escapes of characters that do not exist.
        raise _unusable(f"is no YAML text: {_first_line(error)}") from None
    if node is None:
        raise _unusable("is empty; see goldroll.yaml in the repository for an example")
    builder = _Builder()
    return builder.build(node, "", 0), builder.problems


def child_path(path: str, key: str | int) -> str:
    """The path of a key or an index below `path`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", key):
        return f"{path}[{shorten(key)}]"
    return f"{path}.{key}" if path else key


def meant(text: str, words: Iterable[str]) -> str:
    """ ", did you mean 'surge'?" when one of the words is close to the text in any case, else ""."""
    by_lower = {word.lower(): word for word in words}
    close = get_close_matches(text[:60].lower(), by_lower, n=1)
    return f", did you mean '{by_lower[close[0]]}'?" if close else ""


def shorten(text: str) -> str:
    """The text in quotes, cut where a message would become unreadable."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


# ---------------------------------------------------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """Finds the nodes of one document. Constructs nothing: _Builder does, which knows far fewer types."""

    # The resolvers of YAML 1.1 are inherited class state; YAML 1.2's few are added below.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=parent.start_mark if parent else None)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]{1,15}", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?", "-+.0123456789"),
}
for _name, (_pattern, _first) in _SCALARS.items():
    # PyYAML looks resolvers up by the first character; "" stands for empty text.
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


class _Builder:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._values = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Entry:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise _unusable("is too large or nested too deeply once its anchors are followed")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return Entry(self._mapping(node, path, depth), path, line)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = (self.build(item, child_path(path, index), depth + 1) for index, item in enumerate(node.value))
            return Entry(tuple(items), path, line)
        if isinstance(node, yaml.ScalarNode) and node.tag.removeprefix(_TAG) in ("str", *_SCALARS):
            return Entry(_scalar(node), path, line)
        raise PolicyError((Problem(path, f"the YAML tag {shorten(node.tag)} is not supported", line),))

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Entry]:
        children: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(path, "a key must be text, not a list or a mapping", line))
            elif key_node.value in children:
                first = children[key_node.value].line
                message = f"is given twice, first in line {first}"
                self.problems.append(Problem(child_path(path, key_node.value), message, line))
            else:
                key = str(key_node.value)
                entry = self.build(value_node, child_path(path, key), depth + 1)
                # An anchor's value stands where it was defined; people look for the key.
                children[key] = Entry(entry.data, entry.path, line)
        return children


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text, kind = str(node.value), node.tag.removeprefix(_TAG)
    if kind == "str" or not re.fullmatch(_SCALARS[kind][0], text):
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    return int(text) if kind == "int" else float(text)


def _not_yaml(error: yaml.MarkedYAMLError) -> PolicyError:
    mark = error.problem_mark or error.context_mark
    message = ", ".join(part for part in (error.context, error.problem) if part)
    return PolicyError((Problem("", f"is no readable YAML: {message}", mark.line + 1 if mark else 0),))


def _unusable(message: str) -> PolicyError:
    return PolicyError((Problem("", message),))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
