"""Calls the HTTP API: one place for the address, the credential, and what an answer means for an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

OK, NOT_IN_SUCCESS, USAGE, REFUSED, NOT_FOUND, DENIED, UNREACHABLE, TOO_LATE = range(8)
"""Exit codes: see docs/command-line.md."""

ANSWERS_WITHIN = 240.0
"""Seconds that an answer may take: a plan of many host pools takes its time, and Azure's front door gives up at 230."""


class ApiError(Exception):
    """The call did not lead to what was asked for; `exit_code` is what a script learns."""

    def __init__(self, exit_code: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})" if code else detail)
        self.exit_code = exit_code
        self.problem = {"code": code, "detail": detail}


class Api:
    """The API at `url` (without /api). `key` is a function key, `token` gives a bearer token for each call; either may
    be empty. Plain http is for this machine only: a key is never sent over it to another one."""

    def __init__(
        self,
        url: str,
        key: str = "",
        token: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        parts = httpx.URL(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ApiError(
                USAGE, "", f"--url: expected an address such as https://goldroll.azurewebsites.net, got {url!r}"
            )
        if parts.scheme == "http" and (key or token) and parts.host not in ("127.0.0.1", "localhost", "::1"):
            raise ApiError(USAGE, "", f"--url: a key or token is sent over https only, not to {url}")
        self._token = token
        headers = {"x-functions-key": key} if key else {}
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/", headers=headers, timeout=ANSWERS_WITHIN, transport=transport
        )

    def get(self, path: str, **query: str) -> Any:
        """GET /api/`path`; raises ApiError for everything but success."""
        return self._call("GET", path, None, query)

    def post(self, path: str, body: Any) -> Any:
        """POST /api/`path`; raises ApiError for everything but success."""
        return self._call("POST", path, body, {})

    def delete(self, path: str, body: Any) -> Any:
        """DELETE /api/`path`; raises ApiError for everything but success."""
        return self._call("DELETE", path, body, {})

    def _call(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:
        headers = {"Authorization": f"Bearer {self._token()}"} if self._token is not None else {}
        try:
            answer = self._client.request(method, path, json=body, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise ApiError(UNREACHABLE, "Unreachable", f"{self._client.base_url} does not answer: {error}") from None
        if answer.is_success:
            return _json(answer)
        found = _json(answer) if "json" in answer.headers.get("Content-Type", "") else {}
        told = found if isinstance(found, dict) else {}
        detail = str(told.get("detail") or f"{method} {answer.request.url.path} answers {answer.status_code}")
        raise ApiError(_exit_code(answer.status_code), str(told.get("code") or ""), detail)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise ApiError(UNREACHABLE, "NoJson", f"{answer.request.url} answers with something else than JSON") from None


def _exit_code(status: int) -> int:
    if status in (401, 403):
        return DENIED
    if status == 404:
        return NOT_FOUND
    return UNREACHABLE if status >= 500 else REFUSED
