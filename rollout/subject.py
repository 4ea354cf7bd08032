"""What a line of the log, a span or a measurement is about, in the same words everywhere."""

from __future__ import annotations

from msgspec import Struct

from rollout.instance_ids import whole_and_pool


class Subject(Struct, frozen=True):
    """A rollout, a host pool of it and a session host of that; "" for none in particular.

    `rollout` is the id of the rollout as a whole, as the API has it, also where the pool's own part is meant.
    """

    rollout: str = ""
    pool: str = ""
    host: str = ""

    @property
    def extra(self) -> dict[str, str]:
        """What a call of `logging` takes as its `extra`."""
        return {"rollout": self.rollout, "pool": self.pool, "host": self.host}


def subject_of(rollout_id: str, *, pool: str = "", host: str = "") -> Subject:
    """The subject by the id of an orchestration: `pool` where its id is that of the rollout as a whole."""
    whole, own = whole_and_pool(rollout_id)
    return Subject(whole, pool or own, host)
