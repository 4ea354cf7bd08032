"""A transport of the Azure SDK to receivers of notifications alone."""

from __future__ import annotations

import requests
from azure.core.pipeline.transport import RequestsTransport

from simulator.receivers import Receiver
from simulator.transport import ReceiverAdapter


def transport_to_receivers(*receivers: Receiver) -> RequestsTransport:
    """A transport whose requests to these addresses are answered by them; other addresses are refused."""
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    for receiver in receivers:
        session.mount(receiver.address.partition("?")[0], ReceiverAdapter(receiver))
    return RequestsTransport(session=session, session_owner=False)
