"""Queries of Log Analytics through the real client: what is a number, what is no data, and what is neither."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from activities import query_logs
from adapters import connect
from rollout.policy import SignInFailuresGate
from rollout.query_gate import QueryFacts, filled
from rollout.sign_ins import sign_in_query
from simulator.errors import AzureError
from simulator.faults import Site
from simulator.log_analytics import Asked, Refused, Result, Table, one
from simulator.transport import transport_to
from tests.adapters.office import SimulatedOffice
from tests.adapters.test_connection import AskedForScopes
from tests.triggers.durable import function_of

WORKSPACE = "11111111-2222-3333-4444-555555555555"
QUERY = 'Errors\n| where Message has "héllo\\"" and Pools in (dynamic(["{}"]))\n| count'


def knows(office: SimulatedOffice, result: Result | Exception, query: str = QUERY) -> None:
    """The workspace gives this for the query."""

    def answer(asked: Asked) -> Result:
        if isinstance(result, Exception):
            raise result
        return result

    office.estate.workspaces.add(WORKSPACE).knows[query] = answer


def ask(office: SimulatedOffice, query: str = QUERY, workspace: str = WORKSPACE) -> Any:
    now = office.estate.now()
    question = {
        "ring": "validation",
        "name": "errors",
        "workspace_id": workspace,
        "query": query,
        "start": (now - timedelta(hours=3)).isoformat(),
        "end": now.isoformat(),
    }
    return function_of(query_logs.query_logs)(question)


def error(office: SimulatedOffice, **asked: Any) -> tuple[str, str]:
    found = ask(office, **asked)["error"]
    return found["code"], found["message"]


def cell(value: Any, column_type: str) -> Result:
    return one(value, column_type)


# ----------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "column_type", "number"),
    [(3, "long", 3.0), (0, "int", 0.0), (2.5, "real", 2.5), ("2.50", "decimal", 2.5), (-1, "long", -1.0)],
)
def test_the_first_cell_is_the_number(office: SimulatedOffice, value: Any, column_type: str, number: float) -> None:
    knows(office, cell(value, column_type))
    assert ask(office) == {"number": number}


def test_everything_but_the_first_cell_of_the_first_table_is_left_aside(office: SimulatedOffice) -> None:
    first = Table((("Count", "long"), ("Name", "string")), ((7, "a"), (8, "b")))
    knows(office, Result((first, Table((("Count", "long"),), ((99,),), "Other"))))
    assert ask(office) == {"number": 7.0}


def test_the_query_and_its_time_arrive_as_they_were_meant(office: SimulatedOffice) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Result:
        seen.append(asked)
        return one(1)

    workspace = office.estate.workspaces.add(WORKSPACE)
    workspace.knows[QUERY] = answer
    ask(office)
    ((method, path, body),) = office.requests
    assert (method, path) == ("POST", f"/v1/workspaces/{WORKSPACE}/query")
    assert body["query"] == QUERY
    assert seen[0].end == office.estate.now()
    assert seen[0].start == office.estate.now() - timedelta(hours=3)


# ----------------------------------------------------------------------------------------------------- no data


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Result((Table((("Count", "long"),)),)), "it gives no row"),
        (Result(()), "it gives no row"),
        (cell(None, "long"), "its first cell is empty"),
        (cell("NaN", "real"), "its first cell is not finite, as after a division by zero"),
        (cell("Infinity", "real"), "its first cell is not finite, as after a division by zero"),
    ],
    ids=["no row", "no table", "null", "nan", "infinity"],
)
def test_what_is_missing_is_no_data_and_not_zero(office: SimulatedOffice, result: Result, why: str) -> None:
    knows(office, result)
    assert ask(office) == {"no_data": why}


# ------------------------------------------------------------------------------------------------------- broken queries


@pytest.mark.parametrize(
    ("value", "column_type"),
    [("many", "string"), ("7", "string"), (True, "bool"), ("00:10:00", "timespan"), ({"a": 1}, "dynamic")],
)
def test_anything_but_a_number_is_a_broken_query(office: SimulatedOffice, value: Any, column_type: str) -> None:
    knows(office, cell(value, column_type))
    assert error(office) == ("QueryBroken", f"its first cell is no number but of type {column_type}")


def test_a_query_that_is_not_understood_is_broken_and_the_innermost_reason_is_told(office: SimulatedOffice) -> None:
    why = "'where' operator: Failed to resolve table or column expression named 'Errrs'"
    knows(office, Refused("SemanticError", why))
    assert error(office) == ("QueryBroken", why)
    assert "retry_after" not in ask(office)["error"]


# -------------------------------------------------------------------------------------------- what may heal by itself


def test_a_partial_result_is_not_counted(office: SimulatedOffice) -> None:
    knows(office, Result(one(3).tables, partial="Query result set has exceeded the internal record count limit"))
    code, message = error(office)
    assert code == "PartialResult"
    assert message.startswith("the result is not complete")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (AzureError(403, "InsufficientAccessError", "The provided credentials have insufficient access"), None),
        (AzureError(429, "ThrottledError", "Too many requests", retry_after=40), "TooManyRequests"),
        (AzureError(504, "GatewayTimeout", "The query took too long"), None),
    ],
)
def test_what_azure_refuses_is_told_and_is_no_broken_query(
    office: SimulatedOffice, refusal: AzureError, code: str | None
) -> None:
    knows(office, refusal)
    found = ask(office)["error"]
    assert found["code"] == (code or refusal.code)
    assert found["message"] == refusal.message
    assert found.get("retry_after", 0) == (refusal.retry_after or 0)
    assert len(office.requests) == 1


def test_a_workspace_that_is_not_there_is_told(office: SimulatedOffice) -> None:
    code, message = error(office, workspace="99999999-2222-3333-4444-555555555555")
    assert (code, message) == ("WorkspaceNotFoundError", "The workspace could not be found")


def test_a_lost_connection_is_told(office: SimulatedOffice) -> None:
    knows(office, one(1))
    office.faults.fail_next("POST", "/query", Site.LOST_RESPONSE)
    assert error(office)[0] == "ConnectionLost"


@pytest.mark.parametrize("row", [(), (1, 2, 3)])
def test_a_row_that_does_not_fit_its_columns_kills_nobody(office: SimulatedOffice, row: tuple[Any, ...]) -> None:
    knows(office, Result((Table((("Count", "long"),), (row,)),)))
    assert error(office)[0] == "UnreadableAnswer"


# ------------------------------------------------------------------------------------------------------- who is asked


@pytest.mark.parametrize("cloud", connect.CLOUDS)
def test_each_cloud_has_its_own_log_analytics_and_token(office: SimulatedOffice, cloud: Any) -> None:
    knows(office, one(1))
    endpoints, credential = connect.CLOUDS[cloud], AskedForScopes()
    transport = transport_to(office.arm, endpoints.logs)
    connect.use(
        connect.Connection(endpoints.manager, credential, transport, scope=endpoints.scope, logs=endpoints.logs)
    )
    assert ask(office) == {"number": 1.0}
    assert credential.scopes == {f"{endpoints.logs}/.default"}


def test_a_credential_never_goes_to_log_analytics_over_plain_http() -> None:
    with pytest.raises(ValueError, match="https"):
        connect.Connection("https://management.azure.com", AskedForScopes(), logs="http://api.loganalytics.io")


# --------------------------------------------------------------------------------------------------- failed sign-ins


def test_failed_sign_ins_are_counted_from_the_connection_logs(office: SimulatedOffice) -> None:
    gate = sign_in_query(SignInFailuresGate(workspace_id=WORKSPACE, least_sign_ins=4))
    workspaces = office.estate.workspaces
    workspaces.add(WORKSPACE).knows[gate.query] = workspaces.failed_sign_ins(4)
    done = office.estate.now()

    def asked() -> Any:
        now = office.estate.now()
        return ask(office, filled(gate.query, QueryFacts("2.0.0", "all", (office.pool_id,), done, done, now)))

    for person in ("ann", "bob", "cleo"):
        assert office.estate.sessions.sign_in(office.pool_id, person)
    for host in office.estate.hosts.list(office.pool_id):
        office.estate.hosts.update(office.pool_id, host.name, allow_new_session=False)
    assert office.estate.sessions.sign_in(office.pool_id, "dan") is None
    assert asked() == {"no_data": "it gives no row"}  # they are younger than a quarter of an hour

    office.wait(minutes=16)
    assert asked() == {"number": 25.0}
