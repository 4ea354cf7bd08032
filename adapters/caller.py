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
    """The platform says that somebody has signed in, and does not say who."""


BY_KEY = Caller("somebody with a function key", (FUNCTION_KEY,))
"""The Functions host lets nobody in without a key, and tells the app nothing about which one it was."""


def caller_of(headers: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Caller:
    """Who calls, by a request's headers (names in any case).

    The principal header counts only where App Service authentication is switched on (WEBSITE_AUTH_ENABLED, which the
    platform sets): elsewhere anybody could send it, and the caller is BY_KEY. Raises UnknownCaller for a header that
    cannot be read or names nobody.
    """
    values = os.environ if environment is None else environment
    header = next((value for name, value in headers.items() if name.upper() == PRINCIPAL_HEADER), "")
    if values.get("WEBSITE_AUTH_ENABLED", "").lower() != "true" or not header:
        return BY_KEY
    principal = _read(header)
    claims = [(text(claim, "typ"), text(claim, "val")) for claim in items(principal, "claims")]
    roles = {*_ROLE_CLAIMS, text(principal, "role_typ")}
    names = [name for name in (*_NAME_CLAIMS, text(principal, "name_typ")) if name]
    name = next((value for wanted in names for kind, value in claims if kind == wanted and value), "")
    if not name:
        raise UnknownCaller("the platform does not say who has signed in")
    return Caller(name, tuple(value for kind, value in claims if kind in roles and value)[:MOST_ROLES])


def _read(header: str) -> Any:
    if len(header) > LONGEST_HEADER:
        raise UnknownCaller("what the platform says about the caller is too long")
    try:
        return json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise UnknownCaller("what the platform says about the caller cannot be read") from None
