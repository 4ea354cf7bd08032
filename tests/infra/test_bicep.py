"""The Bicep files as they are: no finding, and they agree with the app, its host and its events."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.events import ImagePublished, read_event
from tests.infra.bicep import read, read_parameters
from tests.infra.rules import INFRA, ROOT, bicep_files, findings

OF_THE_HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
}
OF_THE_PLATFORM = {"WEBSITE_AUTH_ENABLED", "WEBSITE_HOSTNAME", "WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"}
FOR_THIS_MACHINE = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
APP_FOLDERS = ("activities", "adapters", "entities", "forecast", "orchestrators", "rollout", "triggers")


def declared_settings() -> dict[str, str]:
    """Settings that infra/ gives the app: name, and the line of Bicep that says its value."""
    text = "\n".join(path.read_text("utf-8") for path in bicep_files())
    lines = re.findall(r"^ +((?:GOLDROLL|APPLICATIONINSIGHTS|AZURE_CLIENT|AzureWebJobs)\w*): (.+)$", text, re.MULTILINE)
    return dict(lines)


def settings_in_code() -> set[str]:
    """Names of settings in the app's code: read from the environment, or between % in a trigger."""
    text = "\n".join(path.read_text("utf-8") for folder in APP_FOLDERS for path in (ROOT / folder).rglob("*.py"))
    quoted = re.findall(r"[\"%](GOLDROLL_[A-Z_]+|AZURE_[A-Z_]+|WEBSITE_[A-Z_]+|APPLICATIONINSIGHTS_[A-Z_]+)[\"%]", text)
    return set(quoted)


@pytest.mark.parametrize("path", bicep_files(), ids=lambda path: path.name)
def test_a_file_has_no_finding(path: Path) -> None:
    assert findings(read(path)) == []


def test_every_module_is_used() -> None:
    called = {one.target for one in read(INFRA / "main.bicep").of("module")}
    after_the_code = "modules/event_subscription.bicep"
    assert after_the_code in (ROOT / "azure.yaml").read_text("utf-8")
    assert called | {after_the_code} == {f"modules/{path.name}" for path in (INFRA / "modules").glob("*.bicep")}


def test_the_example_gives_only_parameters_that_exist_and_all_that_are_needed() -> None:
    parameters = {one.name: one for one in read(INFRA / "main.bicep").of("parameter")}
    example = read_parameters(INFRA / "main.bicepparam")
    assert example.broken == ()
    given = {one.name for one in example.of("variable")}
    assert given <= parameters.keys()
    assert {name for name, one in parameters.items() if not one.has_default} <= given


def test_every_setting_that_the_code_reads_is_declared_and_documented() -> None:
    read_by_code = settings_in_code() - OF_THE_PLATFORM
    assert read_by_code
    assert read_by_code <= declared_settings().keys()
    documentation = (ROOT / "docs" / "deploying.md").read_text("utf-8")
    assert [name for name in sorted(declared_settings()) if f"`{name}`" not in documentation] == []


def test_every_setting_that_is_declared_is_read_by_the_code_or_by_the_host() -> None:
    assert declared_settings().keys() - OF_THE_HOST <= settings_in_code()


def test_settings_for_this_machine_are_settings_of_the_app() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    assert set(example) - FOR_THIS_MACHINE <= declared_settings().keys()


def test_the_schedules_of_triggers_have_the_same_defaults_here_and_on_this_machine() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    parameters = {one.name: one.value for one in read(INFRA / "main.bicep").of("parameter")}
    assert parameters["sweepSchedule"] == example["GOLDROLL_SWEEP_SCHEDULE"]
    assert parameters["retirementSchedule"] == example["GOLDROLL_RETIREMENT_SCHEDULE"]


def test_the_host_finds_the_storage_that_its_tasks_use() -> None:
    durable = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["durableTask"]
    connection = durable["storageProvider"].get("connectionStringName", "AzureWebJobsStorage")
    assert durable["storageProvider"].get("type", "AzureStorage") == "AzureStorage"
    assert f"{connection}__accountName" in declared_settings()


def test_events_go_to_a_function_that_exists_and_reads_them() -> None:
    text = (INFRA / "modules" / "event_subscription.bicep").read_text("utf-8")
    function = re.search(r"/functions/(\w+)'", text)
    assert function is not None
    trigger = (ROOT / "triggers" / "image_published.py").read_text("utf-8")
    assert re.search(rf"@bp\.event_grid_trigger\(.*\)\n(@.*\n)*async def {function[1]}\(", trigger)
    types = re.findall(r"includedEventTypes: \['(.+?)'\]", text)
    operations = re.findall(r"values: \['(.+?)'\]", text)
    version = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.0.0"
    event = {"id": "1", "eventType": types[0], "subject": version, "data": {"operationName": operations[0]}}
    assert isinstance(read_event(json.dumps(event)), ImagePublished)


def test_every_output_that_the_hook_needs_is_put_out() -> None:
    hooks: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["hooks"]["postdeploy"]
    outputs = {one.name for one in read(INFRA / "main.bicep").of("output")}
    parameters = {one.name for one in read(INFRA / "modules" / "event_subscription.bicep").of("parameter")}
    for system in ("posix", "windows"):
        command = hooks[system]["run"]
        assert set(re.findall(r"\$(?:env:)?(\w+)", command)) <= outputs
        assert set(re.findall(r" (\w+)=", command)) == parameters


def test_the_roles_for_signing_in_are_told_apart() -> None:
    roles = json.loads((INFRA / "app-roles.json").read_text("utf-8"))
    assert [role["value"] for role in roles] == ["Reader", "Operator", "Approver"]
    assert len({role["id"] for role in roles}) == len(roles)


def test_every_parameter_and_alert_is_documented() -> None:
    documentation = (ROOT / "docs" / "deploying.md").read_text("utf-8")
    names = [one.name for one in read(INFRA / "main.bicep").of("parameter")]
    names += [rule["name"] for rule in json.loads((INFRA / "alerts.json").read_text("utf-8"))]
    assert [name for name in names if f"`{name}`" not in documentation] == []
