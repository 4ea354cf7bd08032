"""Runs a script in a VM's guest through a managed run command, and reads how it went.

The run command stays on the VM, with its whole output, for whoever wants to look into it; its name tells runs apart.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.resource_ids import parse
from adapters.wire import at, text

_ENDED = ("succeeded", "failed", "timedout", "canceled")


class ScriptRun(Struct, frozen=True):
    """How a script goes: Azure's word for its state, its exit code (None: none yet), what it has written."""

    state: str
    exit_code: int | None = None
    output: str = ""

    @property
    def has_ended(self) -> bool:
        """It will not change any more."""
        return self.state.lower() in _ENDED

    @property
    def went_well(self) -> bool:
        """It has ended by itself, with exit code 0."""
        return self.state.lower() == "succeeded" and self.exit_code == 0


def start_script(vm_id: str, location: str, name: str, script: str, timeout_seconds: int) -> None:
    """Begin to run a script under this name. One that runs already is left to it. Raises StepFailed."""
    vm = parse(vm_id)
    body: Any = {
        "location": location,
        "properties": {
            "source": {"script": script},
            "asyncExecution": False,
            "timeoutInSeconds": timeout_seconds,
            "treatFailureAsDeploymentFailure": False,
        },
    }
    try:
        with translated():
            connection().compute(vm.subscription).virtual_machine_run_commands.begin_create_or_update(
                vm.group, vm.name, name, body, polling=False
            )
    except StepFailed as failed:
        if failed.error.code != "Conflict" or read_script(vm_id, name) is None:
            raise


def read_script(vm_id: str, name: str) -> ScriptRun | None:
    """How the script of this name goes, None when the VM or the run command does not exist. Raises StepFailed."""
    vm = parse(vm_id)
    try:
        with translated():
            commands = connection().compute(vm.subscription).virtual_machine_run_commands
            found = commands.get_by_virtual_machine(vm.group, vm.name, name, expand="instanceView").as_dict()
    except StepFailed as failed:
        if is_missing(failed):
            return None
        raise
    view = at(found, "properties", "instanceView")
    code = at(view, "exitCode")
    output = "\n".join(part for part in (text(view, "output"), text(view, "error")) if part)
    return ScriptRun(text(view, "executionState"), code if isinstance(code, int) else None, output)
