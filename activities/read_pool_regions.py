"""Finds out in which regions a host pool needs an image."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, answering
from adapters.pool_reader import count_by_region

bp = df.Blueprint()


@bp.activity_trigger(input_name="pool")
def read_pool_regions(pool: str) -> Payload:
    """Where the pool's VMs are.

    In: a host pool's id. Out: `{"regions": ["westeurope"], "hosts": {"westeurope": 12}}` or `{"error": StepError}`.
    """

    def read() -> Payload:
        hosts = count_by_region(pool)
        return {"regions": list(hosts), "hosts": hosts}

    return answering(read)
