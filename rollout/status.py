"""What is shown of a rollout while it runs and when it has ended: small, because Durable keeps 16 kB of it at most."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from msgspec import Struct

from rollout.commands import Command
from rollout.gates import AskedApproval, RingPhase
from rollout.model import Phase, RolloutState, short_version

LONGEST_MESSAGE = 1000
MOST_HOSTS_LISTED = 20


class PoolStatus(Struct, frozen=True, omit_defaults=True):
    """Where a host pool's rollout stands: phase, why, since when, and when it looks again (None: it has ended).

    `started` is when the pool's turn came, `previous` the id of the version to go back to. `in_hand` counts hosts by
    what is being done with them; `quarantined` and `skipped` list up to 20 with the reason.
    """

    pool: str
    version: str
    phase: Phase
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    next: datetime | None = None
    started: datetime | None = None
    previous: str = ""
    desired: int = 0
    wave: int = 0
    in_hand: dict[str, int] = {}
    quarantined: dict[str, str] = {}
    skipped: dict[str, str] = {}
    forced_sign_outs: int = 0
    disconnected_sign_outs: int = 0


def pool_status(pool: str, state: RolloutState, next_look: datetime | None = None) -> PoolStatus:
    """The status of the rollout of the pool of this name."""
    return PoolStatus(
        pool=pool,
        version=short_version(state.target),
        phase=state.phase,
        reason=state.reason,
        message=state.message[:LONGEST_MESSAGE],
        since=state.since,
        next=next_look,
        started=state.started_at,
        previous=state.previous,
        desired=max(0, state.desired),
        wave=state.wave,
        in_hand=dict(sorted(Counter(str(host.stage) for host in state.in_hand.values()).items())),
        quarantined=dict(list(state.quarantined.items())[:MOST_HOSTS_LISTED]),
        skipped=dict(list(state.skipped.items())[:MOST_HOSTS_LISTED]),
        forced_sign_outs=state.forced_sign_outs,
        disconnected_sign_outs=state.disconnected_sign_outs,
    )


class ImageStatus(Struct, frozen=True, omit_defaults=True):
    """Where a rollout as a whole stands. `pools` maps each pool's name to its phase as far as the whole knows it.

    `rings` maps each ring to its phase, in their order; `asked` is what people are asked; `next` when something may
    change without anybody's doing; `command` what an operator has told it.
    """

    image: str
    version: str
    phase: Phase
    message: str
    pools: dict[str, Phase]
    rings: dict[str, RingPhase] = {}
    asked: AskedApproval | None = None
    next: datetime | None = None
    command: Command | None = None


class ImageResult(Struct, frozen=True, omit_defaults=True):
    """How a rollout ended, as a whole and for each pool.

    `rings` maps each ring to its phase, in their order; `smoke_tests` each pool that had one to where it ran and what
    came of it; `compared` says how it went against its plan, where it was started with one.
    """

    image: str
    version: str
    phase: Phase
    message: str
    pools: tuple[PoolStatus, ...]
    rings: dict[str, RingPhase] = {}
    smoke_tests: dict[str, str] = {}
    compared: tuple[str, ...] = ()
