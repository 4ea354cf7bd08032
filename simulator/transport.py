"""The simulated Azure as a transport of the Azure SDK: in process, without a socket."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from simulator.arm import Arm
from simulator.errors import ConnectionLost
from simulator.receivers import Receiver
from simulator.tables import Reply, Tables
from simulator.wire import Answer

MANAGEMENT = "https://management.azure.com"
TABLE_SERVICE = "https://simulated.table.core.windows.net"


def transport_to(
    arm: Arm, endpoint: str = MANAGEMENT, *, tables: Tables | None = None, receivers: Iterable[Receiver] = ()
) -> RequestsTransport:
    """A transport for any client of the Azure SDK whose requests to `endpoint` are answered by `arm`.

    Those to TABLE_SERVICE are answered by `tables`, if there are any, and those to each of `receivers` by it.
    Everything else stays real: serialisation, policies, retries, the bearer token (see `AnyoneCredential`).
    """
    session = session_to(arm, endpoint)
    if tables is not None:
        session.mount(TABLE_SERVICE, TablesAdapter(tables))
    for receiver in receivers:
        session.mount(receiver.address.partition("?")[0], ReceiverAdapter(receiver))
    return RequestsTransport(session=session, session_owner=False)


def session_to(arm: Arm, endpoint: str = MANAGEMENT) -> requests.Session:
    """A `requests` session whose requests to `endpoint` are answered by `arm`; other addresses are refused."""
    session = requests.Session()
    session.trust_env = False  # no proxy stands between a process and itself
    session.adapters.clear()
    session.mount(endpoint, ArmAdapter(arm))
    return session


class ArmAdapter(BaseAdapter):
    """Answers a prepared request from the simulated Azure; a broken connection is requests' ConnectionError."""

    def __init__(self, arm: Arm) -> None:
        super().__init__()
        self._arm = arm

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one request."""
        headers = {name: str(value) for name, value in request.headers.items()}
        body = request.body if isinstance(request.body, bytes | str) else None
        try:
            answer = self._arm.handle(request.method or "GET", request.url or "", headers, body)
        except ConnectionLost as lost:
            raise requests.exceptions.ConnectionError(str(lost), request=request) from lost
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is open."""


class TablesAdapter(ArmAdapter):
    """Answers a prepared request from simulated tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def send(self, request: requests.PreparedRequest, *_: Any, **_options: Any) -> requests.Response:
        """Answer one request."""
        headers = {name: str(value) for name, value in request.headers.items()}
        body = request.body if isinstance(request.body, bytes | str) else None
        reply = self._tables.handle(request.method or "GET", request.url or "", headers, body)
        return _as_response(request, reply)


class ReceiverAdapter(ArmAdapter):
    """Answers a prepared request from a receiver of notifications; one that hangs up is requests' ConnectionError."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def send(self, request: requests.PreparedRequest, *_: Any, **_options: Any) -> requests.Response:
        """Answer one request."""
        headers = {name: str(value) for name, value in request.headers.items()}
        body = request.body if isinstance(request.body, bytes | str) else b""
        try:
            reply = self._receiver.handle(request.method or "", request.url or "", headers, body)
        except ConnectionLost as lost:
            # As urllib3 words it: with the address, and so with whatever is secret in it.
            raise requests.exceptions.ConnectionError(f"{lost} with url: {request.url}", request=request) from lost
        return _as_response(request, reply)


class AnyoneCredential:
    """A credential that the simulated Azure lets in: its token is a word."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token that does not run out during any run."""
        return AccessToken("simulated", 4_102_444_800)


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    if answer.body is None:
        return _as_response(request, Reply(answer.status, "", answer.headers))
    headers = {**answer.headers, "Content-Type": "application/json; charset=utf-8"}
    return _as_response(request, Reply(answer.status, msgspec.json.encode(answer.body).decode(), headers))


def _as_response(request: requests.PreparedRequest, reply: Reply) -> requests.Response:
    content = reply.body.encode()
    headers = {**reply.headers, "Content-Length": str(len(content))}
    response = requests.Response()
    response.status_code = reply.status
    response.headers = CaseInsensitiveDict(headers)
    response.raw = HTTPResponse(io.BytesIO(content), headers=headers, status=reply.status, preload_content=False)
    response.url = request.url or ""
    response.request = request
    response.encoding = "utf-8"
    return response
