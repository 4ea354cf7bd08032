"""Telling people and signing them out: nobody twice, nobody who has come back."""

from __future__ import annotations

from typing import Any

from adapters import session_hosts
from rollout.model import SessionHost
from rollout.steps import NotifySessions, SignOutSessions
from simulator.errors import AzureError
from simulator.faults import Site
from tests.activities.orders import carry_out
from tests.adapters.office import SimulatedOffice

OK = {"ok": True}


def host_with_people(office: SimulatedOffice, at_least: int = 3) -> SessionHost:
    return next(host for host in office.look().hosts if len(host.sessions) >= at_least)


def notify(host: SessionHost) -> NotifySessions:
    ids = tuple(session.id for session in host.sessions)
    return NotifySessions(host.name, host.registration, ids, "Please save", "Until 17:00", "a test asks for it")


def sign_out(host: SessionHost, sessions: tuple[str, ...], forced: int) -> SignOutSessions:
    return SignOutSessions(host.name, host.registration, sessions, forced, "a test asks for it")


def messages(office: SimulatedOffice) -> list[Any]:
    return [body for _, path, body in office.requests if path.endswith("/sendMessage")]


def test_everybody_gets_the_message_once(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)

    assert carry_out(busy_office, notify(host)) == OK

    assert messages(busy_office) == [{"messageTitle": "Please save", "messageBody": "Until 17:00"}] * len(host.sessions)


def test_somebody_who_has_left_meanwhile_needs_no_message(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)
    session_hosts.sign_out(host.registration, host.sessions[0].id)

    assert carry_out(busy_office, notify(host)) == OK


def test_the_answer_names_those_whom_the_message_did_not_reach(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)
    second = host.sessions[1].id
    busy_office.faults.fail_next("POST", f"userSessions/{second}/", Site.SERVER_ERROR)

    answer = carry_out(busy_office, notify(host))

    assert answer["left"] == [second]
    assert answer["error"]["code"] in ("InternalServerError", "ServiceUnavailable")
    assert len(messages(busy_office)) == len(host.sessions)


def test_once_azure_asks_to_wait_the_rest_is_left_for_later(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)
    busy_office.faults.fail_next("POST", "sendMessage", AzureError(429, "TooManyRequests", "wait", retry_after=30))

    answer = carry_out(busy_office, notify(host))

    assert answer["left"] == [session.id for session in host.sessions]
    assert answer["error"]["retry_after"] == 30
    assert len(messages(busy_office)) == 1


def test_people_whose_grace_period_is_over_are_signed_out(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)
    active = tuple(session.id for session in host.sessions if not session.is_disconnected)

    assert carry_out(busy_office, sign_out(host, active, forced=len(active))) == OK

    left = {session.id for session in session_hosts.list_sessions(host.registration)}
    assert not left & set(active)


def test_somebody_who_has_come_back_to_a_disconnected_session_keeps_it(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)
    active = [session.id for session in host.sessions if not session.is_disconnected]
    back, overdue = active[0], active[1]

    # Decided when `back` was disconnected; now somebody sits in front of it again.
    answer = carry_out(busy_office, sign_out(host, (back, overdue), forced=1))

    assert answer["left"] == [back]
    assert answer["error"]["code"] == "SessionActive"
    left = {session.id for session in session_hosts.list_sessions(host.registration)}
    assert back in left
    assert overdue not in left


def test_a_session_that_has_ended_by_itself_is_signed_out_as_asked(busy_office: SimulatedOffice) -> None:
    host = host_with_people(busy_office)

    assert carry_out(busy_office, sign_out(host, ("999",), forced=0)) == OK
    assert carry_out(busy_office, sign_out(host, ("999",), forced=1)) == OK
