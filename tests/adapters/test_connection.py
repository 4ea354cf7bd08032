"""Which Azure is talked to, with which credential, and what the pipeline must never do by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.core.pipeline.transport import RequestsTransport

from adapters import connect, virtual_machines
from adapters.connect import CLOUDS, Connection
from adapters.errors import StepFailed
from adapters.settings import APP_ROOT, SettingsError, read_settings
from simulator.errors import AzureError
from simulator.faults import Site
from simulator.transport import AnyoneCredential, session_to
from tests.adapters.office import SimulatedOffice, simulated_office

VM = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/avd-000"


def test_without_settings_it_is_the_public_cloud_and_the_packaged_policy() -> None:
    settings = read_settings({})

    assert settings.policy_file == APP_ROOT / "goldroll.yaml"
    assert (settings.arm_endpoint, settings.cloud, settings.client_id) == ("", "AzureCloud", "")


def test_settings_are_read() -> None:
    settings = read_settings(
        {
            "GOLDROLL_POLICY": "/etc/goldroll.yaml",
            "GOLDROLL_ARM_ENDPOINT": "http://127.0.0.1:7072/",
            "GOLDROLL_CLOUD": "azurechinacloud",
            "AZURE_CLIENT_ID": "id",
        }
    )

    assert settings.policy_file == Path("/etc/goldroll.yaml")
    assert settings.arm_endpoint == "http://127.0.0.1:7072"
    assert settings.cloud == "AzureChinaCloud"
    assert settings.client_id == "id"


@pytest.mark.parametrize(
    "endpoint", ["http://management.azure.com", "http://10.0.0.1:7072", "ftp://x", "management.azure.com", "http://"]
)
def test_an_endpoint_that_would_carry_tokens_in_the_open_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="GOLDROLL_ARM_ENDPOINT"):
        read_settings({"GOLDROLL_ARM_ENDPOINT": endpoint})


def test_an_unknown_cloud_is_refused() -> None:
    with pytest.raises(SettingsError, match="AzureUSGovernment"):
        read_settings({"GOLDROLL_CLOUD": "AzureMoon"})


def test_a_credential_never_goes_over_plain_http() -> None:
    with pytest.raises(ValueError, match="https"):
        Connection("http://127.0.0.1:7072", AnyoneCredential())


def test_a_loopback_endpoint_gets_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDROLL_ARM_ENDPOINT", "http://127.0.0.1:7072")
    with simulated_office() as office:
        sent = headers_sent(office, "http://127.0.0.1:7072", None)

    assert sent
    assert all("Authorization" not in headers for headers in sent)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_has_its_own_manager_and_scope(cloud: Any) -> None:
    with simulated_office() as office:
        endpoints = CLOUDS[cloud]
        credential = AskedForScopes()

        sent = headers_sent(office, endpoints.manager, credential, scope=endpoints.scope)

    assert credential.scopes == {endpoints.scope}
    assert all(headers["Authorization"] == "Bearer token" for headers in sent)


def test_nothing_is_retried_within_a_call(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "virtualMachines", Site.SERVER_ERROR, times=2)

    with pytest.raises(StepFailed):
        virtual_machines.list_in_group("/subscriptions/s/resourceGroups/rg")

    assert len(office.requests) == 1


def test_no_resource_provider_is_registered_behind_our_back(office: SimulatedOffice) -> None:
    office.arm.access = None  # the VM lies in a subscription where no role is assigned
    office.faults.fail_next(
        "DELETE",
        "virtualMachines",
        AzureError(409, "MissingSubscriptionRegistration", "not registered to use namespace 'Microsoft.Compute'"),
    )

    with pytest.raises(StepFailed, match="MissingSubscriptionRegistration"):
        virtual_machines.delete(VM)

    assert [method for method, _, __ in office.requests] == ["DELETE"]


def test_one_client_serves_a_subscription(office: SimulatedOffice) -> None:
    current = connect.connection()

    assert current.compute("s") is current.compute("s")
    assert current.compute("s") is not current.compute("t")
    assert current.arm() is current.arm()


class AskedForScopes(AnyoneCredential):
    """A credential that remembers what it was asked for."""

    def __init__(self) -> None:
        self.scopes: set[str] = set()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self.scopes |= set(scopes)
        return super().get_token(*scopes, **options)._replace(token="token")


def headers_sent(office: SimulatedOffice, endpoint: str, credential: Any, **options: Any) -> list[dict[str, str]]:
    """The headers of the calls that taking the pool's picture makes through such a connection."""
    sent: list[dict[str, str]] = []
    session = session_to(office.arm, endpoint)
    session.hooks["response"].append(lambda answer, **_: sent.append(dict(answer.request.headers)))
    transport = RequestsTransport(session=session, session_owner=False)
    connect.use(Connection(endpoint, credential, transport, **options))
    office.look()
    return sent
