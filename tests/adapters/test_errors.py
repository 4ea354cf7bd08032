"""Every way in which Azure says no, as the app understands it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from adapters.errors import LONGEST_WAIT, StepFailed, is_missing, translated
from rollout.steps import StepError


class Response:
    """As much of an HTTP answer as an error holds."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.reason = "because"
        self.headers = headers or {}
        self._text = body if isinstance(body, str) else json.dumps(body)

    def text(self) -> str:
        return self._text


def failure(error: Exception, *secrets: str) -> StepError:
    with pytest.raises(StepFailed) as failed, translated(*secrets):
        raise error
    return failed.value.error


def answered(status: int, body: Any, headers: dict[str, str] | None = None, *secrets: str) -> StepError:
    return failure(HttpResponseError(response=Response(status, body, headers)), *secrets)  # type: ignore[arg-type]


def wrapped(code: str, message: str = "words") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


CRP_THROTTLED = {
    "code": "OperationNotAllowed",
    "message": "The server rejected the request because too many requests have been received for this subscription.",
    "details": [{"code": "TooManyRequests", "target": "HighCostGet", "message": "{}"}],
}


@pytest.mark.parametrize(
    ("status", "body", "code", "retriable"),
    [
        (409, wrapped("SkuNotAvailable"), "SkuNotAvailable", True),
        (409, wrapped("OperationNotAllowed"), "OperationNotAllowed", True),
        (409, {"code": "Conflict", "message": "unwrapped"}, "Conflict", True),
        (404, wrapped("404", "ActivityId: x Error: User session ID not found"), "ResourceNotFound", False),
        (404, wrapped("NotFound"), "ResourceNotFound", False),
        (404, wrapped("GalleryImageNotFound"), "GalleryImageNotFound", False),
        (400, wrapped("400", "ActivityId: x"), "BadRequest", False),
        (403, wrapped("AuthorizationFailed"), "AuthorizationFailed", False),
        (429, CRP_THROTTLED, "TooManyRequests", True),
        (429, wrapped("SubscriptionRequestsThrottled"), "TooManyRequests", True),
        (409, wrapped("MissingSubscriptionRegistration"), "MissingSubscriptionRegistration", False),
        (500, wrapped("InternalServerError"), "InternalServerError", True),
        (503, "<html>busy</html>", "ServiceUnavailable", True),
        (502, "", "Http502", True),
        (418, [1, 2], "Http418", False),
        (500, {"error": "text"}, "Http500", True),
        (500, {"error": {"code": 7, "message": None}}, "Http500", True),
    ],
)
def test_answers_are_understood(status: int, body: Any, code: str, retriable: bool) -> None:
    error = answered(status, body)

    assert (error.code, error.retriable) == (code, retriable)
    assert error.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceRequestError("no route"), "ConnectionLost"),
        (ServiceResponseError("connection reset"), "ConnectionLost"),
        (IncompleteReadError("cut off"), "ConnectionLost"),
        (ClientAuthenticationError("no identity"), "SignInFailed"),
        (DeserializationError("odd"), "UnreadableAnswer"),
    ],
)
def test_what_never_became_an_answer_is_worth_another_try(error: Exception, code: str) -> None:
    assert (failure(error).code, failure(error).retriable) == (code, True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "inf"}, LONGEST_WAIT),
        ({"Retry-After": "86400"}, LONGEST_WAIT),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "Fri, 20 Nov 2026 10:01:00 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"}, 60),
        ({"Retry-After": "Fri, 20 Nov 2026 10:01:00 GMT"}, 0),
    ],
)
def test_azure_is_given_the_time_that_it_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert answered(429, wrapped("TooManyRequests"), headers).retry_after == seconds


def test_throttling_is_told_to_the_log_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    answered(429, wrapped("TooManyRequests", "not with s3cret"), {"Retry-After": "17"}, "s3cret")
    answered(503, "busy")

    assert [record.getMessage() for record in caplog.records] == ["throttled: Azure asks to wait 17 s: not with ***"]


def test_a_provider_that_is_not_registered_says_what_to_do() -> None:
    assert "Register the resource provider" in answered(409, wrapped("MissingSubscriptionRegistration")).message


DENIED = (
    "The client 'c' with object id 'o' does not have authorization to perform action "
    "'Microsoft.Compute/virtualMachines/write' over scope '/subscriptions/s/resourceGroups/rg' or the scope is invalid."
)
LINKED = (
    "The client 'c' with object id 'o' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on "
    "scope '/a'; however, it does not have permission to perform action(s) "
    "'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '/b' (respectively)."
)


@pytest.mark.parametrize(
    ("code", "said", "action", "scope", "role"),
    [
        (
            "AuthorizationFailed",
            DENIED,
            "Microsoft.Compute/virtualMachines/write",
            "/subscriptions/s/resourceGroups/rg",
            "Goldroll Session Host Operator",
        ),
        (
            "LinkedAuthorizationFailed",
            LINKED,
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            "/b",
            "Goldroll Subnet Joiner",
        ),
        (
            "AuthorizationFailed",
            DENIED.replace("virtualMachines/write", "x/write"),
            "x/write",
            "/rg",
            "a role that has it",
        ),
    ],
)
def test_a_missing_permission_names_the_action_the_scope_and_the_role(
    code: str, said: str, action: str, scope: str, role: str
) -> None:
    message = answered(403, wrapped(code, said)).message

    assert f"{action} at " in message
    assert f"{scope}: assign {role} there" in message
    assert "object id" not in message


def test_a_refusal_in_other_words_is_told_as_it_is() -> None:
    assert answered(403, wrapped("AuthorizationFailed", "No.")).message == "No."


def test_messages_are_kept_short() -> None:
    assert len(answered(400, wrapped("Long", "x" * 10_000)).message) <= 400


def test_secrets_are_blotted_out_and_the_original_is_not_chained() -> None:
    with pytest.raises(StepFailed) as failed, translated("hunter2", ""):
        raise HttpResponseError(response=Response(400, wrapped("Bad", "got hunter2")))  # type: ignore[arg-type]

    assert failed.value.error.message == "got ***"
    assert failed.value.__suppress_context__


def test_errors_of_our_own_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        _ = 1 // 0


def test_only_what_does_not_exist_is_missing() -> None:
    assert is_missing(StepFailed(answered(404, wrapped("ResourceGroupNotFound"))))
    assert not is_missing(StepFailed(answered(404, wrapped("GalleryImageNotFound"))))
    assert not is_missing(StepFailed(answered(403, wrapped("AuthorizationFailed"))))
