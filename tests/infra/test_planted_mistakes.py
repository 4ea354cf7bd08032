"""Each rule bites: one mistake planted in a good file is found, and by a sentence that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.infra import published_types
from tests.infra.bicep import read
from tests.infra.rules import INFRA, findings
from tests.infra.trim_types import PACKAGES

ROLE = """
targetScope = 'subscription'

resource reader 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id)
  properties: {
    roleName: 'Reader'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [{ actions: ['Microsoft.Compute/virtualMachines/*'] }]
  }
}
"""

MISTAKES = [
    ("storage.bicep", "kind: 'StorageV2'", "kind 'StorageV2'", "this is no Bicep"),
    ("storage.bicep", "allowCrossTenantReplication:", "allowCrossTenant:", "properties.allowCrossTenant is unknown"),
    ("storage.bicep", "defaultToOAuthAuthentication: true", "defaultToOAuthAuthentication: 'yes'", "must be a boolean"),
    ("storage.bicep", "'Allow' : 'Deny'", "'Allow' : 'Denied'", "networkAcls.defaultAction is 'Denied'"),
    ("storage.bicep", "days: retentionDays", "days: name", "deleteRetentionPolicy.days is name, a string"),
    ("storage.bicep", "storageAccounts@2024-01-01' = {", "storageAccounts@2024-01-31' = {", "is no published type"),
    ("storage.bicep", "storageAccounts@2024-01-01' = {", "storageAccount@2024-01-01' = {", "is no published type"),
    ("storage.bicep", "  sku: { name: sku }\n", "", "sku is missing"),
    ("storage.bicep", "  kind: 'StorageV2'", "  id: 'x'\n  kind: 'StorageV2'", "id is read-only"),
    ("storage.bicep", "days: retentionDays", "days: 7", "the parameter retentionDays is not used"),
    ("storage.bicep", "days: retentionDays", "days: retention", "retention is not declared"),
    (
        "storage.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "allowSharedKeyAccess must be False",
    ),
    ("storage.bicep", "TLS1_2", "TLS1_0", "minimumTlsVersion must be 'TLS1_2'"),
    ("storage.bicep", "string = account.name", "string = account.listKeys().keys[0].value", "listKeys() reads keys"),
    ("function_app.bicep", "httpsOnly: true", "httpsOnly: false", "properties.httpsOnly must be True"),
    ("function_app.bicep", "name: 'appsettings'", "name: 'appsetting'", "name is 'appsetting' and must be one of"),
    ("function_app.bicep", "instanceMemoryMB: instanceMemory", "instanceMemoryMB: '2048'", "must be an integer"),
    (
        "function_app.bicep",
        "param planName string",
        "param planName string\n\nvar spare = 1",
        "variable spare is not used",
    ),
    (
        "monitoring.bicep",
        "dailyQuotaGb: dailyLimitGb",
        "dailyQuotaGb: 'much'",
        "dailyQuotaGb is 'much' and must be a number",
    ),
    (
        "event_subscription.bicep",
        "operatorType: 'StringIn'",
        "operatorType: 'StringsIn'",
        "is 'StringsIn' and must be one",
    ),
    ("event_subscription.bicep", "maxDeliveryAttempts: 30", "maxDeliveryAttempts: true", "must be an integer"),
    ("role_assignments.bicep", "id\n  }", "'b24988ac-6180-42a0-ab88-20f7382dd24c'\n  }", "Contributor is more than"),
    ("main.bicep", "modules/identity.bicep", "modules/identities.bicep", "there is no file modules/identities.bicep"),
    ("main.bicep", "roles: ['blobContributor']", "roles: 'blobContributor'", "must be string[]"),
    ("main.bicep", "topicName:", "topic:", "modules/image_events.bicep has no parameter topic"),
    ("main.bicep", "exists: !empty(existingSystemTopic)", "", "modules/image_events.bicep needs the parameter exists"),
    ("main.bicep", "app.outputs.url", "app.outputs.address", "the module has no output address"),
]


@pytest.mark.parametrize(("name", "good", "bad", "sentence"), MISTAKES, ids=[f"{m[0]}: {m[3]}" for m in MISTAKES])
def test_a_planted_mistake_is_found(name: str, good: str, bad: str, sentence: str) -> None:
    path = next(INFRA.rglob(name))
    text = path.read_text("utf-8")
    assert good in text, "the place for the mistake is gone"
    found = findings(read(path, text.replace(good, bad, 1)))
    assert any(sentence in one for one in found), found


@pytest.mark.parametrize(
    "text",
    [
        "@secure()\nparam joinKey string\n\noutput joined string = joinKey\n",
        "@secure()\nparam joinKey string\n\nvar line = 'join ${joinKey}'\n\noutput joined string = line\n",
    ],
    ids=["as it is", "through a variable"],
)
def test_a_secret_in_an_output_is_found(text: str) -> None:
    found = findings(read(Path("planted.bicep"), text))
    assert any("the output joined holds a secret" in one for one in found), found


def test_a_password_that_is_not_marked_secure_is_found() -> None:
    found = findings(read(Path("planted.bicep"), "param adminPassword string\n\nvar x = adminPassword\n"))
    assert any("adminPassword is not marked @secure()" in one for one in found), found


def test_a_secret_with_a_default_is_found() -> None:
    found = findings(read(Path("planted.bicep"), "@secure()\nparam joinKey string = 'hunter2'\n"))
    assert any("the secret joinKey has a default" in one for one in found), found


def test_a_role_with_a_wildcard_is_found() -> None:
    found = findings(read(Path("planted.bicep"), ROLE))
    assert found == ["line 4: the role reader has the wildcard 'Microsoft.Compute/virtualMachines/*'"]


def test_a_role_without_a_wildcard_passes() -> None:
    assert findings(read(Path("planted.bicep"), ROLE.replace("/*", "/read"))) == []


def test_the_types_are_those_of_the_packages_that_are_named() -> None:
    document = json.loads(published_types.FILE.read_text("utf-8"))
    assert tuple(document["packages"]) == PACKAGES, "run: python -m tests.infra.trim_types"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"disableLocalAuth": "true"}, "properties.disableLocalAuth is 'true' and must be a boolean"),
        ({"inputSchema": "CloudEvents"}, "properties.inputSchema is 'CloudEvents' and must be one of"),
        ({"endpoint": "https://a.example"}, "properties.endpoint is read-only"),
        ({"localAuth": False}, "properties.localAuth is unknown"),
        ({"inputSchemaMapping": {}}, "run python -m tests.infra.trim_types"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_no_file_says_yet_can_be_judged(wrong: dict[str, object], sentence: str) -> None:
    topic = {"name": "lifecycle", "location": "uksouth", "properties": wrong}
    (found,) = published_types.problems("Microsoft.EventGrid/topics@2025-02-15", topic)
    assert sentence in found
