"""The app as the Functions worker sees it: it loads, cheaply, and no function falls into a trap of worker or SDK."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import azure.functions as func
import pytest

from localhost.app import App, Function, load_app
from rollout import instance_ids
from rollout.orders import activity_of
from rollout.steps import Step

ROOT = Path(__file__).resolve().parent.parent

CALL_DURABLE = {"read_running_rollouts", "hand_over_record"}
"""Activities whose business is with other orchestrations."""

TRIGGERS = {"httpTrigger", "timerTrigger", "eventGridTrigger"}

EXPECTED = {
    "eventGridTrigger": {"image_published"},
    "timerTrigger": {"sweep", "start_scheduled", "watch_rollouts", "retire", "release_retained"},
    "httpTrigger": {
        *("start_rollout", "list_rollouts", "show_rollout", "approve_ring", "reject_ring", "make_plan"),
        *("show_schedule", "show_regions", "show_retirement", "start_retirement"),
        *("pause_rollout", "resume_rollout", "abort_rollout", "roll_back", "skip_host", "retry_host"),
        *("show_freeze", "order_freeze", "end_freeze", "describe_api"),
        *("list_pools", "show_pool", "show_dashboard", "show_dashboard_file"),
        *("show_events", "show_record"),
    },
    "orchestrationTrigger": {
        "roll_out_image",
        "roll_back_image",
        "roll_host_pool",
        "retire_image_versions",
        "release_retained_hosts",
        "keep_record",
    },
    "entityTrigger": {"freeze", "host_pool", "image_schedule"},
    "activityTrigger": {
        "decide_turn",
        "read_image_version",
        "read_pool_regions",
        "judge_hosts",
        "mark_version",
        "query_logs",
        "run_smoke_test",
        "set_replicas",
        "add_target_regions",
        "provision_host",
        "join_host",
        "install_agent",
        "start_draining",
        "stop_draining",
        "release_host",
        "notify_sessions",
        "sign_out_sessions",
        "remove_host",
        "retain_host",
        "restore_host",
        "remove_retained_hosts",
        "quarantine_host",
        "read_running_rollouts",
        "plan_retirement",
        "update_image_version",
        "delete_image_version",
        "write_record",
        "send_notifications",
        "hand_over_record",
    },
}

APP: App = load_app(ROOT)
FUNCTIONS = list(APP.functions.values())


def test_what_is_started_by_name_is_there_and_its_name_stands_in_one_place() -> None:
    names = {instance_ids.ROLL_OUT_IMAGE, instance_ids.ROLL_BACK_IMAGE, instance_ids.ROLL_HOST_POOL}
    assert names <= EXPECTED["orchestrationTrigger"]

    parts = ("rollout", "adapters", "activities", "orchestrators", "triggers", "demo", "benchmarks")
    sources = [path for part in parts for path in (ROOT / part).rglob("*.py")]
    written = [(path.stem, name) for path in sources for name in names if f'"{name}"' in path.read_text("utf-8")]
    assert sorted(written) == [("instance_ids", name) for name in sorted(names)]


def test_the_app_has_these_functions_and_no_others() -> None:
    assert {kind: {function.name for function in APP.of_kind(kind)} for kind in EXPECTED} == EXPECTED
    assert len(FUNCTIONS) == sum(len(names) for names in EXPECTED.values())


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_passes_the_workers_loading_rules(function: Function) -> None:
    for parameter, annotation in function.annotations.items():
        assert not isinstance(annotation, types.GenericAlias | types.UnionType), parameter
        assert typing.get_origin(annotation) is None, parameter
    bound = {binding["name"] for binding in function.bindings} - {"$return"}
    # A parameter without a binding may be the worker's own, the context of the invocation.
    given = {"context"} if function.annotations.get("context") is func.Context else set()
    assert bound == set(function.parameters) - given
    assert function.durable_name == function.name, "call_activity uses the name of the Python function"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_with_a_durable_client_is_asynchronous(function: Function) -> None:
    has_client = any(binding["type"] == "durableClient" for binding in function.bindings)

    assert function.kind in TRIGGERS or not has_client or function.name in CALL_DURABLE
    user_code = getattr(function.handler, "client_function", function.handler)
    assert asyncio.iscoroutinefunction(user_code) == has_client


@pytest.mark.parametrize("kind", ["orchestrationTrigger", "entityTrigger"])
def test_orchestrators_and_entities_call_their_parameter_context(kind: str) -> None:
    for function in APP.of_kind(kind):
        assert function.trigger["name"] == "context"


def test_events_arrive_raw_so_that_both_schemas_do() -> None:
    (function,) = APP.of_kind("eventGridTrigger")

    assert function.annotations["event"] is str


def test_every_way_in_asks_for_a_key() -> None:
    """All but the files of the page: they hold no data, and the page asks for the key before it asks for any."""
    levels = {function.name: function.trigger["authLevel"] for function in APP.of_kind("httpTrigger")}

    assert levels == dict.fromkeys(levels, "FUNCTION") | dict.fromkeys(
        ("show_dashboard", "show_dashboard_file"), "ANONYMOUS"
    )


def test_routes_and_schedule_are_as_documented() -> None:
    routes = {
        (method, function.trigger["route"])
        for function in APP.of_kind("httpTrigger")
        for method in function.trigger["methods"]
    }
    schedules = {timer.name: timer.trigger["schedule"] for timer in APP.of_kind("timerTrigger")}

    assert routes == {
        ("POST", "plan"),
        ("POST", "rollouts"),
        ("GET", "rollouts"),
        ("GET", "rollouts/{id}"),
        ("GET", "images/{name}/retirement"),
        ("POST", "images/{name}/retirement"),
        ("GET", "freeze"),
        ("POST", "freeze"),
        ("DELETE", "freeze"),
        ("GET", "openapi.json"),
        ("POST", "rollouts/{id}/approve"),
        ("POST", "rollouts/{id}/reject"),
        *(("POST", f"rollouts/{{id}}/{verb}") for verb in ("pause", "resume", "abort", "rollback", "skip", "retry")),
        ("GET", "images/{name}/schedule"),
        ("GET", "images/{name}/regions"),
        *(("GET", "pools"), ("GET", "pools/{name}"), ("GET", "dashboard"), ("GET", "dashboard/{file}")),
        ("GET", "rollouts/{id}/events"),
        ("GET", "record"),
    }
    assert schedules == {
        "sweep": "%GOLDROLL_SWEEP_SCHEDULE%",
        "start_scheduled": "%GOLDROLL_SWEEP_SCHEDULE%",
        "watch_rollouts": "%GOLDROLL_SWEEP_SCHEDULE%",
        "retire": "%GOLDROLL_RETIREMENT_SCHEDULE%",
        "release_retained": "%GOLDROLL_RETIREMENT_SCHEDULE%",
    }


def test_every_function_says_what_it_is_for() -> None:
    for function in FUNCTIONS:
        user_code = getattr(function.handler, "client_function", function.handler)
        user_code = getattr(user_code, "orchestrator_function", getattr(user_code, "entity_function", user_code))
        assert inspect.getdoc(user_code), function.name


def test_every_step_has_its_activity() -> None:
    for step in typing.get_args(Step):
        fields = [""] * len(step.__struct_fields__)
        assert APP.activity(activity_of(step(*fields))) is not None


def test_starting_the_app_loads_no_azure_management_library_and_no_telemetry() -> None:
    """They take half a second of every cold start, and are needed only when work begins."""
    heavy = re.compile(
        r"^(azure\.(mgmt|identity|eventgrid|core|monitor)|requests|yaml|msal|aiohttp_retry|psutil|opentelemetry\.sdk)(\.|$)"
    )
    before = _modules_after("import azure.functions, azure.durable_functions")
    nowhere = "InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=http://127.0.0.1:9/"
    told = {"GOLDROLL_TELEMETRY": "azure", "APPLICATIONINSIGHTS_CONNECTION_STRING": nowhere}
    after = _modules_after(f"import os; os.environ |= {told}; import function_app")

    assert [name for name in sorted(after - before) if heavy.match(name)] == []


def test_the_first_line_of_a_process_is_told_although_no_activity_has_run_in_it() -> None:
    line = "logging.getLogger('goldroll.story').warning('office: hello')"
    told = {"GOLDROLL_TELEMETRY": "console"}

    assert '"body": "office: hello"' in _printed(
        f"import os, logging; os.environ |= {told}; import function_app; {line}"
    )


def _modules_after(statement: str) -> set[str]:
    printed = _printed(f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))")
    return set(json.loads(printed.splitlines()[-1]))


def _printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout
