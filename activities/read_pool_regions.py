"""Finds out in which regions a host pool needs an image."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, answering
from adapters.pool_reader import read_regions

bp = df.Blueprint()


@bp.activity_trigger(input_name="pool")
def read_pool_regions(pool: str) -> Payload:
    """In: a host pool's id. Out: `{"regions": ["westeurope"]}`, those of its VMs, or `{"error": StepError}`."""
    return answering(lambda: {"regions": list(read_regions(pool))})
