"""What a person reads in the terminal: rollouts, plans and their parts as tables and bars."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "Succeeded": "green",
    "SucceededWithSkips": "yellow",
    "RolledBack": "yellow",
    "Superseded": "dim",
    "Halted": "red",
    "Failed": "red",
    "Refused": "red",
    "Blocked": "red",
    "Aborted": "red",
    "Paused": "yellow",
    "WaitingCapacity": "yellow",
    "WaitingGate": "cyan",
}

MOST_LINES = 15
"""Hosts of a plan that are listed for each pool; --json has all."""


def rollouts(listed: Iterable[dict[str, Any]]) -> RenderableType:
    """The rollouts that there are, as they come."""
    table = _table("rollout", "image", "version", "phase", "updated", "message")
    for one in listed:
        updated = str(one.get("updated") or "")[:16].replace("T", " ")
        table.add_row(
            _text(one["id"]), _text(one["image"]), _text(one["version"]), phase(one), updated, _text(one["message"])
        )
    return table if table.row_count else Text("there are no rollouts")


def rollout(one: dict[str, Any]) -> RenderableType:
    """One rollout: what it does and why, its rings, and a bar for each host pool."""
    parts: list[RenderableType] = [
        Text.assemble(f"{one['image']} {one['version']}  ", phase(one), f"  {one['id']}"),
        Text(str(one.get("message", ""))),
    ]
    if rings := one.get("rings"):
        parts.append(Text("rings: " + ", ".join(f"{name} {state}" for name, state in rings.items())))
    if asked := one.get("asked"):
        parts.append(
            Text(f"approval asked for ring {asked.get('ring')}: goldroll approve {one['id']} --reason ...", "cyan")
        )
    table = _table("pool", "phase", "hosts", "", "in hand", "signed out", "why")
    for pool in one.get("pools", ()):
        parts_done, of = done_of(pool)
        bar: RenderableType = ProgressBar(total=max(1, of), completed=parts_done, width=20) if of else ""
        in_hand = ", ".join(f"{count} {stage}" for stage, count in pool.get("in_hand", {}).items())
        table.add_row(
            _text(pool["pool"]),
            phase(pool),
            f"{parts_done}/{of}" if of else "",
            bar,
            in_hand,
            str(pool.get("forced_sign_outs", 0)),
            _text(pool.get("message", "")),
        )
    parts.append(table)
    parts += [Text(sentence) for sentence in one.get("compared", ())]
    return Group(*parts)


def done_of(pool: dict[str, Any]) -> tuple[int, int]:
    """How many of a pool's hosts are on the new version, of how many; (0, 0) before anybody has counted them."""
    of = int(pool.get("desired", 0))
    if pool.get("phase") in ("Succeeded", "SucceededWithSkips"):
        return of - len(pool.get("skipped", {})), of
    return min(of, int(pool.get("counts", {}).get("current", 0))), of


def plan(made: dict[str, Any]) -> RenderableType:
    """A plan: its sentence, its rings, and for each pool what would happen to which host."""
    parts: list[RenderableType] = [Text(f"{made['image']} {made['version']}: {made['message']}", "bold")]
    parts += [Text(f"region {name}: {state}") for name, state in made.get("regions", {}).items() if state != "ready"]
    parts += [Text(shortage, "yellow") for shortage in made.get("replicas", ())]
    for ring in made.get("rings", ()):
        if ring.get("ring"):
            starts = str(ring.get("starts") or "nobody can tell")[:16].replace("T", " ")
            after = f" after {', '.join(ring['after'])}" if ring.get("after") else ""
            parts.append(Text(f"ring {ring['ring']}: {starts}{after}"))
    parts += [Text(_needed(need), "red" if need["needed"] > need["left"] else "") for need in made.get("quota", ())]
    for pool in made.get("pools", ()):
        parts += ["", *_planned_pool(pool)]
    if made.get("checked"):
        parts += ["", *_checked(made.get("findings", ()))]
    return Group(*parts)


def _needed(need: dict[str, Any]) -> str:
    family = "all families" if need["family"] == "cores" else need["family"]
    ring = f" for ring {need['ring']}" if need["ring"] else ""
    of = f"{need['left']} of {need['limit']} are left"
    return f"quota{ring} in {need['region']}: {need['needed']} cores of {family} are needed, {of}"


def _checked(findings: Iterable[dict[str, Any]]) -> Iterable[RenderableType]:
    if not findings:
        yield Text("everything fits: no findings", "green")
    for one in findings:
        colour = "red" if one["severity"] == "error" else "yellow"
        yield Text.assemble((f"{one['severity']}  {one['id']}", colour), f"  {one['subject']}: {one['found']}")
        yield Text(f"    {one['remedy']}", "dim")


def _planned_pool(pool: dict[str, Any]) -> Iterable[RenderableType]:
    yield Text.assemble((str(pool["pool"]), "bold"), f"  {pool['message']}")
    if window := pool.get("window"):
        yield Text(window)
    if forecast := pool.get("forecast"):
        yield Text(_foretold(forecast), "cyan")
    hosts = pool.get("hosts", ())
    if hosts:
        table = _table("", "host", "version", "sessions", "zone", "would", "because")
        for host in hosts[:MOST_LINES]:
            order = str(host.get("order", "")) if host.get("order") else ""
            cells = (host["host"], host.get("version", ""), str(host.get("sessions", 0)), host.get("zone", ""))
            table.add_row(order, *map(_text, (*cells, host["will"], host["reason"])))
        yield table
    if len(hosts) > MOST_LINES:
        yield Text(f"and {len(hosts) - MOST_LINES} more: --json has them all", "dim")


def _foretold(forecast: dict[str, Any]) -> str:
    forced = forecast["forced_sign_outs"]
    people = f"{forced['p50']:.0f} forced sign-outs, at most {forced['p95']:.0f}"
    if not forecast.get("duration"):
        return (
            f"it would not end within three weeks in {forecast['ends'].get('NotInTime', 0)} of {forecast['runs']} runs"
        )
    duration = forecast["duration"]
    return f"takes about {_span(duration['p50'])}, at most {_span(duration['p95'])}; {people}"


def roll_back(told: dict[str, Any]) -> RenderableType:
    """A roll back that was asked for: what goes back to which version, and what is left out and why."""
    lines = [f"{told['id']}: goldroll status {told['id']} --watch"]
    lines += [f"{pool} goes back to {version}" for pool, version in told.get("pools", {}).items()]
    lines += [f"{pool} is left out: {why}" for pool, why in told.get("left_out", {}).items()]
    return Text("\n".join(lines))


def freeze(answer: dict[str, Any]) -> RenderableType:
    """The freeze that stands, if there is one."""
    stands = answer.get("freeze")
    if not stands:
        return Text("nothing is frozen")
    return Text(f"frozen until {stands['until']} by {stands['by']}: {stands['reason']}")


def phase(one: dict[str, Any]) -> Text:
    """The phase in its colour."""
    name = str(one.get("phase", ""))
    return Text(name, _COLOURS.get(name, "blue"))


def _span(seconds: float) -> str:
    span = timedelta(seconds=round(seconds))
    hours, rest = divmod(int(span.total_seconds()), 3600)
    return f"{hours} h {rest // 60:02} min"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(value: Any) -> str:
    """What Azure or a person has written, never read as markup."""
    return escape(str(value))
