"""ARM routes of managed run commands."""

from __future__ import annotations

from collections.abc import Iterator

from simulator import ids
from simulator.estate import Estate
from simulator.run_commands import RUN_COMMAND, RunCommand
from simulator.wire import Answer, Json, Request, Route, accepted, compute_time, invalid

_COMMAND = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{machine}"
    "/runCommands/{command}"
)


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    yield Route("GET", _COMMAND, "virtualMachineRunCommands.get", these.get)
    yield Route("PUT", _COMMAND, "virtualMachineRunCommands.put", these.put)
    yield Route("DELETE", _COMMAND, "virtualMachineRunCommands.delete", these.delete)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._commands = estate.run_commands

    def get(self, request: Request) -> Answer:
        command = self._commands.get(_machine_id(request), request.names["command"])
        with_view = request.query.get("$expand", "").lower() == "instanceview"
        return Answer(200, run_command_body(command, instance_view=with_view))

    def put(self, request: Request) -> Answer:
        script = (request.properties().get("source") or {}).get("script")
        if not isinstance(script, str) or not script:
            raise invalid("Required parameter 'source.script' is missing (null).", "source.script")
        command = self._commands.put(_machine_id(request), request.names["command"], script)
        return accepted(request, command.operation, status=201, body=run_command_body(command))

    def delete(self, request: Request) -> Answer:
        return Answer(200 if self._commands.delete(_machine_id(request), request.names["command"]) else 204)


def run_command_body(command: RunCommand, *, instance_view: bool = False) -> Json:
    """A run command as ARM shows it; how the script went is only in the instance view."""
    properties: Json = {
        "source": {"script": command.script},
        "asyncExecution": False,
        "provisioningState": command.provisioning_state,
    }
    if instance_view:
        view: Json = {
            "executionState": command.execution_state,
            "output": command.output,
            "error": command.error,
            "startTime": compute_time(command.started_at),
        }
        if command.exit_code is not None:
            view["exitCode"] = command.exit_code
        if command.ended_at is not None:
            view["endTime"] = compute_time(command.ended_at)
        properties["instanceView"] = view
    return {
        "id": command.id,
        "name": command.name,
        "type": RUN_COMMAND,
        "location": command.machine.region,
        "tags": {},
        "properties": properties,
    }


def _machine_id(request: Request) -> str:
    return ids.machine_id(request.subscription, request.group, request.names["machine"])
