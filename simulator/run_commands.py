"""Managed run commands: scripts that run in a machine's guest, such as a smoke test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from simulator.errors import AzureError, not_found
from simulator.machines import Machine, Machines
from simulator.operations import Operation, Operations
from simulator.timings import draw
from simulator.world import World, public

RUN_COMMAND = "Microsoft.Compute/virtualMachines/runCommands"


@dataclass(slots=True, eq=False)
class RunCommand:
    """A script and how it went. `exit_code` is None until it has ended."""

    id: str
    name: str
    machine: Machine
    script: str
    operation: Operation
    started_at: datetime
    ended_at: datetime | None = None
    execution_state: str = "Running"
    exit_code: int | None = None
    output: str = ""
    error: str = ""

    @property
    def provisioning_state(self) -> str:
        """Creating until the script has ended; then Succeeded, also when the script itself has failed."""
        return "Creating" if self.ended_at is None else "Succeeded"


class RunCommands:
    """The run commands of every machine. A script ends well unless the image's smoke test fails."""

    def __init__(self, world: World, machines: Machines, operations: Operations) -> None:
        self.world = world
        self._machines = machines
        self._operations = operations
        self._rng = world.stream("run commands")
        self._commands: dict[str, RunCommand] = {}

    @public
    def put(self, machine_id: str, name: str, script: str) -> RunCommand:
        """Begin to run a script on a running machine, anew when there was a command of that name."""
        machine = self._machines.get(machine_id)
        if not machine.running:
            raise AzureError(409, "OperationNotAllowed", "The operation requires the VM to be running (or set to run).")
        command_id = f"{machine.id}/runCommands/{name}"
        existing = self._commands.get(command_id.lower())
        if existing is not None and existing.machine is machine and existing.ended_at is None:
            raise AzureError(409, "Conflict", "Run command extension execution is in progress. Please wait.")
        operation = self._operations.begin(machine.region, command_id)
        command = RunCommand(command_id, name, machine, script, operation, self.world.time)
        self._commands[command_id.lower()] = command
        seconds = draw(self._rng, self.world.timings.run_command, machine.flaws.slow)
        self.world.after(seconds, self._ended, command, by=self.world.actor)
        return command

    @public
    def get(self, machine_id: str, name: str) -> RunCommand:
        """The run command of this name, or a 404; those of an earlier machine of the same name are gone."""
        machine = self._machines.get(machine_id)
        command = self._commands.get(f"{machine.id}/runCommands/{name}".lower())
        if command is None or command.machine is not machine:
            raise not_found(RUN_COMMAND, f"{machine.name}/{name}", machine.group)
        return command

    @public
    def delete(self, machine_id: str, name: str) -> bool:
        """Remove a run command; False when there is none."""
        return self._commands.pop(f"{machine_id}/runCommands/{name}".lower(), None) is not None

    def _ended(self, command: RunCommand) -> None:
        command.ended_at = self.world.time
        if not command.machine.running:
            command.execution_state, command.error = "Failed", "The machine stopped while the script was running."
        elif command.machine.flaws.smoke_test_fails:
            command.execution_state, command.exit_code = "Failed", 1
            command.error = "The smoke test failed."
        else:
            command.execution_state, command.exit_code = "Succeeded", 0
            command.output = "The smoke test passed."
        self._operations.end(command.operation)
