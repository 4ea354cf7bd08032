"""The table of a case as text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.summary import Row

COLUMNS = (
    "contender",
    "time",
    "forced sign-outs",
    "twice (most)",
    "refused",
    "least free slots",
    "peak hosts",
    "extra host hours",
    "on bad image",
    "left drained",
    "operator",
    "calls per host",
    "of the bound",
)


def table(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """The rows as text, in the order of COLUMNS."""
    return [
        (
            row.contender,
            "never" if row.hours is None else f"{row.hours:.1f} h",
            f"{row.forced:.0f}",
            f"{row.twice:.0f} ({row.twice_at_most})",
            f"{row.refused:.0f}",
            f"{row.least_free:.0f}",
            f"{row.peak:.0f}",
            f"{row.extra_hours:.0f}",
            f"{row.on_bad_image:.0f}",
            f"{row.drained:.0f}",
            f"{row.operator:.0f}",
            f"{row.calls_per_host:.0f}",
            "" if row.ratio is None or row.bound is None else f"{row.ratio:.2f} ({row.bound.name})",
        )
        for row in rows
    ]
