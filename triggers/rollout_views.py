"""What the HTTP API shows of a rollout, made from the statuses that Durable keeps of its orchestrations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rollout.instance_ids import is_image_instance, pool_instance
from rollout.model import Phase
from triggers.starting import ORCHESTRATION, has_ended

View = dict[str, Any]

_ABOUT_RINGS = ("rings", "gates", "asked", "next", "smoke_tests", "compared", "command")
"""What a rollout tells of its rings; see rollout.status.ImageStatus and ImageResult."""

_WITHOUT_ORCHESTRATION = (Phase.SCHEDULED, Phase.WAITING_REPLICATION, Phase.BLOCKED)
"""Phases of host pools that a rollout has not started, or will not."""


def is_rollout(status: Any) -> bool:
    """The status is of a rollout or a roll back as a whole."""
    return status.name in (ORCHESTRATION, "roll_back_image") and is_image_instance(status.instance_id or "")


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
    about_rings: View = {key: shown[key] for key in _ABOUT_RINGS if key in shown}
    return (
        summary_of(status)
        | about_rings
        | {
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


def _why_it_died(status: Any) -> str:
    lines = str(status.output or "").strip().splitlines()
    return lines[0][:300] if lines else f"the orchestration was {status.runtime_status.name.lower()}"


def _as_dict(value: Any) -> View:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> str | None:
    return value.isoformat() if value is not None else None
