"""What can be typed at the two halves of `serve`: commands for bash and for PowerShell, ready to be copied."""

from __future__ import annotations

import os
from pathlib import Path


def instructions(host_url: str, azure_url: str, event: Path, store: Path) -> str:
    """The text that is shown when both halves listen. `event` holds an Event Grid event to post by hand."""
    webhook = f"{host_url}/runtime/webhooks/eventgrid?functionName=image_published"
    rollouts, versions = f"{host_url}/api/rollouts", f"{azure_url}/simulator/versions"
    bash = {
        "post the Event Grid event of version 2.0.0, which nobody has announced": (
            f"curl -i -X POST '{webhook}' -H 'aeg-event-type: Notification' "
            f"-H 'Content-Type: application/json' --data-binary @{event}"
        ),
        "or publish a version: Event Grid announces it by itself": (
            f'curl -X POST {versions} -d \'{{"name": "2.1.0"}}\''
        ),
        "see the rollouts, and one of them with its pools": (f"curl {rollouts}\n  curl {rollouts}/ID"),
        "see what Azure holds": f"curl {azure_url}/simulator/state",
    }
    powershell = {
        "post the event": (
            f"Invoke-WebRequest -Method Post '{webhook}' -Headers @{{'aeg-event-type'='Notification'}} "
            f"-ContentType application/json -InFile {event}"
        ),
        "or publish a version": (
            f'Invoke-RestMethod -Method Post {versions} -ContentType application/json -Body \'{{"name": "2.1.0"}}\''
        ),
        "see the rollouts": f"Invoke-RestMethod {rollouts}",
        "see what Azure holds": f"Invoke-RestMethod {azure_url}/simulator/state",
    }
    shells = [("PowerShell", powershell), ("bash", bash)]
    lines = ["", f"The app listens at {host_url}, the simulated Azure at {azure_url}. Ctrl+C stops both."]
    for shell, commands in shells if os.name == "nt" else reversed(shells):
        lines += ["", f"In {shell}:"]
        for purpose, command in commands.items():
            lines += [f"  # {purpose}", f"  {command}"]
    again = f"python3 dev.py serve --host-only --store {store}"
    return "\n".join(
        [*lines, "", f"Kill the local host whenever you like; it goes on where it was with:\n  {again}", ""]
    )
