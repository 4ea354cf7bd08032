"""What can be typed at the two halves of `serve`: commands for bash and for PowerShell, ready to be copied."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from demo.halves import FORGOTTEN_VERSION, WEBHOOK, Half, Place, Setting

NEXT_VERSION, LOST_VERSION = "2.1.0", "2.2.0"
"""Versions that the commands publish: one that Event Grid announces, and one whose event is lost."""


class Command(NamedTuple):
    """What a command is for, and how each shell has it."""

    purpose: str
    bash: str
    powershell: str


def instructions(setting: Setting, place: Place, host_pid: int) -> str:
    """The text that is shown when both halves listen: where they are, and what to type in another terminal."""
    shells = ("PowerShell", "bash") if os.name == "nt" else ("bash", "PowerShell")
    lines = [
        "",
        f"Watch it at {setting.dashboard_url}",
        f"The app listens at {setting.host_url}, the simulated Azure at {setting.azure_url}.",
        f"It is {setting.simulated:%A %H:%M} there; a simulated hour takes {_span(3600 / setting.speed)}, see --speed.",
        "Type these in another terminal; what the app does appears in this one. Ctrl+C stops both.",
    ]
    for shell in shells:
        lines += ["", f"{shell}:"]
        for command in commands(setting, place, host_pid):
            lines += [f"  # {command.purpose}", f"  {command.bash if shell == 'bash' else command.powershell}"]
    return "\n".join([*lines, ""])


def commands(setting: Setting, place: Place, host_pid: int) -> list[Command]:
    """The commands, in the order of a first visit."""
    webhook, rollouts = setting.host_url + WEBHOOK, f"{setting.host_url}/api/rollouts"
    versions, state = f"{setting.azure_url}/simulator/versions", f"{setting.azure_url}/simulator/state"
    notifications = f"{setting.azure_url}/simulator/notifications"
    sweep = f"{setting.host_url}/admin/functions/sweep"
    published, lost = f'{{"name": "{NEXT_VERSION}"}}', f'{{"name": "{LOST_VERSION}", "announced": false}}'
    again = start_again("host", place)
    return [
        Command(
            f"Post the Event Grid event of version {FORGOTTEN_VERSION}, which lies unannounced in the gallery: 202",
            f"curl -i -X POST '{webhook}' -H 'aeg-event-type: Notification' -H 'Content-Type: application/json' "
            f"--data-binary {shlex.quote(f'@{place.event}')}",
            f"Invoke-WebRequest -UseBasicParsing -Method Post '{webhook}' "
            f"-Headers @{{'aeg-event-type'='Notification'}} -ContentType application/json "
            f"-InFile {_powershell_quoted(str(place.event))}",
        ),
        Command(
            "See how the rollout stands, and its host pool (take the id from the first answer)",
            f"curl -s {rollouts} | python3 -m json.tool\n  curl -s {rollouts}/ID | python3 -m json.tool",
            f"Invoke-RestMethod {rollouts} | ConvertTo-Json -Depth 9\n"
            f"  Invoke-RestMethod {rollouts}/ID | ConvertTo-Json -Depth 9",
        ),
        Command(
            "See what Azure holds: session hosts with their versions, who is drained, how people fared",
            f"curl -s {state} | python3 -m json.tool",
            f"Invoke-RestMethod {state} | ConvertTo-Json -Depth 9",
        ),
        Command(
            "See what people would be told of it, as a webhook gets it",
            f"curl -s {notifications} | python3 -m json.tool",
            f"Invoke-RestMethod {notifications} | ConvertTo-Json -Depth 9",
        ),
        Command(
            "Kill the local host in the middle of it and start it again: it goes on where it was",
            f"kill -9 {host_pid}\n  {again}",
            f"Stop-Process -Force -Id {host_pid}\n  {again}",
        ),
        Command(
            f"Publish version {NEXT_VERSION}: Event Grid announces it, and it supersedes a rollout that still runs",
            f"curl -X POST {versions} -d '{published}'",
            f"Invoke-RestMethod -Method Post {versions} -ContentType application/json -Body '{published}'",
        ),
        Command(
            f"Publish version {LOST_VERSION} and lose its event: the sweep, which runs every 15 minutes, starts it",
            f"curl -X POST {versions} -d '{lost}'\n  curl -i -X POST {sweep}",
            f"Invoke-RestMethod -Method Post {versions} -ContentType application/json -Body '{lost}'\n"
            f"  Invoke-RestMethod -Method Post {sweep}",
        ),
    ]


def start_again(half: Half, place: Place) -> str:
    """The command that starts one half on the store that there is."""
    if os.name == "nt":
        return f"py dev.py serve --{half}-only --store {_powershell_quoted(str(place.store))}"
    return f"python3 dev.py serve --{half}-only --store {shlex.quote(str(place.store))}"


def _powershell_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _span(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.0f} minutes"
    return "a minute" if seconds == 60 else f"{seconds:.0f} seconds"
