"""Compares the tree of a policy file with the model in policy.py, key by key, and collects every difference.

msgspec stops at the first error of a file. So the types are walked here, and msgspec judges one single value at a time.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from rollout.policy import (
    Amount,
    CanaryPolicy,
    DrainPolicy,
    GatesPolicy,
    HealthPolicy,
    Percent,
    PoolPolicy,
    RetentionPolicy,
    RingStart,
    SchedulePolicy,
    Subscription,
    VersionNumber,
)
from rollout.policy_shapes import SHAPES
from rollout.policy_tree import Entry, Problem, child_path, meant, shorten
from rollout.windows import MAX_DURATION

_MAY_BE_ZERO = {
    (CanaryPolicy, "bake"),
    (DrainPolicy, "disconnected_grace"),
    (HealthPolicy, "settle"),
    (RetentionPolicy, "end_of_life_after"),
    (PoolPolicy, "retain_outdated"),
    (RingStart, "after"),
    (GatesPolicy, "soak"),
    (SchedulePolicy, "min_age"),
}
_OTHER_DURATION = re.compile(
    r"(?P<count>\d+) ?(?P<unit>s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)", re.IGNORECASE
)
_EXPECTED: dict[Any, str] = {
    timedelta: "a duration such as PT30M",
    Amount: "a number of hosts such as 3 or a percentage such as 25%",
    Percent: "a whole number of percent from 0 to 100",
    VersionNumber: "the number of an image version such as 2026.11.20",
    Subscription: "the id of a subscription, 00000000-0000-0000-0000-000000000000",
    bool: "true or false",
    float: "a number",
    str: "text",
}


class Check:
    """Collects the problems of one file. `broken` holds the entries that must not be used for further checks."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}  # a set that keeps the order of the file
        self._broken: set[Entry] = set()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that was reported, by line; what is missing altogether comes first."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line))

    @property
    def broken(self) -> frozenset[Entry]:
        """The entries with a problem of their own so far."""
        return frozenset(self._broken)

    def report(self, entry: Entry, message: str) -> None:
        """Note a problem with this entry, once, however many pools share it through `defaults`."""
        self._broken.add(entry)
        self._add(Problem(entry.path, message, entry.line))

    def report_at(self, path: str, line: int, message: str) -> None:
        """Note a problem with something that the file does not say."""
        self._add(Problem(path, message, line))

    def compare(self, entry: Entry, model: type[Struct], *, partial: bool = False) -> None:
        """Compare a mapping with a model; with `partial`, required keys may be missing."""
        if not isinstance(entry.data, dict):
            self.report(entry, f"expected keys and values, got {_got(entry)}")
            return
        known = {field.encode_name: field for field in fields(model)}
        tag = model.__struct_config__.tag_field
        for key, child in entry.data.items():
            if key in known:
                self._field(child, model, known[key], partial=partial)
            elif key != tag:
                self.report(child, unknown_key(key, [*known, *([tag] if tag else [])]))
        for name, field in known.items():
            if field.required and name not in entry.data and not partial:
                self.report_at(child_path(entry.path, name), entry.line, "is missing")

    def _add(self, problem: Problem) -> None:
        self._problems.setdefault(problem)

    def _field(self, entry: Entry, model: type[Struct], field: FieldInfo, *, partial: bool) -> None:
        if isinstance(entry.data, str) and (model, field.name) in SHAPES:
            for message in SHAPES[model, field.name](entry.data):
                self.report(entry, message)
        if entry not in self._broken:
            self._value(entry, field.type, partial=partial)
        if entry in self._broken or not isinstance(entry.data, str):
            return
        if (
            timedelta in (field.type, *get_args(field.type))
            and (model, field.name) not in _MAY_BE_ZERO
            and not _duration(entry.data)
        ):
            self.report(entry, f"must be longer than nothing, got {shorten(entry.data)}")

    def _value(self, entry: Entry, expected: Any, *, partial: bool) -> None:
        if types.NoneType in get_args(expected):
            if entry.data is None:
                return
            (expected,) = (part for part in get_args(expected) if part is not types.NoneType)
        structs = _structs_in(expected)
        if len(structs) > 1:
            self._tagged(entry, structs, partial=partial)
        elif structs:
            self.compare(entry, structs[0], partial=partial)
        elif get_origin(expected) is tuple:
            self._list(entry, get_args(expected)[0])
        elif get_origin(expected) is dict:
            self._keys(entry, get_args(expected)[1])
        else:
            for message in _wrong_with(entry, expected):
                self.report(entry, message)

    def _list(self, entry: Entry, item: Any) -> None:
        if not isinstance(entry.data, tuple):
            self.report(entry, f"expected a list, got {_got(entry)}")
            return
        for child in entry.data:
            self._value(child, item, partial=False)
            if (
                item is timedelta
                and isinstance(child.data, str)
                and child not in self._broken
                and not _duration(child.data)
            ):
                self.report(child, f"must be longer than nothing, got {shorten(child.data)}")

    def _keys(self, entry: Entry, value: Any) -> None:
        """A mapping with keys of the user's own choice."""
        if not isinstance(entry.data, dict):
            self.report(entry, f"expected keys and values, got {_got(entry)}")
            return
        for child in entry.data.values():
            self._value(child, value, partial=False)

    def _tagged(self, entry: Entry, structs: list[type[Struct]], *, partial: bool) -> None:
        """One of several models, told apart by a key such as `type`."""
        if not isinstance(entry.data, dict):
            self.report(entry, f"expected keys and values, got {_got(entry)}")
            return
        by_tag = {str(struct.__struct_config__.tag): struct for struct in structs}
        key = str(structs[0].__struct_config__.tag_field)
        tag = entry.data.get(key)
        if tag is None:
            if not partial:
                self.report_at(child_path(entry.path, key), entry.line, f"is missing: one of {', '.join(by_tag)}")
        elif not isinstance(tag.data, str) or tag.data not in by_tag:
            self.report(tag, f"expected one of {', '.join(by_tag)}, got {_got(tag)}")
        else:
            self.compare(entry, by_tag[tag.data], partial=partial)


def unknown_key(key: str, known: list[str]) -> str:
    """The message for a key that the model does not have, with the one that was probably meant."""
    if key == "<<":
        return "merge keys are not read: put what host pools share under defaults, or use an anchor for a whole value"
    return "unknown key" + (meant(key, known) or f"; there are {', '.join(sorted(known))}")


# ------------------------------------------------------------------------------------------------------- single values


def _wrong_with(entry: Entry, expected: Any) -> Iterator[str]:
    """What is wrong with a value that has no parts: at most one message."""
    try:
        value = msgspec.convert(entry.data, expected)
    except msgspec.ValidationError:
        yield f"expected {_expectation(expected)}, got {_got(entry)}{_hint(entry, expected)}"
        return
    if isinstance(value, timedelta) and not timedelta(0) <= value <= MAX_DURATION:
        sign = "be negative" if value < timedelta(0) else f"be longer than P{MAX_DURATION.days}D"
        yield f"must not {sign}, got {_got(entry)}"


def _expectation(expected: Any) -> str:
    if expected in _EXPECTED:
        return _EXPECTED[expected]
    if get_origin(expected) is Literal:
        return "one of " + ", ".join(word or "''" for word in get_args(expected))
    schema = msgspec.json.schema(expected)
    if schema.get("type") == "integer":
        return "a whole number" + (f", at least {schema['minimum']}" if "minimum" in schema else "")
    return "text" + (f" like {schema['pattern']}" if "pattern" in schema else "")


def _hint(entry: Entry, expected: Any) -> str:
    """What to write instead, where that can be guessed."""
    if entry.data is None:
        return ": remove the key or give it a value"
    if expected is timedelta:
        return _duration_hint(entry.data)
    if expected in (Amount, Percent):
        return _amount_hint(entry.data, expected)
    if expected is str and not isinstance(entry.data, dict | tuple):
        return ": put it in quotes"
    if expected is bool and str(entry.data).lower() in ("yes", "no", "on", "off"):
        return f": write {'true' if str(entry.data).lower() in ('yes', 'on') else 'false'}"
    return meant(str(entry.data), get_args(expected)) if get_origin(expected) is Literal else ""


def _duration_hint(data: object) -> str:
    if match := _OTHER_DURATION.fullmatch(str(data)):
        count, unit = int(match["count"]), match["unit"][0].upper()
        days = {"W": 7, "D": 1}
        return f": write P{count * days[unit]}D" if unit in days else f": write PT{count}{unit}"
    if isinstance(data, str) and re.fullmatch(r"P\d+[WMY].*", data):
        return ": weeks, months and years cannot be used, write days"
    return ""


def _amount_hint(data: object, expected: Any) -> str:
    text = str(data).replace(" ", "")
    if isinstance(data, str) and (match := re.fullmatch(r"(\d+)%?", text)):
        if text.endswith("%") and int(match[1]) > 100:
            return ": a percentage is at most 100%"
        if expected is Percent or not text.endswith("%"):
            return f": write {int(match[1])}"
        return f": write {int(match[1])}%"
    return ""


def _got(entry: Entry) -> str:
    if isinstance(entry.data, dict):
        return "keys and values"
    if isinstance(entry.data, tuple):
        return "a list"
    if entry.data is None:
        return "nothing"
    if isinstance(entry.data, bool):
        return str(entry.data).lower()
    return shorten(entry.data) if isinstance(entry.data, str) else str(entry.data)


def _duration(text: str) -> timedelta:
    return msgspec.convert(text, timedelta)


@lru_cache(maxsize=256)
def _structs_in(expected: Any) -> list[type[Struct]]:
    """The models that a type consists of: one, several for a union of models, none for anything else."""
    parts = get_args(expected) if get_origin(expected) in (Union, types.UnionType) else (expected,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, Struct)]
