"""Policy files for the scenarios, in the real format: one set of demo defaults, and what a scenario changes in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from simulator import ids
from simulator.builders import SUBSCRIPTION

REGION = "uksouth"
ZONE = "Europe/London"
"""In November London's clocks show UTC, so the deadlines that people read and the times of the story agree."""


def pool_id(name: str) -> str:
    """The resource id of the host pool that the scenarios call `name`."""
    return ids.pool_id(SUBSCRIPTION, f"rg-{name}", f"hp-{name}")


def definition_id(name: str) -> str:
    """The resource id of the image definition that the scenarios call `name`."""
    return f"{ids.gallery_id(SUBSCRIPTION, 'rg-images', f'gal_{name}')}/images/win11-{name}"


def host_prefix(name: str) -> str:
    """What the host names of a pool begin with: device names must differ between pools of one directory."""
    return "avd" if name == "office" else f"avd-{name}"


def policy_text(
    *pools: str,
    image: str = "office",
    replication: Mapping[str, Any] | None = None,
    retention: Mapping[str, Any] | None = None,
    rings: Sequence[Mapping[str, Any]] = (),
    latest: str = "",
    **changes: Any,
) -> str:
    """A policy file (YAML) that rolls `image` over these pools, ring after ring if there are `rings`.

    `changes` are keys of a pool as the file has them; a mapping changes single keys of that section, anything else
    replaces the default. Durations are ISO 8601.
    """
    defaults = _merged(_DEFAULTS, changes)
    described_image: dict[str, Any] = {"name": image, "definition_id": definition_id(image)}
    about_image = {"replication": replication, "retention": retention, "latest": latest, "rings": list(rings)}
    described_image |= {key: value for key, value in about_image.items() if value}
    document = {
        "images": [described_image],
        "defaults": defaults,
        "host_pools": [_pool(name, image) for name in pools],
    }
    return yaml.safe_dump(document, sort_keys=False, width=120)


_DEFAULTS: dict[str, Any] = {
    "zone": ZONE,
    "surge": "25%",
    "max_wave": "25%",
    "reserve": 15,
    "canary": {"hosts": 1, "bake": "PT30M"},
    "drain": {"grace": "PT2H", "reminders": ["PT60M", "PT15M", "PT5M"], "disconnected_grace": "PT15M"},
    "session_host": {"join": {"type": "entra"}},
}
"""A grace period of two hours and waves of a quarter of the pool make one working day of a rollout of twelve hosts."""


def _pool(name: str, image: str) -> dict[str, Any]:
    network = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-{name}/providers/Microsoft.Network/virtualNetworks"
    return {
        "name": name,
        "host_pool_id": pool_id(name),
        "image": image,
        "session_host": {
            "name_prefix": host_prefix(name),
            "subnet_id": f"{network}/vnet-{name}/subnets/session-hosts",
        },
    }


def _merged(defaults: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in changes.items():
        both_sections = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both_sections else value
    return merged
