"""The lease of a host pool: one rollout at a time works on a pool, a newer version takes over, others wait their turn.

Pure data and functions; the `host_pool` entity stores the lease and calls one of them at a time. A rollout asks again
and again until it is granted or refused, and checks in at every turn while it holds the pool.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Literal, TypeVar

from msgspec import Struct, structs

from rollout.commands import ONCE, Command, Refused, obey
from rollout.model import definition_of, short_version, version_number

T = TypeVar("T")

EXPIRES_AFTER = timedelta(hours=1)
"""Not renewed for so long, a holder counts as dead and a waiting rollout as gone. Both ask every few minutes."""


MOST_COMMANDS = 20

MOST_QUEUED, MOST_PASSED_ON = 200, 20
"""Commands that are carried out once: where so many wait for one rollout no more are taken in, and so many are passed
on at a time."""

ROOM_IN_QUEUE = MOST_QUEUED + 100
"""So many are kept: what was taken in at the same moment must find its place."""

ROLL_BACK = "roll_back"
"""How a roll back asks for the pool: for an older version than others have, and before all others that wait."""


class Waiter(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A rollout that waits for the pool. With `supersedes` it asks a holder of an older version to finish early."""

    rollout: str
    target: str
    seen_at: datetime
    supersedes: bool = False


class Lease(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who holds the pool for which version (both "" when it is free), and who waits, the next one first.

    `fence` grows by one whenever the pool changes hands. `last` is the rollout that was given the pool last, whether it
    still holds it or not, and `last_target` its version. `last_number` is the highest number that a rollout of the pool
    has used in a name: when a host that was not finished is removed, only its stale Entra device knows that number, and
    the next rollout must not give it out again. `commands` are what operators have told rollouts of this pool,
    by their ids, also before they hold it; of that, `queued` is what they are to carry out once, and `numbered` the
    number of the last one of these. A stored lease of another shape does not decode: nobody may conclude from it that
    the pool is free.
    """

    holder: str = ""
    target: str = ""
    renewed_at: datetime | None = None
    waiting: tuple[Waiter, ...] = ()
    fence: int = 0
    commands: dict[str, Command] = {}
    queued: dict[str, tuple[Command, ...]] = {}
    numbered: int = 0
    last: str = ""
    last_target: str = ""
    last_number: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a holder of whom it is not known when he was last seen."""
        if bool(self.holder) is (self.renewed_at is None):
            raise ValueError("a lease has a holder and a time, or neither")


class LeaseAnswer(Struct, frozen=True, omit_defaults=True):
    """What a rollout is told. `message` is one sentence; `superseded_by` the rollout of a newer version, if any.

    `command` is what an operator has told it: pause or abort; `queued` are the next commands that it carries out once,
    in their order: they come again until it says that it has. `last_number` is that of the lease, with granted.

    granted: it holds the pool, under number `fence`. waiting: ask again. refused: it will never get the pool.
    lost: it does not hold the pool (any more) and must not touch it.
    """

    verdict: Literal["granted", "waiting", "refused", "lost"]
    message: str
    superseded_by: str = ""
    fence: int = 0
    command: Command | None = None
    last_number: int = 0
    queued: tuple[Command, ...] = ()


def acquire(lease: Lease, rollout: str, target: str, on_newer: str, now: datetime) -> tuple[Lease, LeaseAnswer]:
    """Ask for the pool, for image version `target`. The holder may ask again: that renews the lease and no more.

    A rollout of a newer version of the same image definition takes over with `on_newer` "supersede": the holder learns
    of it when it checks in, and a rollout of a version in between that waits loses its place. With "wait", as with any
    other word, and for other definitions, it waits for its turn; a roll back waits before all others. An older version
    than the holder's or than one ahead in the queue, or the same version under another rollout, is refused.
    """
    lease = _without_the_dead(lease, rollout, now)
    if lease.holder == rollout:
        return check_in(lease, rollout, now)
    if on_newer == ROLL_BACK:
        first = Waiter(rollout, target, now)
        others = _without(lease, rollout).waiting
        return _take(structs.replace(lease, waiting=(first, *others)), first)
    if rival := _rival(lease, rollout, target):
        return _without(lease, rollout), _refusal(target, *rival)
    waiter = Waiter(rollout, target, now, supersedes=on_newer == "supersede")
    return _take(_enqueue(lease, waiter), waiter)


def check_in(
    lease: Lease, rollout: str, now: datetime, last_number: int = 0, carried_out: int = 0
) -> tuple[Lease, LeaseAnswer]:
    """Renew the lease; the answer names the rollout that supersedes this one, or says that the lease is lost.

    `last_number` is the highest number that the holder has used in a name by now, 0 for none; `carried_out` that of the
    last command of those that are carried out once: up to it they are over, and forgotten.
    A holder that comes back late keeps the pool if nobody else has taken it meanwhile.
    """
    lease = _without_the_dead(lease, rollout, now)
    if lease.holder != rollout:
        return lease, _lost(lease)
    renewed_at, last_number = max(now, lease.renewed_at or now), last_number or lease.last_number
    queued = tuple(one for one in lease.queued.get(rollout, ()) if one.number > carried_out)
    lease = structs.replace(
        lease,
        renewed_at=renewed_at,
        last_number=last_number,
        queued=_but(lease.queued, rollout) | ({rollout: queued} if queued else {}),
        numbered=max(lease.numbered, carried_out),
    )
    return lease, _granted(lease)


def release(lease: Lease, rollout: str, last_number: int = 0) -> tuple[Lease, LeaseAnswer]:
    """Give the pool, or the place among those who wait, back; from anybody else it changes nothing.

    `last_number` as in `check_in`.
    """
    lease = _without(lease, rollout)
    lease = structs.replace(lease, commands=_but(lease.commands, rollout), queued=_but(lease.queued, rollout))
    if lease.holder != rollout:
        return lease, _lost(lease)
    last_number = last_number or lease.last_number
    free = structs.replace(lease, holder="", target="", renewed_at=None, last_number=last_number)
    return free, LeaseAnswer("lost", "the host pool has been given back", fence=free.fence)


def command(lease: Lease, rollout: str, given: Command, now: datetime) -> tuple[Lease, LeaseAnswer]:
    """Tell a rollout something, whether it holds the pool, waits for it, or is not there yet.

    It learns of it when it asks next, before it does anything more. One that changes nothing is answered with why.
    """
    standing = obey(lease.commands.get(rollout), structs.replace(given, at=now))
    if isinstance(standing, Refused):
        return lease, LeaseAnswer("refused", standing.why)
    if given.kind in ONCE:
        return _queue(lease, rollout, structs.replace(given, at=now))
    others = _but(lease.commands, rollout)
    # Who has been told something and never came is forgotten when there are many: instances have names for ever.
    recent = sorted(others.items(), key=lambda item: item[1].at or now)[-MOST_COMMANDS:]
    told = {} if standing is None else {rollout: standing}
    return structs.replace(lease, commands=dict(recent) | told), LeaseAnswer("granted", f"{given.kind} {given.spoken}")


def _queue(lease: Lease, rollout: str, given: Command) -> tuple[Lease, LeaseAnswer]:
    """Let a command wait for its rollout. The same one twice is two: the first may have been carried out by now."""
    waiting = lease.queued.get(rollout, ())
    if len(waiting) >= ROOM_IN_QUEUE:
        return lease, LeaseAnswer("refused", f"{ROOM_IN_QUEUE} commands wait already")
    others = _but(lease.queued, rollout)
    recent = sorted(others.items(), key=lambda item: item[1][-1].number)[-MOST_COMMANDS:]
    number = lease.numbered + 1
    queued = dict(recent) | {rollout: (*waiting, structs.replace(given, number=number))}
    lease = structs.replace(lease, queued=queued, numbered=number)
    return lease, LeaseAnswer("granted", f"{given.kind} {given.spoken}")


def _but(mapping: dict[str, T], name: str) -> dict[str, T]:
    return {key: value for key, value in mapping.items() if key != name}


# -------------------------------------------------------------------------------------------------------------- queue


def _without_the_dead(lease: Lease, rollout: str, now: datetime) -> Lease:
    """The lease without an expired holder and expired waiters, except for the rollout that is just asking."""
    waiting = tuple(w for w in lease.waiting if w.rollout == rollout or now - w.seen_at < EXPIRES_AFTER)
    lease = structs.replace(lease, waiting=waiting)
    if lease.renewed_at is None or lease.holder == rollout or now - lease.renewed_at < EXPIRES_AFTER:
        return lease
    return structs.replace(lease, holder="", target="", renewed_at=None)


def _without(lease: Lease, rollout: str) -> Lease:
    return structs.replace(lease, waiting=tuple(w for w in lease.waiting if w.rollout != rollout))


def _enqueue(lease: Lease, waiter: Waiter) -> Lease:
    """The waiter in its place: where it was, or that of an older version that it displaces, or last."""
    replaced = [w.rollout == waiter.rollout or _supersedes(waiter, w.target) for w in lease.waiting]
    place = replaced.index(True) if True in replaced else len(replaced)
    kept = [w for w, is_replaced in zip(lease.waiting, replaced, strict=True) if not is_replaced]
    # Everything before `place` is kept, so it is the same place in what is left.
    return structs.replace(lease, waiting=(*kept[:place], waiter, *kept[place:]))


def _take(lease: Lease, waiter: Waiter) -> tuple[Lease, LeaseAnswer]:
    """Give the free pool to the one who is next and asks; anybody else waits."""
    if lease.holder or lease.waiting[0] != waiter:
        return lease, _waiting(lease, waiter)
    granted = structs.replace(
        lease,
        holder=waiter.rollout,
        target=waiter.target,
        renewed_at=waiter.seen_at,
        waiting=lease.waiting[1:],
        fence=lease.fence + 1,
        last=waiter.rollout if waiter.target else lease.last,  # one without a version only tidies up
        last_target=waiter.target or lease.last_target,
    )
    return granted, _granted(granted)


def _supersedes(waiter: Waiter, target: str) -> bool:
    return waiter.supersedes and _is_newer(waiter.target, target)


def _rival(lease: Lease, rollout: str, target: str) -> tuple[str, str] | None:
    """The holder or a rollout ahead in the queue, and its version, that is as new as the asking one or newer."""
    ahead = takewhile(lambda waiter: waiter.rollout != rollout, lease.waiting)
    for name, version in [(lease.holder, lease.target), *((w.rollout, w.target) for w in ahead)]:
        if name and (target.lower() == version.lower() or _is_newer(version, target)):
            return name, version
    return None


def _is_newer(version_id: str, other: str) -> bool:
    """Both are versions of one image definition and the first has the higher number."""
    number, other_number = version_number(version_id), version_number(other)
    if number is None or other_number is None or definition_of(version_id) != definition_of(other):
        return False
    return number > other_number


# ------------------------------------------------------------------------------------------------------------ answers


def _granted(lease: Lease) -> LeaseAnswer:
    successor = next((w for w in lease.waiting if _supersedes(w, lease.target)), None)
    answer = LeaseAnswer(
        "granted",
        "the host pool is held for this rollout",
        fence=lease.fence,
        command=lease.commands.get(lease.holder),
        last_number=lease.last_number,
        queued=lease.queued.get(lease.holder, ())[:MOST_PASSED_ON],
    )
    if successor is None:
        return answer
    message = f"version {short_version(successor.target)} is newer and waits for the host pool"
    return structs.replace(answer, message=message, superseded_by=successor.rollout)


def _waiting(lease: Lease, waiter: Waiter) -> LeaseAnswer:
    mine, other = short_version(waiter.target), short_version(lease.target)
    if _supersedes(waiter, lease.target):
        message = f"version {other} finishes what it has in hand, then {mine} goes on"
    elif lease.holder:
        message = f"rollout {lease.holder} works on the host pool; this one goes on when that has ended"
    else:
        message = f"rollout {lease.waiting[0].rollout} has waited for the host pool for longer"
    return LeaseAnswer("waiting", message, fence=lease.fence, command=lease.commands.get(waiter.rollout))


def _refusal(target: str, rival: str, rival_target: str) -> LeaseAnswer:
    mine, other = short_version(target), short_version(rival_target)
    if target.lower() == rival_target.lower():
        return LeaseAnswer("refused", f"rollout {rival} rolls version {other} out to this host pool already")
    message = f"version {mine} is older than {other}, which rollout {rival} rolls out to this host pool"
    return LeaseAnswer("refused", message, superseded_by=rival)


def _lost(lease: Lease) -> LeaseAnswer:
    held = f"rollout {lease.holder} holds the host pool" if lease.holder else "nobody holds the host pool"
    return LeaseAnswer("lost", f"{held}; this rollout does not", fence=lease.fence)
