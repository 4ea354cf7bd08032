"""The app's settings: typed, read from the environment in one place, with an error that names the setting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from msgspec import Struct

Cloud = Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"]

APP_ROOT = Path(__file__).resolve().parent.parent
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the text names it and says what to write instead."""


class Settings(Struct, frozen=True):
    """What the app is told by its environment.

    `policy_file` is absolute. `arm_endpoint` is "" for the cloud's own Resource Manager. `client_id` names the
    user-assigned identity to use, "" for the system-assigned one. `record` is the table service that keeps the record,
    "" for none.
    """

    policy_file: Path
    arm_endpoint: str = ""
    cloud: Cloud = "AzureCloud"
    client_id: str = ""
    record: str = ""


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read GOLDROLL_POLICY, _ARM_ENDPOINT, _CLOUD, _RECORD and AZURE_CLIENT_ID; unset and empty are the same.

    A relative policy file lies in the app's own folder. Raises SettingsError.
    """
    values = os.environ if environment is None else environment
    return Settings(
        policy_file=APP_ROOT / (values.get("GOLDROLL_POLICY") or "goldroll.yaml"),
        arm_endpoint=_endpoint("GOLDROLL_ARM_ENDPOINT", values),
        cloud=_cloud(values.get("GOLDROLL_CLOUD") or "AzureCloud"),
        client_id=values.get("AZURE_CLIENT_ID") or "",
        record=_endpoint("GOLDROLL_RECORD", values),
    )


def is_plain_loopback(endpoint: str) -> bool:
    """The endpoint is unencrypted HTTP to this machine: a simulated Azure, which gets no credential."""
    parts = urlsplit(endpoint)
    return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS


def _endpoint(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name) or ""
    if not value or urlsplit(value).scheme == "https" or is_plain_loopback(value):
        return value.rstrip("/")
    raise SettingsError(f"{name}: expected an https:// address, or http:// on this machine, got {value!r}")


def _cloud(value: str) -> Cloud:
    for cloud in get_args(Cloud):
        if cloud.lower() == value.lower():
            return cast(Cloud, cloud)
    raise SettingsError(f"GOLDROLL_CLOUD: expected one of {', '.join(get_args(Cloud))}, got {value!r}")
