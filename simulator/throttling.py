"""Azure's token buckets: how many requests a subscription may make before it is told to wait."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from simulator.errors import AzureError
from simulator.faults import compute_throttled

Bucket = tuple[float, float]
"""(capacity, refill per second)."""

ARM_BUCKETS: dict[str, Bucket] = {"reads": (250, 25), "writes": (200, 10), "deletes": (200, 10)}

COMPUTE_PER_SUBSCRIPTION: dict[str, Bucket] = {
    "PutVM": (1500, 500 / 60),
    "UpdateVM": (1500, 500 / 60),
    "DeleteVM": (1500, 500 / 60),
    "LowCostGet": (24000, 8000 / 60),
    "HighCostGet": (900, 300 / 60),
    "GetOperation": (15000, 5000 / 60),
}

COMPUTE_PER_RESOURCE: dict[str, Bucket] = {
    "PutVM": (12, 4 / 60),
    "UpdateVM": (12, 4 / 60),
    "DeleteVM": (12, 4 / 60),
    "LowCostGet": (36, 12 / 60),
    "GetOperation": (45, 15 / 60),
}
"""Documented figures (facts 4.7)."""

_MACHINE = "/providers/microsoft.compute/"


class TokenBuckets:
    """One set of buckets for one caller; subscriptions and regions are not told apart.

    `lowest` is the least that each bucket has held, `taken` how many requests it has let through.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._levels: dict[str, tuple[float, datetime]] = {}
        self.lowest: dict[str, float] = {}
        self.taken: Counter[str] = Counter()

    def take(self, method: str, path: str, policy: str) -> None:
        """Take one token for the request from each bucket it counts against; a 429 when one is empty."""
        verb = _verb(method)
        wait = self._take(verb, ARM_BUCKETS[verb])
        if wait:
            raise AzureError(
                429,
                "SubscriptionRequestsThrottled",
                f"Number of '{verb}' requests for the subscription exceeded the limit. Please try again after '{wait}' "
                "seconds.",
                retry_after=wait,
            )
        lowered = path.lower()
        if _MACHINE not in lowered:
            return
        wait = self._take(policy, COMPUTE_PER_SUBSCRIPTION[policy])
        if not wait and policy in COMPUTE_PER_RESOURCE:
            wait = self._take(f"{policy} {_resource(lowered)}", COMPUTE_PER_RESOURCE[policy])
        if wait:
            raise compute_throttled(policy, wait)

    def remaining(self, method: str, path: str, policy: str) -> dict[str, str]:
        """The headers that tell how many requests of this kind are left: Resource Manager's, and Compute's own."""
        verb = _verb(method)
        headers = {f"x-ms-ratelimit-remaining-subscription-{verb}": str(self._left(verb, ARM_BUCKETS[verb]))}
        if _MACHINE in path.lower():
            left = self._left(policy, COMPUTE_PER_SUBSCRIPTION[policy])
            headers["x-ms-ratelimit-remaining-resource"] = f"Microsoft.Compute/{policy};{left}"
        return headers

    def _left(self, name: str, bucket: Bucket) -> int:
        level, since = self._levels.get(name, (bucket[0], self._now()))
        return int(min(bucket[0], level + bucket[1] * (self._now() - since).total_seconds()))

    def _take(self, name: str, bucket: Bucket) -> int:
        """Take one token; the seconds to wait for the next one when there is none."""
        capacity, refill = bucket
        now = self._now()
        level, since = self._levels.get(name, (capacity, now))
        level = min(capacity, level + refill * (now - since).total_seconds())
        if level < 1:
            self._levels[name] = (level, now)
            return math.ceil((1 - level) / refill)
        self._levels[name] = (level - 1, now)
        self.lowest[name] = min(level - 1, self.lowest.get(name, capacity))
        self.taken[name] += 1
        return 0


def _verb(method: str) -> str:
    if method == "DELETE":
        return "deletes"
    return "reads" if method == "GET" else "writes"


def _resource(path: str) -> str:
    """The machine (or whatever) that a request is about: power operations and extensions count on their machine."""
    parts = path.split("/")
    return "/".join(parts[:9])
