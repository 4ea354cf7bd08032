"""The tags that say which rollout holds a VM. They are what a restarted rollout, or a person, finds its hosts by."""

from __future__ import annotations

from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG
from rollout.orders import Order

OURS = "goldroll"
"""Value of the exclusion tag where a rollout has set it: autoscale looks at the name only, and the value tells us
whether it is ours to remove."""


def held(tags: dict[str, str], order: Order) -> dict[str, str]:
    """The rollout holds the VM, and autoscale leaves it alone meanwhile."""
    exclusion = {} if not order.exclusion_tag or _has(tags, order.exclusion_tag) else {order.exclusion_tag: OURS}
    return tags | {ROLLOUT_TAG: order.rollout_id} | exclusion


def given_back(tags: dict[str, str], order: Order) -> dict[str, str]:
    """Nobody holds the VM; an exclusion from autoscale stays where somebody else has set it."""
    return {
        name: value
        for name, value in tags.items()
        if name != ROLLOUT_TAG and not (name.lower() == order.exclusion_tag.lower() and value == OURS)
    }


def quarantined(tags: dict[str, str], code: str) -> dict[str, str]:
    """The VM is kept for investigation. Autoscale still leaves it alone: it would put it back into service."""
    kept = {name: value for name, value in tags.items() if name != ROLLOUT_TAG}
    return kept | {QUARANTINE_TAG: code[:256]}


def _has(tags: dict[str, str], name: str) -> bool:
    # Azure keeps the case of tag names and ignores it.
    return any(other.lower() == name.lower() for other in tags)
