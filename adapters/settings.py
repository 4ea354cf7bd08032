"""The app's settings: typed, read from the environment in one place, with an error that names the setting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from msgspec import Struct

from rollout.notifying import SEVERITIES, Severity

Cloud = Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"]
WebhookFormat = Literal["cloudevents", "teams", "slack"]
TelemetryTarget = Literal["off", "azure", "console"]

APP_ROOT = Path(__file__).resolve().parent.parent
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the text names it and says what to write instead."""


class SecretAddress:
    """An address that is a secret, as those of chat webhooks are; it does not show itself in any text."""

    def __init__(self, value: str = "") -> None:
        self.value = value

    def __bool__(self) -> bool:
        """There is one."""
        return bool(self.value)

    def __eq__(self, other: object) -> bool:
        """It is the same address."""
        return isinstance(other, SecretAddress) and other.value == self.value

    def __hash__(self) -> int:
        """Equal addresses have equal ones."""
        return hash(self.value)

    def __repr__(self) -> str:
        """Never the address."""
        return "SecretAddress(***)" if self.value else "SecretAddress()"


class Settings(Struct, frozen=True):
    """What the app is told by its environment.

    `policy_file` is absolute; `policy_url` is the blob that is read instead, "" for none. `arm_endpoint` is "" for the
    cloud's own Resource Manager. `client_id` names the user-assigned identity to use, "" for the system-assigned one.
    `view_seconds` is how long a look at a host pool serves everybody who looks. `record` is the table service that
    keeps the record, "" for none. `topic` is the Event Grid topic and `webhook` the address that get notifications; the
    webhook gets them in `webhook_format`, and those only that are at least of `webhook_severity`. `app_url` is the
    app's own address, for links, "" when nobody knows it.
    """

    policy_file: Path
    policy_url: str = ""
    arm_endpoint: str = ""
    cloud: Cloud = "AzureCloud"
    client_id: str = ""
    view_seconds: float = 30
    record: str = ""
    topic: str = ""
    webhook: SecretAddress = SecretAddress()
    webhook_format: WebhookFormat = "cloudevents"
    webhook_severity: Severity = "info"
    app_url: str = ""


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read GOLDROLL_POLICY, _ARM_ENDPOINT, _CLOUD, _VIEW_SECONDS, _RECORD, _TOPIC, _WEBHOOK, _WEBHOOK_FORMAT,
    _WEBHOOK_SEVERITY, _URL, WEBSITE_HOSTNAME and AZURE_CLIENT_ID; empty is unset.

    A relative policy file lies in the app's own folder; a policy that begins with http is a blob. Raises SettingsError.
    """
    values = os.environ if environment is None else environment
    policy = values.get("GOLDROLL_POLICY") or "goldroll.yaml"
    return Settings(
        policy_file=APP_ROOT / ("goldroll.yaml" if _is_url(policy) else policy),
        policy_url=_blob(policy) if _is_url(policy) else "",
        arm_endpoint=_endpoint("GOLDROLL_ARM_ENDPOINT", values),
        cloud=cast(Cloud, _one_of("GOLDROLL_CLOUD", values, "AzureCloud", get_args(Cloud))),
        client_id=values.get("AZURE_CLIENT_ID") or "",
        view_seconds=_seconds(values.get("GOLDROLL_VIEW_SECONDS") or "30"),
        record=_endpoint("GOLDROLL_RECORD", values),
        topic=_endpoint("GOLDROLL_TOPIC", values),
        webhook=_webhook(values.get("GOLDROLL_WEBHOOK") or ""),
        webhook_format=cast(
            WebhookFormat, _one_of("GOLDROLL_WEBHOOK_FORMAT", values, "cloudevents", get_args(WebhookFormat))
        ),
        webhook_severity=cast(Severity, _one_of("GOLDROLL_WEBHOOK_SEVERITY", values, "info", SEVERITIES)),
        app_url=_app_url(values),
    )


class TelemetrySettings(Struct, frozen=True):
    """Where measurements, spans and lines of the log go. `connection_string` is that of Application Insights.

    `role` and `instance` are what the platform calls this app and this copy of it.
    """

    target: TelemetryTarget = "off"
    connection_string: str = ""
    role: str = "goldroll"
    instance: str = ""


def read_telemetry_settings(environment: Mapping[str, str] | None = None) -> TelemetrySettings:
    """Read GOLDROLL_TELEMETRY and what the platform says; empty is off. Raises SettingsError.

    Apart from `read_settings`, because a rollout shall not stop over it.
    """
    values = os.environ if environment is None else environment
    target = cast(TelemetryTarget, _one_of("GOLDROLL_TELEMETRY", values, "off", get_args(TelemetryTarget)))
    connection_string = values.get("APPLICATIONINSIGHTS_CONNECTION_STRING") or ""
    if target == "azure" and not connection_string:
        raise SettingsError("GOLDROLL_TELEMETRY: azure needs APPLICATIONINSIGHTS_CONNECTION_STRING as well")
    role, instance = values.get("WEBSITE_SITE_NAME") or "goldroll", values.get("WEBSITE_INSTANCE_ID") or ""
    return TelemetrySettings(target, connection_string, role, instance)


def is_plain_loopback(endpoint: str) -> bool:
    """The endpoint is unencrypted HTTP to this machine: a simulated Azure, which gets no credential."""
    parts = urlsplit(endpoint)
    return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS


def _is_url(policy: str) -> bool:
    return policy.lower().startswith(("http:", "https:"))


def _blob(url: str) -> str:
    """The address of a blob without a signature: the app's identity reads it, and the setting holds no secret."""
    parts = urlsplit(url)
    is_blob = parts.scheme == "https" and ".blob." in (parts.hostname or "") and parts.path.count("/") >= 2
    if parts.query or not (is_blob or is_plain_loopback(url)):
        # The query is not repeated: it may be a signature.
        raise SettingsError(
            "GOLDROLL_POLICY: expected a file, or a blob https://….blob.core.windows.net/container/goldroll.yaml "
            f"without a signature, got {url.partition('?')[0]!r}{' with one' if parts.query else ''}"
        )
    return url


def _endpoint(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name) or ""
    if not value or urlsplit(value).scheme == "https" or is_plain_loopback(value):
        return value.rstrip("/")
    raise SettingsError(f"{name}: expected an https:// address, or http:// on this machine, got {value!r}")


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if 0 <= seconds <= 3600:
        return seconds
    raise SettingsError(f"GOLDROLL_VIEW_SECONDS: expected a number of seconds up to 3600, got {value!r}")


def _webhook(value: str) -> SecretAddress:
    """The value is not repeated in the error: it is a secret, or a reference to one that could not be resolved."""
    if not value or is_plain_loopback(value) or (urlsplit(value).scheme == "https" and urlsplit(value).hostname):
        return SecretAddress(value)
    raise SettingsError(
        "GOLDROLL_WEBHOOK: expected an https:// address, or http:// on this machine, got something else"
    )


def _app_url(values: Mapping[str, str]) -> str:
    host = values.get("WEBSITE_HOSTNAME") or ""
    is_local = host.partition(":")[0] in LOOPBACK_HOSTS
    own = f"{'http' if is_local else 'https'}://{host}" if host else ""
    return _endpoint("GOLDROLL_URL", values) or own


def _one_of(name: str, values: Mapping[str, str], default: str, known: tuple[str, ...]) -> str:
    value = values.get(name) or default
    for one in known:
        if one.lower() == value.lower():
            return one
    raise SettingsError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
