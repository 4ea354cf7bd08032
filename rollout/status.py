"""What is shown of a rollout while it runs and when it has ended: small, because Durable keeps 16 kB of it at most."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from rollout.commands import Command
from rollout.gate_views import GateView
from rollout.gates import AskedApproval, RingPhase
from rollout.model import HostProgress, Phase, PoolCounts, RolloutState, Stage, short_version

LONGEST_MESSAGE = 1000
MOST_HOSTS_LISTED = 20
LONGEST_STATUS = 7_500
"""Characters of a pool's status: Durable keeps 16 kB and counts two bytes for each."""


class PoolStatus(Struct, frozen=True, omit_defaults=True):
    """Where a host pool's rollout stands: phase, why, since when, and when it looks again (None: it has ended).

    `started` is when the pool's turn came, `previous` the id of the version to go back to, `instead_of` that of the
    version that a roll back takes away. `in_hand` counts hosts by what is being done with them; `quarantined` and
    `skipped` list up to 20 with the reason. `draining` maps deadlines, as ISO 8601, to the names of the hosts whose
    people are to have left by then, with spaces between them; "" to those on which nobody has a deadline. The soonest
    ones, as many as there is room for. `seen` is when the pool was read last, `idle` how many seconds the rollout has
    been at work since a host came further, `blocked` since when Azure makes no new host. `carried_out` is the number of
    the last command that was carried out once.
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
    instead_of: str = ""
    desired: int = 0
    wave: int = 0
    in_hand: dict[str, int] = {}
    quarantined: dict[str, str] = {}
    skipped: dict[str, str] = {}
    forced_sign_outs: int = 0
    disconnected_sign_outs: int = 0
    signed_out_twice: int = 0
    counts: PoolCounts = PoolCounts()
    carried_out: int = 0
    draining: dict[str, str] = {}
    seen: datetime | None = None
    idle: int = 0
    blocked: datetime | None = None


def pool_status(pool: str, state: RolloutState, next_look: datetime | None = None) -> PoolStatus:
    """The status of the rollout of the pool of this name."""
    status = PoolStatus(
        pool=pool,
        version=short_version(state.target),
        phase=state.phase,
        reason=state.reason,
        message=state.message[:LONGEST_MESSAGE],
        since=state.since,
        next=next_look,
        started=state.started_at,
        previous=state.previous,
        instead_of=state.instead_of,
        desired=max(0, state.desired),
        wave=state.wave,
        in_hand=dict(sorted(Counter(str(host.stage) for host in state.in_hand.values()).items())),
        quarantined=dict(list(state.quarantined.items())[:MOST_HOSTS_LISTED]),
        skipped=dict(list(state.skipped.items())[:MOST_HOSTS_LISTED]),
        forced_sign_outs=state.forced_sign_outs,
        disconnected_sign_outs=state.disconnected_sign_outs,
        # More sign-outs than people who were signed out: a promise is broken, and it is better seen than not.
        signed_out_twice=max(0, state.forced_sign_outs - len(state.signed_out)),
        counts=state.counts,
        carried_out=state.carried_out,
        seen=state.seen_at,
        idle=state.idle,
        blocked=state.blocked.since if state.blocked is not None else None,
    )
    return structs.replace(status, draining=_draining(state, LONGEST_STATUS - len(msgspec.json.encode(status))))


def _draining(state: RolloutState, room: int) -> dict[str, str]:
    """The draining hosts by their deadlines, the soonest first, in so many characters of JSON."""
    hosts = [(_deadline(host), name) for name, host in state.in_hand.items() if host.stage is Stage.DRAINING]
    found: dict[str, str] = {}
    for deadline, name in sorted(hosts):
        room -= len(name) + 1 if deadline in found else len(deadline) + len(name) + 6
        if room < len('"draining":{},'):
            break
        found[deadline] = f"{found[deadline]} {name}" if deadline in found else name
    return found


def _deadline(host: HostProgress) -> str:
    """By when the last of a host's people is to have left, in a form that sorts by time; "" when nobody has one."""
    deadlines = [session.deadline for session in host.sessions.values() if host.asked]
    return f"{max(deadlines).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if deadlines else ""


class ImageStatus(Struct, frozen=True, omit_defaults=True):
    """Where a rollout as a whole stands. `pools` maps each pool's name to its phase as far as the whole knows it.

    `rings` maps each ring to its phase, in their order; `gates` are those of the ring whose turn it is; `asked` is what
    people are asked; `next` when something may change without anybody's doing; `command` what an operator has told it.
    """

    image: str
    version: str
    phase: Phase
    message: str
    pools: dict[str, Phase]
    rings: dict[str, RingPhase] = {}
    gates: tuple[GateView, ...] = ()
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
