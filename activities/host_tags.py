"""The tags that say which rollout holds a VM. They are what a restarted rollout, or a person, finds its hosts by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG
from rollout.orders import Order

OURS = "goldroll"
"""Value of the exclusion tag where a rollout has set it: autoscale looks at the name only, and the value tells us
whether it is ours to remove."""


def held(order: Order, *, excluded: bool) -> dict[str, str]:
    """The tags to set: the rollout holds the VM, and autoscale leaves it alone, if it is not `excluded` already."""
    exclusion = {order.exclusion_tag: OURS} if order.exclusion_tag and not excluded else {}
    return {ROLLOUT_TAG: order.rollout_id} | exclusion


def held_by_any(tags: Mapping[str, str], order: Order) -> dict[str, str]:
    """Those of a VM's tags to remove when nobody holds it; an exclusion stays where somebody else has set it."""
    return {
        name: value
        for name, value in tags.items()
        if name in (ROLLOUT_TAG, RETAINED_TAG) or (name.lower() == order.exclusion_tag.lower() and value == OURS)
    }


def quarantined(code: str) -> dict[str, str]:
    """The tag to set on a VM that is kept for investigation."""
    return {QUARANTINE_TAG: code[:256]}


def retained_until(moment: datetime) -> dict[str, str]:
    """The tag to set on a VM that is kept for a quick way back."""
    return {RETAINED_TAG: moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
