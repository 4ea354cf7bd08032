"""The one place that knows which Azure the app talks to: endpoint, credential and transport.

Everything else asks `connection()`. Tests and the demo put another one in its place with `use`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.call_budget import CallBudget
from adapters.settings import Cloud, SettingsError, is_plain_loopback, read_settings

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport
    from azure.data.tables import TableClient
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.desktopvirtualization import DesktopVirtualizationMgmtClient
    from azure.monitor.query import LogsQueryClient

    from rollout.model import PoolSnapshot

CONNECT_SECONDS, READ_SECONDS = 10, 60
"""How long a call may take before it counts as lost. ARM answers within seconds; longer work is an operation."""


STORAGE_SCOPE = "https://storage.azure.com/.default"
"""The same in every cloud."""

TOPIC_SCOPE = "https://eventgrid.azure.net/.default"
"""The same in every cloud, as in Azure's own library."""

RECORD_TABLE = "goldroll"
BESIDE_SECONDS = 10
"""How long a call beside the steps of a turn may take: to the record, the topic or the webhook."""

EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by Microsoft for storage emulators on a developer's machine."""


class CloudEndpoints(NamedTuple):
    """Where a cloud's Resource Manager, sign-in service and Log Analytics are, and what a token is asked for."""

    manager: str
    scope: str
    authority: str
    logs: str


CLOUDS: dict[Cloud, CloudEndpoints] = {
    "AzureCloud": CloudEndpoints(
        "https://management.azure.com",
        "https://management.azure.com/.default",
        "login.microsoftonline.com",
        "https://api.loganalytics.io",
    ),
    "AzureUSGovernment": CloudEndpoints(
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net/.default",
        "login.microsoftonline.us",
        "https://api.loganalytics.us",
    ),
    "AzureChinaCloud": CloudEndpoints(
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
        "login.chinacloudapi.cn",
        "https://api.loganalytics.azure.cn",
    ),
}


class KeptSecret:
    """A secret that was read from Azure and when; it does not show itself in any text."""

    def __init__(self, value: str, read_at: datetime) -> None:
        self.value = value
        self.read_at = read_at


class KeptPower(NamedTuple):
    """The power states of a subscription's VMs, when they were listed, and which pools have made use of them."""

    states: dict[str, str]
    read_at: datetime
    served: set[str]


class Connection:
    """A Resource Manager endpoint with what is needed to talk to it; hands out one client for each subscription.

    `credential` None sends no credential at all, which only unencrypted loopback endpoints are meant for. `transport`
    None means HTTPS over the network. `logs` is where Log Analytics is, "" where the Resource Manager is: a simulated
    Azure has one address for both. `clock` tells seconds, for the call budget. Clients never retry, never follow a
    redirect and never register a resource provider by themselves: those would sleep inside an activity, and the
    rollout's next turn does it better. There is no logging policy either, as requests carry registration tokens and
    passwords.
    """

    def __init__(
        self,
        endpoint: str,
        credential: TokenCredential | None,
        transport: HttpTransport[Any, Any] | None = None,
        *,
        scope: str = CLOUDS["AzureCloud"].scope,
        logs: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for address in (endpoint, logs or endpoint):
            if credential is not None and not address.startswith("https://"):
                raise ValueError(f"a credential is sent over https only, not to {address}")
        self._logs = logs.rstrip("/") or endpoint.rstrip("/")
        self._endpoint = endpoint.rstrip("/")
        self._credential = credential
        self._transport = self._own_transport = transport
        self._scope = scope
        self._budget = CallBudget(clock)
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self.refuses_large_pages = False
        self.kept_tokens: dict[str, KeptSecret] = {}
        self.kept_reads: dict[str, tuple[datetime, object]] = {}
        self.kept_power: dict[str, KeptPower] = {}
        self.kept_pictures: dict[str, PoolSnapshot] = {}

    def compute(self, subscription: str) -> ComputeManagementClient:
        """Virtual machines and galleries of a subscription."""
        from azure.mgmt.compute import ComputeManagementClient

        return self._client("compute", subscription, ComputeManagementClient)  # type: ignore[no-any-return]

    def desktop_virtualization(self, subscription: str) -> DesktopVirtualizationMgmtClient:
        """Host pools of a subscription and what belongs to them."""
        from azure.mgmt.desktopvirtualization import DesktopVirtualizationMgmtClient

        return self._client("avd", subscription, DesktopVirtualizationMgmtClient)  # type: ignore[no-any-return]

    def arm(self) -> ARMPipelineClient[Any, Any]:
        """Bare calls to the Resource Manager, for bodies that a client library would refuse to read, or read slowly."""
        from azure.mgmt.core import ARMPipelineClient

        with self._lock:
            if ("arm", "") not in self._clients:
                self._clients["arm", ""] = ARMPipelineClient(self._endpoint, **self._pipeline(decoded=False))
            return self._clients["arm", ""]  # type: ignore[no-any-return]

    def logs(self) -> LogsQueryClient:
        """Queries of Log Analytics workspaces; its tokens are its own."""
        from azure.monitor.query import LogsQueryClient

        with self._lock:
            if ("logs", "") not in self._clients:
                credential, scope = self._credential or _NoCredential(), f"{self._logs}/.default"
                self._clients["logs", ""] = LogsQueryClient(
                    credential, endpoint=self._logs, **self._pipeline(scope=scope)
                )
            return self._clients["logs", ""]  # type: ignore[no-any-return]

    def storage(self) -> PipelineClient[Any, Any]:
        """Bare calls to blobs, whole addresses of which are given with each."""
        from azure.core import PipelineClient

        with self._lock:
            if ("storage", "") not in self._clients:
                pipeline = self._pipeline(decoded=False, scope=STORAGE_SCOPE)
                self._clients["storage", ""] = PipelineClient("", **pipeline)
            return self._clients["storage", ""]  # type: ignore[no-any-return]

    def record_table(self, endpoint: str) -> TableClient:
        """The table that keeps the record, at a table service's endpoint.

        One on this machine is opened with the published key of storage emulators, which is no secret. It is given up
        soon when it does not answer: a rollout's turn goes on when it has.
        """
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.data.tables import TableClient

        credential: Any = self._credential
        if is_plain_loopback(endpoint):
            credential = AzureNamedKeyCredential(EMULATOR_ACCOUNT, EMULATOR_KEY)
        elif credential is None:
            raise SettingsError("GOLDROLL_RECORD: a simulated Azure has no credential for a table service in Azure")
        with self._lock:
            if ("record", endpoint) not in self._clients:
                self._clients["record", endpoint] = TableClient(
                    endpoint,
                    RECORD_TABLE,
                    credential=credential,
                    retry_total=0,
                    **self._given_up_soon(endpoint),
                )
            return self._clients["record", endpoint]  # type: ignore[no-any-return]

    def topic(self, endpoint: str) -> PipelineClient[Any, Any]:
        """Bare calls to the Event Grid topic at an endpoint, given up soon; one on this machine is simulated.

        azure-eventgrid 4.22.1 is not used: its client passes none of its options on for such a topic, and would try
        ten times, with minutes of sleep between, inside an activity.
        """
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy

        if is_plain_loopback(endpoint):
            return self._beside("topic", endpoint, [])
        if self._credential is None:
            raise SettingsError("GOLDROLL_TOPIC: a simulated Azure has no credential for a topic in Azure")
        return self._beside("topic", endpoint, [BearerTokenCredentialPolicy(self._credential, TOPIC_SCOPE)])

    def webhook(self, address: str) -> PipelineClient[Any, Any]:
        """Bare calls to a webhook, whose address is a secret: no credential, no redirect, no log."""
        return self._beside("webhook", address, [])

    def _beside(self, kind: str, address: str, more: list[Any]) -> PipelineClient[Any, Any]:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import HeadersPolicy, ProxyPolicy, UserAgentPolicy
        from azure.core.pipeline.transport import RequestsTransport

        with self._lock:
            if (kind, address) not in self._clients:
                given = self._given_up_soon(address)
                transport = given.pop("transport", None) or RequestsTransport(**given)
                policies = [HeadersPolicy(), UserAgentPolicy("goldroll"), ProxyPolicy(), *more]
                self._clients[kind, address] = PipelineClient("", policies=policies, transport=transport)
            return self._clients[kind, address]  # type: ignore[no-any-return]

    def _given_up_soon(self, endpoint: str) -> dict[str, Any]:
        """Options of a client beside a rollout's turn, which goes on when it has answered."""
        given: dict[str, Any] = {"connection_timeout": BESIDE_SECONDS, "read_timeout": BESIDE_SECONDS}
        if self._own_transport is not None and not is_plain_loopback(endpoint):
            given["transport"] = self._own_transport
        return given

    def _client(self, kind: str, subscription: str, library: Any) -> Any:
        with self._lock:
            if (kind, subscription) not in self._clients:
                self._clients[kind, subscription] = library(
                    self._credential or _NoCredential(), subscription, base_url=self._endpoint, **self._pipeline()
                )
            return self._clients[kind, subscription]

    def _pipeline(self, *, decoded: bool = True, scope: str = "") -> dict[str, Any]:
        from azure.core.pipeline.policies import (
            ContentDecodePolicy,
            HeadersPolicy,
            ProxyPolicy,
            RequestIdPolicy,
            UserAgentPolicy,
        )
        from azure.core.pipeline.transport import RequestsTransport
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        if self._transport is None:
            self._transport = RequestsTransport(connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
        policies: list[Any] = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy("goldroll"),
            ProxyPolicy(),
        ]
        if decoded:
            policies.append(ContentDecodePolicy())
        policies.append(_budget_policy(self._budget))
        if self._credential is not None:
            policies.append(ARMChallengeAuthenticationPolicy(self._credential, scope or self._scope))
        return {"policies": policies, "transport": self._transport}


def _budget_policy(budget: CallBudget) -> Any:
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class BudgetPolicy(SansIOHTTPPolicy[Any, Any]):
        """Keeps the call budget. An answer 429 says itself how long to wait, so it is no news for the budget."""

        def on_request(self, request: Any) -> None:
            budget.spend(request.http_request.method, request.http_request.url)

        def on_response(self, request: Any, response: Any) -> None:
            if response.http_response.status_code != 429:
                budget.learn(request.http_request.url, response.http_response.headers)

    return BudgetPolicy()


def connection() -> Connection:
    """The connection in use; the first call makes one from the settings."""
    if _current.connection is None:
        _current.connection = _from_settings()
    return _current.connection


def use(other: Connection | None) -> None:
    """Talk to another Azure from now on; None goes back to the one of the settings."""
    _current.connection = other


class _Current:
    connection: Connection | None = None


_current = _Current()


class _NoCredential:
    """Stands in where the client libraries demand a credential although none may be sent."""

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        """Never called, as no policy of the pipeline asks for a token."""
        raise PermissionError("no credential is sent to an unencrypted endpoint")


def _from_settings() -> Connection:
    settings = read_settings()
    if is_plain_loopback(settings.arm_endpoint):
        return Connection(settings.arm_endpoint, credential=None)
    from azure.identity import DefaultAzureCredential

    cloud = CLOUDS[settings.cloud]
    credential = DefaultAzureCredential(
        authority=cloud.authority, managed_identity_client_id=settings.client_id or None
    )
    return Connection(settings.arm_endpoint or cloud.manager, credential, scope=cloud.scope, logs=cloud.logs)
