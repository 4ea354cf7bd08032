"""What a running rollout is told: pause, resume, abort, roll back, skip, retry, supersede, thaw; and what stands then.

A command is for a whole rollout or for one host pool. Pausing keeps the pool serving as it is: hosts that are being
made are finished, what has been removed is made good, and nobody is asked to leave or signed out. Aborting is for good:
the part that is done stays, what is drained is given back. A roll back ends a rollout as well, and another one then
puts back what it has done: see rolling_back.py. A newer version's rollout supersedes: nothing more is started, and each
host pool that is at work learns of it when the newer version asks for that pool. When a freeze ends before its time,
rollouts are told to thaw: that wakes those that wait for its end, and changes nothing that stands.

Of all these one stands at a time. Skip and retry do not stand: each is for one host (a retry also for a whole host
pool), is carried out once, in the order in which they were given, and then is over: see host_commands.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

LONGEST_REASON = 300
LONGEST_NAME = 100

CommandKind = Literal["pause", "resume", "abort", "roll_back", "supersede", "thaw", "skip", "retry"]

ONCE: frozenset[CommandKind] = frozenset({"skip", "retry"})
"""Commands that are carried out once and do not stand."""


class Command(Struct, frozen=True, omit_defaults=True):
    """One command: who gave it, when and why. `at` is when it was taken in.

    `host` is the session host that it is for, "" for all. `number` orders those that are carried out once; the host
    pool's lease gives it.
    """

    kind: CommandKind
    by: str
    reason: str = ""
    at: datetime | None = None
    host: str = ""
    number: int = 0

    @property
    def ends_it(self) -> bool:
        """The rollout comes to its end because of this command, and takes no other one but a roll back."""
        return self.kind in ("abort", "roll_back")

    @property
    def spoken(self) -> str:
        """Who gave it and why, as the end of a sentence: "by andrea@contoso.com: printing is broken"."""
        return f"by {self.by}" + (f": {self.reason}" if self.reason else "")


class Refused(Struct, frozen=True):
    """Why a command changes nothing: `code` for machines, `why` for people."""

    code: str
    why: str


def obey(standing: Command | None, given: Command) -> Command | Refused | None:
    """What stands after a command has been given where `standing` stood before: None when nothing does any more.

    A roll back stands for ever, and so does an abort unless a roll back follows; that a newer version takes over stands
    unless one of these follows. The same command twice is refused, so that the second one learns of the first. What is
    carried out once changes nothing that stands, and is refused when the rollout comes to its end.
    """
    if given.kind == "thaw":
        return standing
    if standing is not None and standing.kind == "roll_back":
        return Refused("RolledBackAlready", f"it has been rolled back {standing.spoken}")
    if standing is not None and standing.kind == "abort" and given.kind != "roll_back":
        return Refused("AbortedAlready", f"it has been aborted {standing.spoken}")
    if standing is not None and standing.kind == "supersede" and not given.ends_it:
        return Refused("SupersededAlready", f"it has been superseded {standing.spoken}")
    if given.kind in ONCE:
        return standing
    if given.kind == "resume":
        return None if standing is not None else Refused("NotPaused", "it is not paused")
    if standing is not None and given.kind == "pause":
        return Refused("PausedAlready", f"it has been paused {standing.spoken}")
    return given


def read_command(raw: Any) -> Command | None:
    """A command for a rollout as a whole, as Durable hands it over: the object, or its JSON as text. None for anything
    else, also for one that is carried out once, by a host pool's rollout; never raises."""
    try:
        value = msgspec.json.decode(raw) if isinstance(raw, str) else raw
        given = msgspec.convert(value, Command)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not given.by or given.kind in ONCE or (given.at is not None and given.at.tzinfo is None):
        return None
    return structs.replace(given, by=given.by[:LONGEST_NAME], reason=given.reason[:LONGEST_REASON])
