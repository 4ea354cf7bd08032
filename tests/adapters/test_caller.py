"""Who calls: what App Service says, as far as it can be believed; nobody is believed to be more."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters.caller import BY_KEY, LONGEST_HEADER, Caller, UnknownCaller, caller_of

ON = {"WEBSITE_AUTH_ENABLED": "True"}


def header(*claims: tuple[str, str], **fields: Any) -> dict[str, str]:
    principal = {"auth_typ": "aad", "claims": [{"typ": kind, "val": value} for kind, value in claims], **fields}
    return {"x-ms-client-principal": base64.b64encode(json.dumps(principal).encode()).decode()}


ANDREA = header(("preferred_username", "andrea@contoso.com"), ("roles", "Approver"), ("roles", "Operator"))


def test_a_person_is_named_with_all_app_roles() -> None:
    assert caller_of(ANDREA, ON) == Caller("andrea@contoso.com", ("Approver", "Operator"))


def test_an_application_is_named_by_its_id() -> None:
    assert caller_of(header(("appid", "1234"), ("roles", "Approver")), ON) == Caller("1234", ("Approver",))


def test_claims_of_the_older_kind_are_known_too() -> None:
    schema = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
    upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
    assert caller_of(header((upn, "andrea"), (schema, "Approver")), ON) == Caller("andrea", ("Approver",))


def test_the_principal_names_its_own_claims() -> None:
    given = header(("who", "andrea"), ("part", "Approver"), name_typ="who", role_typ="part")
    assert caller_of(given, ON) == Caller("andrea", ("Approver",))


@pytest.mark.parametrize("environment", [{}, {"WEBSITE_AUTH_ENABLED": "False"}, {"WEBSITE_AUTH_ENABLED": ""}])
def test_without_authentication_anybody_could_send_the_header_so_it_counts_for_nothing(environment: Any) -> None:
    assert caller_of(ANDREA, environment) == BY_KEY
    assert BY_KEY.roles == ("FunctionKey",)


def test_without_the_header_the_caller_has_a_key_and_nothing_else() -> None:
    assert caller_of({}, ON) == BY_KEY


@pytest.mark.parametrize(
    "headers",
    [
        {"X-MS-CLIENT-PRINCIPAL": "%%%"},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b"{").decode()},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b"[1]").decode()},
        {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(b"\xff\xfe").decode()},
        {"X-MS-CLIENT-PRINCIPAL": "A" * (LONGEST_HEADER + 4)},
        header(("roles", "Approver")),
        header(("preferred_username", ""), ("roles", "Approver")),
    ],
)
def test_a_header_that_names_nobody_is_refused_instead_of_taken_for_a_key(headers: dict[str, str]) -> None:
    with pytest.raises(UnknownCaller):
        caller_of(headers, ON)


def test_roles_without_limit_are_cut() -> None:
    many = [("roles", f"role-{n}") for n in range(500)]
    assert len(caller_of(header(("upn", "andrea"), *many), ON).roles) == 50


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": FORM},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "https://goldroll.azurewebsites.net"},
        {"sec-fetch-site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://goldroll.azurewebsites.net", "Content-Type": "application/json; charset=utf-8"},
    ],
    ids=["a program", "our page", "the address bar", "a link elsewhere", "our page in an old browser"],
)
def test_our_page_and_programs_are_believed(headers: dict[str, str]) -> None:
    assert caller_of(ANDREA | headers, ON).name == "andrea@contoso.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Content-Type": "application/json"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"SEC-FETCH-SITE": "Same-Site", "Sec-Fetch-Mode": "navigate", "Origin": "https://x.azurewebsites.net"},
        {"Sec-Fetch-Site": "something new"},
        {"Origin": "https://evil.example", "Content-Type": FORM},
        {"Origin": "null"},
    ],
    ids=["a script", "a picture", "a form of a neighbour", "an unknown word", "a form in an old browser", "a sandbox"],
)
def test_a_page_of_another_site_does_nothing_in_somebodys_name(headers: dict[str, str]) -> None:
    with pytest.raises(UnknownCaller, match="another site"):
        caller_of(ANDREA | headers, ON)


def test_no_other_page_knows_a_key_so_it_does_not_matter_where_it_is_used() -> None:
    assert caller_of({"Sec-Fetch-Site": "cross-site"}, ON) == BY_KEY
