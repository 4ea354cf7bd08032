"""Runs activities as Durable does: by name, with JSON in and JSON out."""

from __future__ import annotations

import importlib
import inspect
import json
from types import SimpleNamespace
from typing import Any

import msgspec

from rollout.model import SessionHost
from rollout.orders import activity_of, order
from rollout.pool import start
from rollout.steps import InstallAgent, JoinHost, ProvisionHost, Step
from tests.adapters.office import ROLLOUT, SimulatedOffice

CALLED_BY = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
"""The trace of the host that has called: as it comes in most cases, not recorded."""

INVOCATION = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=CALLED_BY, trace_state=""))
"""What the worker hands over besides."""


def run(name: str, payload: Any) -> Any:
    """The answer of the activity `name`."""
    function = getattr(importlib.import_module(f"activities.{name}"), name)._function.get_user_function()
    sent = json.loads(json.dumps(msgspec.to_builtins(payload)))
    wants_context = "context" in inspect.signature(function).parameters
    return json.loads(json.dumps(function(sent, INVOCATION) if wants_context else function(sent)))


def carry_out(office: SimulatedOffice, step: Step, rollout: str = ROLLOUT, **policy: Any) -> Any:
    """The answer of the activity that carries out a step of the office's rollout."""
    state = start(rollout, office.pool_id, office.office.version_id("2.0.0"), office.clock())
    return run(activity_of(step), order(step, state, office.policy(**policy), office.clock()))


def provisioning(office: SimulatedOffice, name: str, rollout: str = ROLLOUT, version: str = "1.0.0") -> Any:
    """Ask for a new host like those that the office has."""
    like = office.look().hosts[0]
    step = ProvisionHost(name, office.office.version_id(version), like.shape, "1", "a test asks for it")
    return carry_out(office, step, rollout)


def joining(office: SimulatedOffice, host: SessionHost) -> Any:
    """Join a new host to its directory."""
    return carry_out(office, JoinHost(host.name, host.vm_id, host.shape.location, "a test asks for it"))


def installing(office: SimulatedOffice, host: SessionHost) -> Any:
    """Install the agent on a new host."""
    return carry_out(office, InstallAgent(host.name, host.vm_id, host.shape.location, "a test asks for it"))
