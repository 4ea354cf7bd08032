"""HTTP routes of functions: templates such as rollouts/{id:int}/{action?}, matched below the route prefix."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from localhost.app import AppError, Function

_CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?i:true|false)",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP function's route. rank: how specific it is; lower is tried first."""

    function: Function
    methods: frozenset[str]
    pattern: re.Pattern[str]
    rank: tuple[int, ...]


class Routes:
    """All HTTP functions of an app."""

    def __init__(self, functions: Iterable[Function]) -> None:
        """Raises AppError for a route that cannot be read."""
        self._routes = sorted((_route(function) for function in functions), key=lambda route: route.rank)

    def match(self, method: str, path: str) -> tuple[Function, dict[str, str]] | None:
        """The function for a method and an undecoded path below the prefix, with its route parameters, or None.

        As in Azure, a known path with another method is not found rather than not allowed.
        """
        for route in self._routes:
            found = route.pattern.fullmatch(path.strip("/"))
            if found and (not route.methods or method.upper() in route.methods):
                return route.function, {
                    name: unquote(value) for name, value in found.groupdict().items() if value is not None
                }
        return None


def _route(function: Function) -> Route:
    template = str(function.trigger.get("route") or "").strip("/")
    segments = template.split("/") if template else []
    pattern, rank = "", []
    for position, segment in enumerate(segments):
        slash = "/" if position else ""
        expression, specificity, optional = _segment(function, segment)
        pattern += f"(?:{slash}{expression})?" if optional else slash + expression
        rank.append(specificity)
    methods = frozenset(str(method).upper() for method in function.trigger.get("methods") or ())
    return Route(function, methods, re.compile(pattern, re.IGNORECASE), tuple(rank))


def _segment(function: Function, segment: str) -> tuple[str, int, bool]:
    """A segment's expression, its rank (literal 0, constrained 1, free 2, rest 3), and whether it may be missing."""
    inner = re.fullmatch(r"\{(\*?)(\w+)(?::(\w+))?(\?)?\}", segment)
    if inner is None:
        if "{" in segment or "}" in segment:
            raise AppError(f"function '{function.name}': the local host cannot read the route segment '{segment}'")
        return re.escape(segment), 0, False
    rest, name, constraint, optional = inner.groups()
    if rest:
        return f"(?P<{name}>.*)", 3, True
    if constraint and constraint not in _CONSTRAINTS:
        raise AppError(f"function '{function.name}': the local host does not know the route constraint '{constraint}'")
    expression = _CONSTRAINTS[constraint] if constraint else "[^/]+"
    return f"(?P<{name}>{expression})", 1 if constraint else 2, bool(optional)
