"""How many calls Azure still takes: read from every answer, so that the app waits before it is told to.

Resource Manager has a bucket for each subscription and kind of call, Compute one for each of its policies; both say in
their answers how many calls are left. A call that would go into the last tenth of a bucket is not sent. Nobody sleeps
for it: the step is put off, with the time after which enough calls will have come back.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from adapters.errors import StepFailed
from rollout.steps import DEFERRED, StepError

KEPT_FREE = 0.1
"""Share of each bucket that is left alone, for calls that are on their way in other threads and workers."""

REST_SECONDS = 30.0
"""How long a step waits that was put off: by then Resource Manager's buckets are full again, and looking again sooner
would cost a turn's lists each time."""


_log = logging.getLogger("goldroll.adapters")


class Bucket(NamedTuple):
    """How many calls it holds and how many come back each second (Microsoft's documented figures)."""

    capacity: float
    refill: float


ARM_BUCKETS = {"reads": Bucket(250, 25), "writes": Bucket(200, 10), "deletes": Bucket(200, 10)}
"""For each subscription and identity. There are headers for all identities together (`global`) and the tenant too."""

OF_ALL_IDENTITIES = 15
"""All identities together may make so many times as many calls as one."""

COMPUTE_BUCKETS = {
    "PutVM": Bucket(1500, 500 / 60),
    "UpdateVM": Bucket(1500, 500 / 60),
    "DeleteVM": Bucket(1500, 500 / 60),
    "LowCostGet": Bucket(24000, 8000 / 60),
    "HighCostGet": Bucket(900, 300 / 60),
}

_ARM_HEADER = re.compile(r"^x-ms-ratelimit-remaining-(subscription|subscription-global|tenant)-(reads|writes|deletes)$")
_COMPUTE_HEADER = "x-ms-ratelimit-remaining-resource"
_MACHINES = "/providers/microsoft.compute/virtualmachines"


class CallBudget:
    """What the answers of one connection have said about each bucket. `clock` tells seconds that only go forward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing is known before the first answer: every call is sent."""
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, method: str, url: str) -> None:
        """Count a call that is about to be sent. Raises StepFailed with code Deferred when it had better wait."""
        subscription, kinds = _subscription(url), (*_arm_kinds(method), *_compute_kinds(method, url))
        with self._lock:
            for kind in kinds:
                if self._is_short(subscription, kind):
                    why = f"Azure takes few more {kind.rsplit('/', 1)[-1]} calls for now"
                    _log.info("throttled: a call is put off: %s", why)
                    raise StepFailed(StepError(DEFERRED, why, retry_after=REST_SECONDS))
            for kind in kinds:
                if (subscription, kind) in self._levels:
                    self._levels[subscription, kind] = (self._level(subscription, kind) - 1, self._clock())

    def learn(self, url: str, headers: Mapping[str, str]) -> None:
        """Take in what an answer says is left."""
        subscription, now = _subscription(url), self._clock()
        with self._lock:
            for kind, left in _told(headers):
                self._levels[subscription, kind] = (left, now)

    def _is_short(self, subscription: str, kind: str) -> bool:
        if (subscription, kind) not in self._levels:
            return False
        return self._level(subscription, kind) - 1 < KEPT_FREE * _bucket(kind).capacity

    def _level(self, subscription: str, kind: str) -> float:
        left, since = self._levels[subscription, kind]
        bucket = _bucket(kind)
        return min(bucket.capacity, left + bucket.refill * (self._clock() - since))


def _arm_kinds(method: str) -> tuple[str, ...]:
    verb = "deletes" if method == "DELETE" else "reads" if method in ("GET", "HEAD") else "writes"
    return tuple(f"{scope}/{verb}" for scope in ("subscription", "subscription-global", "tenant"))


def _compute_kinds(method: str, url: str) -> tuple[str, ...]:
    """The policy of Compute that a call about VMs counts against."""
    path = urlsplit(url).path.lower().rstrip("/")
    before, found, after = path.partition(_MACHINES)
    if not found or not before:
        return ()
    if method == "GET":
        return ("compute/LowCostGet" if after else "compute/HighCostGet",)
    if method == "DELETE" or after.endswith("/deallocate"):
        return ("compute/DeleteVM",)
    return ("compute/PutVM" if method == "PUT" and after.count("/") == 1 else "compute/UpdateVM",)


def _told(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, value in headers.items():
        if match := _ARM_HEADER.match(name.lower()):
            if value.strip().isdigit():
                yield f"{match[1]}/{match[2]}", float(value)
        elif name.lower() == _COMPUTE_HEADER:
            # "Microsoft.Compute/PutVM;1499,Microsoft.Compute/..."; a policy that is not known says nothing to us.
            for part in value.split(","):
                policy, _, left = part.strip().rpartition(";")
                policy = policy.rpartition("/")[2]
                if policy in COMPUTE_BUCKETS and left.isdigit():
                    yield f"compute/{policy}", float(left)


def _bucket(kind: str) -> Bucket:
    scope, _, name = kind.partition("/")
    if scope == "compute":
        return COMPUTE_BUCKETS[name]
    capacity, refill = ARM_BUCKETS[name]
    return (
        Bucket(capacity * OF_ALL_IDENTITIES, refill * OF_ALL_IDENTITIES)
        if scope.endswith("global")
        else Bucket(capacity, refill)
    )


def _subscription(url: str) -> str:
    parts = urlsplit(url).path.lower().split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "subscriptions" else ""
