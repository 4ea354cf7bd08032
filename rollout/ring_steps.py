"""What a rollout as a whole can set going, and what it is told when that has ended.

No two steps of one `key` run at the same time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from rollout.assignments import ReplicaOrder
from rollout.freeze import Freeze
from rollout.model import ImageVersion
from rollout.policy import PoolPolicy, SmokeTestGate
from rollout.smoke_test import SmokeRun
from rollout.steps import StepError
from rollout.verdicts import Finding


class ReadRegions(Struct, frozen=True):
    """Find out in which regions a host pool's hosts are."""

    pool: str
    pool_id: str

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return f"regions:{self.pool}"


class ReadVersion(Struct, frozen=True):
    """Read the image version and how far it has been replicated."""

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return "version"


class RollPool(Struct, frozen=True):
    """Roll the version out to a host pool; takes hours."""

    policy: PoolPolicy

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return f"pool:{self.policy.name}"


class JudgeHosts(Struct, frozen=True):
    """Look at a pool's hosts on the new version: how many run, which are unhealthy."""

    policy: PoolPolicy

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return f"health:{self.policy.name}"


class SmokeTest(Struct, frozen=True):
    """Run the smoke test on a host of a pool, or ask how it goes. `name` tells this run from every other."""

    policy: PoolPolicy
    gate: SmokeTestGate
    name: str
    run: SmokeRun | None = None

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return f"smoke:{self.policy.name}"


class QueryLogs(Struct, frozen=True):
    """Ask a Log Analytics workspace a query about the time from `start` to `end`. `name` is the ring's for it."""

    ring: str
    name: str
    workspace_id: str
    query: str
    start: datetime
    end: datetime

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return f"query:{self.ring}:{self.name}"


class MarkVersion(Struct, frozen=True):
    """Set or clear excludeFromLatest, and write the verdict on the version if there is one."""

    kind: Literal["hold_back", "promote", "refuse"]
    excluded: bool
    finding: Finding | None = None

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return "mark"


class SetReplicas(Struct, frozen=True):
    """Change how many replicas the version has in some regions: see supply.py."""

    order: ReplicaOrder
    purpose: Literal["raise", "put_back"]

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return "replicas"


class AddRegions(Struct, frozen=True):
    """Copy the version to further regions: see geography.py."""

    order: ReplicaOrder

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return "add_regions"


class ReadFreeze(Struct, frozen=True):
    """Ask whether there is a freeze: see freezing.py."""

    @property
    def key(self) -> str:
        """What tells it from other steps."""
        return "freeze"


RingStep = (
    ReadRegions
    | ReadVersion
    | RollPool
    | JudgeHosts
    | SmokeTest
    | QueryLogs
    | MarkVersion
    | SetReplicas
    | AddRegions
    | ReadFreeze
)


GateStep = JudgeHosts | SmokeTest | QueryLogs
"""Steps that find out whether a gate holds."""


class FreezeLook(Struct, frozen=True):
    """Whether there was a freeze when it was asked for."""

    at: datetime
    freeze: Freeze | None = None


class VersionLook(Struct, frozen=True):
    """The image version as it was read at a moment: None when Azure has no such version. `error`: it was not read."""

    at: datetime
    version: ImageVersion | None = None
    error: str = ""


def error_of(answer: Any) -> StepError | None:
    """The error that an activity answered with, or died of; None when it went well."""
    if isinstance(answer, dict) and "error" not in answer:
        return None
    if isinstance(answer, dict):
        try:
            return msgspec.convert(answer["error"], StepError)
        except msgspec.ValidationError:
            return StepError("Unexpected", "an activity gave an answer that cannot be read")
    # An activity that died leaves its exception, with a stack of kilobytes.
    return StepError("ActivityDied", first_line(answer))


def first_line(result: Any) -> str:
    """The first line of whatever a task left, cut to 300 characters."""
    return (str(result).strip().splitlines() or ["no result"])[0][:300]
