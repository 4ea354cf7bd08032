"""A transport of the Azure SDK to simulated tables alone."""

from __future__ import annotations

import requests
from azure.core.pipeline.transport import RequestsTransport

from simulator.tables import Tables
from simulator.transport import TABLE_SERVICE, TablesAdapter


def transport_to_tables(tables: Tables) -> RequestsTransport:
    """A transport whose requests to TABLE_SERVICE are answered by these tables; other addresses are refused."""
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    session.mount(TABLE_SERVICE, TablesAdapter(tables))
    return RequestsTransport(session=session, session_owner=False)
