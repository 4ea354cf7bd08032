"""Reads ARM's JSON without trusting it: what is missing, null or of another type reads as empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


def at(body: Any, *path: str) -> Any:
    """What lies at a path of keys, None where the path breaks off."""
    for key in path:
        # Nearly everything is a dict, and asking whether it is one costs a tenth of asking for a mapping.
        if not isinstance(body, (dict, Mapping)):
            return None
        body = body.get(key)
    return body


def text(body: Any, *path: str) -> str:
    """A string, "" when there is none."""
    value = at(body, *path)
    return value if isinstance(value, str) else ""


def number(body: Any, *path: str) -> int:
    """A whole number, 0 when there is none."""
    value = at(body, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def flag(body: Any, *path: str) -> bool:
    """True only when Azure says true."""
    return at(body, *path) is True


def moment(body: Any, *path: str) -> datetime | None:
    """A point in time as aware UTC; Azure's seventh digit of a second is cut off. None when it cannot be read."""
    try:
        value = datetime.fromisoformat(text(body, *path))
    except ValueError:
        return None
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value).astimezone(UTC)


def items(body: Any, *path: str) -> list[Json]:
    """The objects of a list; anything else in it is left out."""
    value = at(body, *path)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(body: Any, *path: str) -> list[str]:
    """The strings of a list; anything else in it is left out."""
    value = at(body, *path)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def tags(body: Any) -> dict[str, str]:
    """A resource's tags; a tag without a value reads as ""."""
    value = at(body, "tags")
    if not isinstance(value, Mapping):
        return {}
    return {str(key): "" if item is None else str(item) for key, item in value.items()}
