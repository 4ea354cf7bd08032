"""The HTTP API for images: where their versions are."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func

from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import function_of
from triggers import images


def ask(name: str = "win11") -> tuple[int, Any]:
    url = f"http://127.0.0.1:7071/api/images/{name}/regions"
    request = func.HttpRequest(method="GET", url=url, body=b"", route_params={"name": name})
    response = function_of(images.show_regions)(request)
    return response.status_code, json.loads(response.get_body())


def with_replication(policy_file: PolicyFile, replication: str) -> None:
    policy_file.replace("name: win11\n", f"name: win11\n    replication: {{{replication}}}\n")


def test_each_version_is_compared_with_where_it_has_to_be(office: SimulatedOffice, policy_file: PolicyFile) -> None:
    with_replication(policy_file, "regions: [North Europe], approved_regions: [westeurope, northeurope]")
    office.office.publish("3.0.0", ["westeurope", "eastus"], replicas=2)

    status, body = ask()

    assert status == 200
    assert body["required"] == {"northeurope": ["the policy"], "westeurope": ["office"]}
    assert body["approved"] == ["westeurope", "northeurope"]
    newest, *older = body["versions"]
    assert (newest["version"], newest["replicas"]) == ("3.0.0", {"eastus": 2, "westeurope": 2})
    assert (newest["missing"], newest["surplus"], newest["unapproved"]) == (["northeurope"], ["eastus"], ["eastus"])
    assert [one["version"] for one in older] == ["2.0.0", "1.0.0"]
    assert older[0]["message"] == "2.0.0 is missing in northeurope"


def test_an_image_that_nobody_uses_is_needed_nowhere() -> None:
    assert ask("unused") == (200, {"image": "unused", "required": {}, "approved": [], "versions": []})


def test_an_unknown_image_is_said() -> None:
    status, problem = ask("win12")
    assert (status, problem["code"]) == (404, "UnknownImage")


def test_azure_that_cannot_be_read_is_a_problem(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/sessionHosts", Site.THROTTLED)
    status, problem = ask()
    assert (status, problem["code"]) == (502, "AzureUnreadable")
