"""Asks a Log Analytics workspace a query of a ring's gates."""

from __future__ import annotations

import azure.durable_functions as df
import msgspec

from activities.answers import Payload, answering, as_json
from adapters.log_queries import ask_number
from rollout.ring_steps import QueryLogs

bp = df.Blueprint()


@bp.activity_trigger(input_name="question")
def query_logs(question: Payload) -> Payload:
    """In: QueryLogs. Out: `{"number": 3.0}`, `{"no_data": "it gives no row"}` or `{"error": StepError}`. It only
    reads, so that twice is harmless.
    """

    def ask() -> Payload:
        asked = msgspec.convert(question, QueryLogs)
        return as_json(ask_number(asked.workspace_id, asked.query, asked.start, asked.end))

    return answering(ask)
