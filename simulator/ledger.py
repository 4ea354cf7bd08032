"""The ledger: what the people in the estate had to put up with, as counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from simulator.journal import Entry, Kind

_COUNTED_BY_ACTOR = frozenset({Kind.FORCED_OUT, Kind.DISCONNECTED_OUT})


@dataclass(slots=True)
class Ledger:
    """Counts per journal kind, and the few figures a rollout is judged by.

    A forced sign-out is an ACTIVE session ended by an administrator's sign-out, by a session limit, or because its
    machine was removed, stopped or lost. A disconnected session that ends so is counted apart: nobody was at work in
    it.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    forced_by_person: Counter[str] = field(default_factory=Counter)
    forced_by_actor: Counter[str] = field(default_factory=Counter)
    disconnected_by_actor: Counter[str] = field(default_factory=Counter)
    refused_people: Counter[str] = field(default_factory=Counter)
    min_free_slots: int | None = None
    min_free_slots_at: datetime | None = None

    @property
    def sign_ins(self) -> int:
        """New sessions (reconnections are not sign-ins)."""
        return self.kinds[Kind.SIGNED_IN]

    @property
    def forced_sign_outs(self) -> int:
        """Active sessions that ended against their person's will."""
        return self.kinds[Kind.FORCED_OUT]

    @property
    def disconnected_sign_outs(self) -> int:
        """Disconnected sessions that somebody other than their person ended."""
        return self.kinds[Kind.DISCONNECTED_OUT]

    @property
    def signed_out_twice(self) -> int:
        """Distinct people forced out of an active session at least twice."""
        return sum(1 for times in self.forced_by_person.values() if times >= 2)

    @property
    def refused_sign_ins(self) -> int:
        """Attempts to sign in that found no free slot."""
        return self.kinds[Kind.REFUSED]

    @property
    def messages_sent(self) -> int:
        """Messages accepted for delivery to a session."""
        return self.kinds[Kind.MESSAGE_SENT]

    def count(self, entry: Entry, person: str) -> None:
        """Add one journal entry; `person` is the session's person where there is one."""
        kind = entry.kind
        self.kinds[kind] += 1
        if kind in _COUNTED_BY_ACTOR:
            if kind is Kind.FORCED_OUT:
                self.forced_by_person[person] += 1
                self.forced_by_actor[entry.by] += 1
            else:
                self.disconnected_by_actor[entry.by] += 1
        elif kind is Kind.REFUSED:
            self.refused_people[person] += 1

    def note_free_slots(self, free: int, at: datetime) -> None:
        """Remember the lowest number of free slots seen since the last `restart`."""
        if self.min_free_slots is None or free < self.min_free_slots:
            self.min_free_slots = free
            self.min_free_slots_at = at

    def restart(self, free: int, at: datetime) -> None:
        """Begin to count anew, with `free` slots free at this moment."""
        for counter in (
            self.kinds,
            self.forced_by_person,
            self.forced_by_actor,
            self.disconnected_by_actor,
            self.refused_people,
        ):
            counter.clear()
        self.min_free_slots, self.min_free_slots_at = free, at

    def as_dict(self) -> dict[str, object]:
        """The ledger as plain JSON values."""
        return {
            "sign_ins": self.sign_ins,
            "forced_sign_outs": self.forced_sign_outs,
            "forced_by_actor": dict(sorted(self.forced_by_actor.items())),
            "disconnected_sign_outs": self.disconnected_sign_outs,
            "signed_out_twice": self.signed_out_twice,
            "refused_sign_ins": self.refused_sign_ins,
            "messages_sent": self.messages_sent,
            "min_free_slots": self.min_free_slots,
            "min_free_slots_at": self.min_free_slots_at.isoformat() if self.min_free_slots_at else None,
        }
