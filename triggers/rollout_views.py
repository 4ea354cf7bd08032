"""What the HTTP API shows of a rollout, made from the statuses that Durable keeps of its orchestrations."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from rollout.commands import Command
from rollout.freeze import Freeze
from rollout.gate_views import GateView
from rollout.gates import AskedApproval, RingPhase
from rollout.instance_ids import ROLL_BACK_IMAGE, ROLL_OUT_IMAGE, is_image_instance, pool_instance
from rollout.model import Phase
from triggers.starting import has_ended

View = dict[str, Any]

_ABOUT_RINGS = ("rings", "gates", "asked", "next", "smoke_tests", "command", "compared")
"""What a rollout tells of its rings; see rollout.status.ImageStatus and ImageResult."""

_WITHOUT_ORCHESTRATION = (Phase.SCHEDULED, Phase.WAITING_REPLICATION, Phase.BLOCKED)
"""Phases of host pools that a rollout has not started, or will not."""


_MOVES = ("phase", "pools", "rings", "asked", "command")
"""What a rollout shows of its course, as opposed to its progress in between."""


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """A rollout in short: which version, where it stands and why, when it was started and last moved (UTC)."""

    id: str
    image: str
    version: str
    phase: Phase
    message: str
    created: datetime | None
    updated: datetime | None


class PoolView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a host pool stands, at least its phase; see rollout.status.PoolStatus for all that may be told."""

    pool: str
    phase: Phase
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    next: datetime | None = None


class RolloutView(RolloutSummary, frozen=True, kw_only=True, omit_defaults=True):
    """A rollout with its host pools. `asked` is what people are asked, `command` what it has been told, `freeze` the
    freeze that stands; `revision` changes with its phases, questions and commands, and is what If-Match wants."""

    revision: str
    pools: tuple[PoolView, ...]
    rings: dict[str, RingPhase] = {}
    gates: tuple[GateView, ...] = ()
    asked: AskedApproval | None = None
    next: datetime | None = None
    smoke_tests: dict[str, str] = {}
    compared: tuple[str, ...] = ()
    command: Command | None = None
    freeze: Freeze | None = None
    started_by: str = ""
    start_reason: str = ""


class RolloutList(Struct, frozen=True):
    """A page of rollouts, the newest first within it; `next` is the token of the next page, "" after the last."""

    rollouts: tuple[RolloutSummary, ...]
    next: str


class _Given(Struct, frozen=True):
    """What a rollout was started with; see rollout.assignments.ImageRollout, of which nothing else is read."""

    started_by: str = ""
    start_reason: str = ""


def revision_of(status: Any) -> str:
    """What a command builds on: another one when a phase, a question or a command of the rollout has changed."""
    told = _as_dict(status.custom_status)
    course = [status.runtime_status.name, *(told.get(key) for key in _MOVES)]
    return hashlib.sha256(msgspec.json.encode(course, order="deterministic")).hexdigest()[:16]


def may_follow(if_match: str, revision: str) -> bool:
    """A request with this If-Match may change what has this revision: it names it, or anything, or nothing."""
    named = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    return not if_match.strip() or "*" in named or revision in named


def is_rollout(status: Any) -> bool:
    """The status is of a rollout or a roll back as a whole."""
    return status.name in (ROLL_OUT_IMAGE, ROLL_BACK_IMAGE) and is_image_instance(status.instance_id or "")


def created_at(status: Any) -> datetime:
    """When a rollout was started, for sorting."""
    created: datetime = status.created_time
    return created


def pools_of(status: Any) -> dict[str, str]:
    """The host pools that have an orchestration of their own, as far as the rollout has told: name -> instance id."""
    pools = _as_dict(_as_dict(status.custom_status).get("pools"))
    return {
        name: pool_instance(status.instance_id, name)
        for name, phase in pools.items()
        if phase not in _WITHOUT_ORCHESTRATION
    }


def pools_told(status: Any) -> tuple[str, ...]:
    """The names of a rollout's host pools, as far as it has told them."""
    return tuple(_as_dict(_as_dict(status.custom_status).get("pools")))


def summary_of(status: Any) -> View:
    """A rollout in short: which version, its phase and message, when it was started and last moved."""
    told = _as_dict(status.output) or _as_dict(status.custom_status)
    died = has_ended(status) and not _as_dict(status.output)
    return {
        "id": status.instance_id,
        "image": _as_dict(status.custom_status).get("image", told.get("image", "")),
        "version": _as_dict(status.custom_status).get("version", told.get("version", "")),
        "phase": Phase.FAILED if died else told.get("phase", Phase.SCHEDULED),
        "message": _why_it_died(status) if died else told.get("message", ""),
        "created": _time(status.created_time),
        "updated": _time(status.last_updated_time),
    }


def view_of(status: Any, pools: dict[str, Any]) -> View:
    """A rollout with its host pools: `pools` maps each to the status of its own orchestration, which may be empty."""
    results = {pool.get("pool"): pool for pool in _as_dict(status.output).get("pools", [])}
    phases = _as_dict(_as_dict(status.custom_status).get("pools"))
    shown = _as_dict(status.custom_status) | _as_dict(status.output)
    given = _given(status.input_)
    about_rings: View = {key: shown[key] for key in _ABOUT_RINGS if key in shown}
    return (
        summary_of(status)
        | about_rings
        | {key: value for key, value in msgspec.to_builtins(given).items() if value}
        | {
            "revision": revision_of(status),
            "pools": [results.get(name) or _pool_view(name, phase, pools.get(name)) for name, phase in phases.items()],
        }
    )


def _pool_view(name: str, phase: str, status: Any) -> View:
    if not status:
        return {"pool": name, "phase": phase}
    if has_ended(status) and not _as_dict(status.output):
        return {"pool": name, "phase": Phase.FAILED, "message": _why_it_died(status)}
    told = _as_dict(status.output) or _as_dict(status.custom_status)
    return {"pool": name, "phase": phase} | told


def _given(input_: Any) -> _Given:
    try:
        value = msgspec.json.decode(input_) if isinstance(input_, str) else input_
        return msgspec.convert(value, _Given)
    except msgspec.MsgspecError:
        return _Given()


def _why_it_died(status: Any) -> str:
    lines = str(status.output or "").strip().splitlines()
    return lines[0][:300] if lines else f"the orchestration was {status.runtime_status.name.lower()}"


def _as_dict(value: Any) -> View:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> str | None:
    return value.isoformat() if value is not None else None
