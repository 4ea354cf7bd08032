"""Turns whatever can go wrong on the way to Azure into the app's own StepError, so that nobody else sees SDK errors."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from adapters.wire import at, text
from rollout.steps import StepError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

MESSAGE_LENGTH = 400
"""Errors travel in the history and the custom status, which hold 16 kB altogether."""

THROTTLED = "TooManyRequests"

_STATUS_CODES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "AuthorizationFailed",
    404: "ResourceNotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    429: THROTTLED,
    503: "ServiceUnavailable",
}

_HOPELESS_CODES = frozenset({"MissingSubscriptionRegistration"})
"""Codes that come with a status worth a retry, but stay until a person has done something."""

_DENIED = frozenset({"AuthorizationFailed", "LinkedAuthorizationFailed"})

_MISSING_ACTION = re.compile(
    r"not have (?:authorization|permission) to perform action(?:\(s\))? '([^']+)' "
    r"(?:over scope|on the linked scope\(s\)) '([^']+)'"
)

_RETRIABLE_STATUSES = frozenset({408, 409, 429})

LONGEST_WAIT = 30 * 60.0
"""Seconds after which Azure is asked again whatever it says: a pool's lease ends an hour after its last renewal."""


_log = logging.getLogger("goldroll.adapters")


class StepFailed(Exception):
    """Azure did not do what it was asked; `error` says what it said and whether to ask again."""

    def __init__(self, error: StepError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error


@contextmanager
def translated(*secrets: str) -> Iterator[None]:
    """Raise StepFailed instead of any error of the Azure libraries; `secrets` are blotted out of its message."""
    from azure.core.exceptions import AzureError, DeserializationError, HttpResponseError

    try:
        yield
    except HttpResponseError as error:
        failed = StepFailed(_without(secrets, from_response(error)))
        if failed.error.code == THROTTLED:
            _log.warning("throttled: Azure asks to wait %.0f s: %s", failed.error.retry_after, failed.error.message)
    except DeserializationError as error:
        failed = StepFailed(_without(secrets, StepError("UnreadableAnswer", str(error)[:MESSAGE_LENGTH])))
    except AzureError as error:
        failed = StepFailed(_without(secrets, StepError("ConnectionLost", error.message[:MESSAGE_LENGTH])))
    else:
        return
    # Without its cause: that one's text may hold the request, and would be printed with every stack.
    raise failed from None


def from_response(error: HttpResponseError) -> StepError:
    """What an error answer says: its code, its message, whether asking again can help and after how many seconds."""
    from azure.core.exceptions import ClientAuthenticationError

    if error.response is None:
        # The credential library found no identity, or an answer was cut off.
        code = "SignInFailed" if isinstance(error, ClientAuthenticationError) else "ConnectionLost"
        return StepError(code, error.message[:MESSAGE_LENGTH])
    status = error.status_code or 0
    code, message = _code_and_message(_body(error), status)
    return StepError(
        code=code,
        message=(message or error.message)[:MESSAGE_LENGTH],
        retriable=code not in _HOPELESS_CODES and (status in _RETRIABLE_STATUSES or status >= 500),
        retry_after=retry_after_in(getattr(error.response, "headers", {})),
    )


def is_missing(failed: StepFailed) -> bool:
    """Azure says that the thing, or what it lies in, does not exist."""
    return failed.error.code in ("ResourceNotFound", "NotFound", "ResourceGroupNotFound", "ParentResourceNotFound")


def _body(error: HttpResponseError) -> Any:
    try:
        return json.loads(error.response.text()) if error.response is not None else None
    except ValueError:
        return None


def _code_and_message(body: Any, status: int) -> tuple[str, str]:
    # Compute's throttling answer is documented without the `error` object around it.
    answer = at(body, "error") or body
    code, message = text(answer, "code"), text(answer, "message")
    if status == 429:
        # Compute says OperationNotAllowed, its code for a quota, when it means that it was asked too often.
        return THROTTLED, message
    if not code or code.isdigit():
        # Azure Virtual Desktop repeats the HTTP status where others have a code.
        return _STATUS_CODES.get(status, f"Http{status}"), message
    if status == 404 and code == "NotFound":
        return "ResourceNotFound", message
    if code == "MissingSubscriptionRegistration":
        message += " Register the resource provider in this subscription, then start the rollout again."
    if code in _DENIED:
        message = _denied(message)
    return code, message


def _denied(message: str) -> str:
    """Which action is missing where, and the role that has it, instead of who was refused by which object id.

    Azure's message is kept when it has another form than the documented ones.
    """
    from adapters.permissions import role_titles

    if (found := _MISSING_ACTION.search(message)) is None:
        return message
    action, scope = found.groups()
    roles = " or ".join(role_titles(action)) or "a role that has it"
    return f"the app's identity may not {action} at {scope}: assign {roles} there (python3 dev.py doctor shows more)"


def retry_after_in(headers: Any) -> float:
    """Seconds to wait: `Retry-After` in seconds, or as a date compared with the answer's own."""
    value = headers.get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_between(headers.get("Date") or "", value)
    return min(max(0.0, seconds), LONGEST_WAIT) or 0


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds()
    except (TypeError, ValueError):
        return 0


def _without(secrets: tuple[str, ...], error: StepError) -> StepError:
    message = error.message
    for secret in secrets:
        if secret:
            message = message.replace(secret, "***")
    return StepError(error.code, message, error.retriable, error.retry_after)
