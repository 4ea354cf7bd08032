"""Who may do what over the HTTP API: three roles, or a function key.

The roles are app roles that App Service authentication tells of the caller. Whoever holds a function key may do
everything that needs no approver: Azure tells the app nothing about which key it was. Everybody else may do nothing.
"""

from __future__ import annotations

from typing import Literal

import azure.functions as func
from msgspec import structs

from adapters.caller import Caller, UnknownCaller, caller_of
from rollout.gates import FUNCTION_KEY
from triggers.problems import problem
from triggers.request_bodies import one_line

Role = Literal["Reader", "Operator", "Approver"]

_WHO_MAY: dict[Role, tuple[str, ...]] = {
    "Reader": ("Reader", "Operator", "Approver"),
    "Operator": ("Operator",),
    # Which roles may approve is for each ring of the policy to say; who has none at all is nobody's approver.
    "Approver": (),
}


def admit(req: func.HttpRequest, role: Role) -> Caller | func.HttpResponse:
    """The caller, if this role or one that includes it is theirs; else 403 with the role that is needed."""
    try:
        caller = caller_of(req.headers)
    except UnknownCaller as error:
        return problem(403, "UnknownCaller", str(error))
    caller = structs.replace(caller, name=one_line(caller.name) or "somebody without a name")
    enough = {name.lower() for name in (*_WHO_MAY[role], FUNCTION_KEY)}
    if (role == "Approver" and caller.roles) or enough & {name.lower() for name in caller.roles}:
        return caller
    has = f"has {', '.join(caller.roles)[:200]}" if caller.roles else "has none"
    return problem(403, "RoleNeeded", f"{caller.name} {has}: this needs the app role {role}")
