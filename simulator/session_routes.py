"""ARM routes of session hosts and user sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from simulator.desktop_bodies import host_body, session_body
from simulator.desktop_routes import pool_id, requested_page
from simulator.errors import AzureError
from simulator.estate import Estate
from simulator.host_pools import Session
from simulator.wire import Answer, Request, Route, invalid, paged

_POOL = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DesktopVirtualization/hostPools/{pool}"
)
_HOST = _POOL + "/sessionHosts/{host}"
_SESSION = _HOST + "/userSessions/{session}"
_CONDITION = re.compile(r"^(userPrincipalName|sessionState|state)\s+eq\s+'([^']*)'$", re.IGNORECASE)


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _HOST, "sessionHosts.get", these.get_host)
    yield Route("PATCH", _HOST, "sessionHosts.patch", these.patch_host)
    yield Route("DELETE", _HOST, "sessionHosts.delete", these.delete_host)
    yield Route("GET", _POOL + "/sessionHosts", "sessionHosts.list", these.list_hosts, lists=True)
    yield Route("GET", _POOL + "/userSessions", "userSessions.listByHostPool", these.list_in_pool, lists=True)
    yield Route("GET", _HOST + "/userSessions", "userSessions.list", these.list_on_host, lists=True)
    yield Route("GET", _SESSION, "userSessions.get", these.get_session)
    yield Route("DELETE", _SESSION, "userSessions.delete", these.sign_out)
    yield Route("POST", _SESSION + "/disconnect", "userSessions.disconnect", these.disconnect)
    yield Route("POST", _SESSION + "/sendMessage", "userSessions.sendMessage", these.send_message)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._hosts = estate.hosts
        self._sessions = estate.sessions

    def get_host(self, request: Request) -> Answer:
        host = self._hosts.get(pool_id(request), request.names["host"])
        return Answer(200, host_body(host, self._estate.now()))

    def list_hosts(self, request: Request) -> Answer:
        hosts = self._hosts.list(pool_id(request))
        now = self._estate.now()
        return paged(request, hosts, lambda host: host_body(host, now), requested_page(request))

    def patch_host(self, request: Request) -> Answer:
        properties = request.properties()
        allow = properties.get("allowNewSession")
        if allow is not None and not isinstance(allow, bool):
            raise invalid("AllowNewSession must be a boolean.", "allowNewSession")
        host = self._hosts.update(
            pool_id(request),
            request.names["host"],
            allow_new_session=allow,
            assigned_user=properties.get("assignedUser"),
            friendly_name=properties.get("friendlyName"),
            force=request.flag("force"),
        )
        return Answer(200, host_body(host, self._estate.now()))

    def delete_host(self, request: Request) -> Answer:
        removed = self._hosts.delete(pool_id(request), request.names["host"], force=request.flag("force"))
        return Answer(200 if removed else 204)

    def list_in_pool(self, request: Request) -> Answer:
        chosen = _filtered(self._sessions.list(pool_id(request)), request.query.get("$filter", ""))
        return paged(request, chosen, session_body, requested_page(request))

    def list_on_host(self, request: Request) -> Answer:
        sessions = self._sessions.list(pool_id(request), request.names["host"])
        return paged(request, sessions, session_body, requested_page(request))

    def get_session(self, request: Request) -> Answer:
        return Answer(200, session_body(self._sessions.get(*_session(request))))

    def sign_out(self, request: Request) -> Answer:
        try:
            self._sessions.sign_out(*_session(request))
        except AzureError as error:
            if error.status == 404 and error.code == "404":
                return Answer(204)
            raise
        return Answer(200)

    def disconnect(self, request: Request) -> Answer:
        self._sessions.disconnect(*_session(request))
        return Answer(200)

    def send_message(self, request: Request) -> Answer:
        title, text = request.body.get("messageTitle"), request.body.get("messageBody")
        if not isinstance(title, str) or not isinstance(text, str):
            raise AzureError(400, "400", "MessageTitle and MessageBody must be strings.")
        self._sessions.send_message(*_session(request), title, text)
        return Answer(200)


def _session(request: Request) -> tuple[str, str, int]:
    number = request.names["session"]
    if not number.isdigit():
        raise AzureError(400, "400", f"The user session id '{number}' is not valid.")
    return pool_id(request), request.names["host"], int(number)


def _filtered(sessions: list[Session], expression: str) -> list[Session]:
    """Keep what a `$filter` such as `userPrincipalName eq 'a@b' and state eq 'active'` lets through."""
    for part in re.split(r"\s+and\s+", expression.strip(), flags=re.IGNORECASE) if expression.strip() else []:
        condition = _CONDITION.match(part)
        if condition is None:
            raise AzureError(400, "400", f"The filter '{expression}' is not supported.")
        by_person, value = condition[1].lower() == "userprincipalname", condition[2].lower()
        sessions = [
            session for session in sessions if (session.person if by_person else session.state.value).lower() == value
        ]
    return sessions
