"""`python -m doctor`, or shorter `python3 dev.py doctor`. Reads and judges; changes nothing.

Exit codes: 0 no errors (perhaps warnings), 1 at least one finding of severity error, 2 nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.errors import StepFailed
from adapters.fitness_reader import read_facts
from adapters.policy_source import PolicyUnusable, current_policy
from adapters.settings import SettingsError, read_settings
from doctor.simulated import simulated_azure
from rollout.fitness import Finding, finding, judge, openings

NO_ERRORS, ERRORS, NOT_CHECKED = range(3)


class Report(msgspec.Struct, frozen=True):
    """What was found, and when windows open next (UTC)."""

    findings: tuple[Finding, ...]
    openings: dict[str, tuple[datetime, ...]] = {}
    checked: bool = True

    @property
    def exit_code(self) -> int:
        """See the module."""
        if not self.checked:
            return NOT_CHECKED
        return ERRORS if any(one.severity == "error" for one in self.findings) else NO_ERRORS


def examine(now: datetime) -> Report:
    """Check the policy and the Azure of the settings. Never raises for what is wrong with either."""
    try:
        policy = current_policy()
    except PolicyUnusable as error:
        return Report((finding("PolicyInvalid", "policy", str(error)),))
    try:
        facts = read_facts(policy, now)
    except StepFailed as failed:
        id = "SignInFailed" if failed.error.code in ("SignInFailed", "Unauthorized") else "CouldNotCheck"
        return Report((finding(id, "Azure", str(failed)),), openings(policy, now), checked=False)
    return Report(judge(policy, facts), openings(policy, now))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    chosen = _options().parse_args(arguments)
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    if chosen.policy:
        os.environ["GOLDROLL_POLICY"] = str(Path(chosen.policy).resolve())
    if chosen.endpoint:
        os.environ["GOLDROLL_ARM_ENDPOINT"] = chosen.endpoint
    try:
        read_settings()
    except SettingsError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return NOT_CHECKED
    if chosen.simulated:
        with simulated_azure() as now:
            report = examine(now)
    else:
        report = examine(datetime.now(UTC))
    if chosen.json:
        print(json.dumps({**_plain(report), "exit_code": report.exit_code}, indent=2))
    else:
        show(report, Console())
    return report.exit_code


def show(report: Report, console: Console) -> None:
    """Print the report for people."""
    if report.findings:
        table = Table(show_lines=True)
        for heading in ("Severity", "Finding"):
            table.add_column(heading, no_wrap=True)
        table.add_column("Where", ratio=1, overflow="fold")
        table.add_column("Found and remedy", ratio=2, overflow="fold")
        for one in report.findings:
            # Text that Azure or a policy has written must not be taken for markup.
            severity = Text(one.severity, "red" if one.severity == "error" else "yellow")
            table.add_row(severity, one.id, Text(one.subject), Text(f"{one.found}\n-> {one.remedy}"))
        console.print(table)
    for name, moments in report.openings.items():
        when = ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in moments) or "never"
        console.print(f"{name} opens next at (UTC): {when}", markup=False, highlight=False)
    if not report.checked:
        console.print("Nothing could be checked.", style="red")
    elif not report.findings:
        console.print("Everything fits: no findings.", style="green")


def _plain(report: Report) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python3 dev.py doctor",
        description="Check that a policy, the Azure that it names and the identity's roles fit together. Only reads.",
    )
    options.add_argument("--policy", help="the policy file (default: GOLDROLL_POLICY, or goldroll.yaml)")
    options.add_argument("--json", action="store_true", help="print the findings as JSON")
    where = options.add_mutually_exclusive_group()
    where.add_argument("--endpoint", help="the Resource Manager to ask, such as that of `python3 dev.py serve`")
    where.add_argument("--simulated", action="store_true", help="check the demo's office in a simulated Azure")
    return options


if __name__ == "__main__":
    sys.exit(main())
