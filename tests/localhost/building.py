"""Builders: hosts on virtual time for the fixture apps, and short ways to start and read orchestrations."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localhost import Host, VirtualClock
from localhost.faults import ActivityFaults, CommitHook
from localhost.store import Instance

APPS = Path(__file__).parent / "apps"
MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def clock_at(moment: datetime = MONDAY) -> VirtualClock:
    """A virtual clock; by default on a Monday morning."""
    return VirtualClock(moment)


def host_of(
    app: str | Path,
    clock: VirtualClock | None = None,
    store: str | Path = ":memory:",
    *,
    settings: Mapping[str, str] | None = None,
    faults: ActivityFaults | None = None,
    on_commit: CommitHook | None = None,
) -> Host:
    """A host on a free port; app: the name of a fixture app, or a directory."""
    directory = APPS / app if isinstance(app, str) else app
    return Host(directory, clock or clock_at(), store, 0, settings=settings, faults=faults, on_commit=on_commit)


def start(host: Host, name: str, given: Any = None, instance_id: str = "it") -> str:
    """Start an orchestrator as the SDK's client does: the body is a JSON string that holds JSON text."""
    raw = "null" if given is None else json.dumps(json.dumps(given))
    return host.client.start(name, instance_id, raw)


def raise_event(host: Host, name: str, data: Any = None, instance_id: str = "it") -> None:
    """Send an external event as plain JSON."""
    host.client.raise_event(instance_id, name, json.dumps(data))


async def outcome_of(host: Host, name: str, given: Any = None) -> Any:
    """Start an orchestrator, run until nothing is left, and give its output; it must have completed."""
    start(host, name, given)
    await host.run_until()
    return output(host)


def output(host: Host, instance_id: str = "it") -> Any:
    """The output of a completed instance."""
    instance = host.client.instance(instance_id)
    assert instance.status == "Completed", f"{instance.status}: {instance.output}"
    return json.loads(instance.output)


def failure(host: Host, instance_id: str = "it") -> str:
    """The error text of a failed instance."""
    instance = host.client.instance(instance_id)
    assert instance.status == "Failed", f"{instance.status}: {instance.output}"
    return str(json.loads(instance.output))


def status(host: Host, instance_id: str = "it") -> str:
    """The runtime status."""
    return instance(host, instance_id).status


def instance(host: Host, instance_id: str = "it") -> Instance:
    """The instance."""
    return host.client.instance(instance_id)


def write_app(directory: Path, source: str) -> Path:
    """Write a function_app.py with the usual imports and an app object in front."""
    directory.mkdir(parents=True, exist_ok=True)
    head = "import azure.functions as func\nimport azure.durable_functions as df\napp = df.DFApp()\n"
    (directory / "function_app.py").write_text(head + source, encoding="utf-8")
    return directory
