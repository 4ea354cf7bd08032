"""Who calls the HTTP API, as far as the platform vouches for it."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from adapters.wire import items, text
from rollout.gates import FUNCTION_KEY, MOST_ROLES

PRINCIPAL_HEADER = "X-MS-CLIENT-PRINCIPAL"
"""Set by App Service authentication: the caller's claims as Base64 of JSON."""

LONGEST_HEADER = 64 * 1024

_NAME_CLAIMS = (
    "preferred_username",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "appid",
    "azp",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
)
"""Claims that name a caller, the best first; applications have only their ids."""

_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")


class Caller(Struct, frozen=True):
    """Who calls: a name to write down, and the app roles."""

    name: str
    roles: tuple[str, ...] = ()


class UnknownCaller(Exception):
    """Who asks cannot be told: the platform names nobody, or another site's page asks in somebody's name."""


BY_KEY = Caller("somebody with a function key", (FUNCTION_KEY,))
"""The Functions host lets nobody in without a key, and tells the app nothing about which one it was."""


def caller_of(headers: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Caller:
    """Who calls, by a request's headers (names in any case).

    The principal header counts only where App Service authentication is switched on (WEBSITE_AUTH_ENABLED, which the
    platform sets): elsewhere anybody could send it, and the caller is BY_KEY. Raises UnknownCaller for a header that
    cannot be read or names nobody, and when a page of another site has made the browser ask: a sign-in is a cookie,
    which goes along whoever makes it ask. No such page knows a function key.
    """
    values = os.environ if environment is None else environment
    header = next((value for name, value in headers.items() if name.upper() == PRINCIPAL_HEADER), "")
    if values.get("WEBSITE_AUTH_ENABLED", "").lower() != "true" or not header:
        return BY_KEY
    if _is_of_another_site(headers):
        raise UnknownCaller("a page of another site may not ask for this in your name")
    principal = _read(header)
    claims = [(text(claim, "typ"), text(claim, "val")) for claim in items(principal, "claims")]
    roles = {*_ROLE_CLAIMS, text(principal, "role_typ")}
    names = [name for name in (*_NAME_CLAIMS, text(principal, "name_typ")) if name]
    name = next((value for wanted in names for kind, value in claims if kind == wanted and value), "")
    if not name:
        raise UnknownCaller("the platform does not say who has signed in")
    return Caller(name, tuple(value for kind, value in claims if kind in roles and value)[:MOST_ROLES])


def _is_of_another_site(headers: Mapping[str, str]) -> bool:
    """A page of another site has made this request; somebody who only follows a link from there has made it.

    Every browser since 2023 says so in Sec-Fetch-Site, which no page can change. An older one names the Origin of
    whatever may change something; then it must send JSON, which another site's page cannot without leave (CORS).
    Programs say neither.
    """
    told = {name.lower(): value.strip().lower() for name, value in headers.items()}
    site = told.get("sec-fetch-site")
    if site is None:
        return "origin" in told and not told.get("content-type", "").startswith("application/json")
    is_a_link = told.get("sec-fetch-mode") == "navigate" and "origin" not in told
    return site not in ("same-origin", "none") and not is_a_link


def _read(header: str) -> Any:
    if len(header) > LONGEST_HEADER:
        raise UnknownCaller("what the platform says about the caller is too long")
    try:
        return json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise UnknownCaller("what the platform says about the caller cannot be read") from None
