"""Presets of the policy file: sets of values with one name, weaker than any key that the file says.

policy_file.py merges them into the pools that name one; nothing else looks at a preset.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

PresetName = Literal["", "gentle", "overnight", "fast", "in_place_minimal"]
"""What the key `preset` may say; "" is no preset."""


class Preset(NamedTuple):
    """`purpose` is one sentence that says what it is for; `values` are keys of a host pool, as they stand in YAML."""

    purpose: str
    values: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "gentle": Preset(
            "Nobody is signed out if a day and a half is enough for people to leave by themselves.",
            {"finish_within": "PT36H", "surge": "5%", "drain": {"disconnected_grace": "PT2H"}},
        ),
        "overnight": Preset(
            "People leave by themselves in the evening, and the pool is new before the next morning.",
            {"finish_by": "06:00", "surge": "5%", "max_unavailable": "5%"},
        ),
        "fast": Preset(
            "An urgent version: nothing waits, people are asked to leave as soon as there is room.",
            {
                "canary": {"bake": "PT10M"},
                "surge": "10%",
                "max_unavailable": "10%",
                "max_wave": "50%",
                "drain": {"grace": "PT1H"},
            },
        ),
        "in_place_minimal": Preset(
            "No extra VM, and no more than one host missing at a time.",
            {"strategy": "in_place", "max_unavailable": 1, "max_wave": 1},
        ),
    }
)


def preset_values(name: str) -> dict[str, Any]:
    """The preset's keys of a host pool, one below the other as in YAML; {} for "" and for a name that is no preset.

    The caller may change what it gets.
    """
    preset = PRESETS.get(name)
    return copy.deepcopy(dict(preset.values)) if preset else {}
