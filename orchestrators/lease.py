"""Asks the host pool's entity for the pool's lease, from within an orchestration."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import msgspec

from orchestrators.moment import now_of
from rollout.instance_ids import host_pool_key
from rollout.lease import LeaseAnswer

ENTITY = "host_pool"


class PoolLease:
    """The lease of one host pool, for the orchestration behind `context`. Each method takes one entity call."""

    def __init__(self, context: df.DurableOrchestrationContext, pool_id: str) -> None:
        """The rollout that asks is the orchestration instance itself."""
        self._context = context
        self._entity = df.EntityId(ENTITY, host_pool_key(pool_id))

    def acquire(self, target: str, on_newer: str) -> Generator[Any, Any, LeaseAnswer]:
        """Ask for the pool. Asking again while holding it changes nothing."""
        return self._call("acquire", target=target, on_newer=on_newer)

    def check_in(self, last_number: int, carried_out: int) -> Generator[Any, Any, LeaseAnswer]:
        """Renew the lease, and learn whether it is lost or a newer version waits.

        `last_number`: the highest number used in a name by now, 0 for none. The lease keeps it for the next rollout.
        `carried_out`: the number of the last command that has been carried out once, 0 for none. It forgets those.
        """
        return self._call("check_in", last_number=last_number, carried_out=carried_out)

    def release(self, last_number: int = 0) -> Generator[Any, Any, LeaseAnswer]:
        """Give the pool back. A lease that somebody else holds by now is left alone."""
        return self._call("release", last_number=last_number)

    def _call(self, operation: str, **fields: str | int) -> Generator[Any, Any, LeaseAnswer]:
        request = {"rollout": self._context.instance_id, "now": now_of(self._context).isoformat(), **fields}
        answer = yield self._context.call_entity(self._entity, operation, request, dict)
        return msgspec.convert(answer, LeaseAnswer)
