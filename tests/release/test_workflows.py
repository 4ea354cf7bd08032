"""The GitHub workflows: actions pinned by commit, few permissions, nothing of a caller's pasted into a shell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import dev

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    ("release.yml", "contents"),
    ("release.yml", "id-token"),
    ("release.yml", "attestations"),
    ("deploy.yml", "id-token"),
}
"""What a workflow may do beyond reading, each for a reason that stands beside it."""


def workflow(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text("utf-8")))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def commands(path: Path) -> str:
    return "\n".join(step.get("run", "") for step in steps(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


def test_an_action_is_used_in_one_version_everywhere() -> None:
    used = {one for path in FILES for one in re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)}
    assert len(used) == len({one.partition("@")[0] for one in used})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_reads_and_writes_only_what_it_must(path: Path) -> None:
    document = workflow(path)
    assert document["permissions"] == {"contents": "read"}
    given = {item for job in document["jobs"].values() for item in job.get("permissions", {}).items()}
    assert {(path.name, scope) for scope, right in given if right == "write"} <= WRITES
    assert {right for _, right in given} <= {"read", "write"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_checkout_leaves_no_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_expression_is_pasted_into_a_shell(path: Path) -> None:
    assert "${{" not in commands(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_workflow_holds_a_secret(path: Path) -> None:
    assert "secrets." not in path.read_text("utf-8")


def test_every_verb_that_a_workflow_calls_exists() -> None:
    called = {verb for path in FILES for verb in re.findall(r"dev\.py (\w+)", commands(path))}
    assert {"check", "test", "package"} <= called <= dev.VERBS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_job_ends_in_time(path: Path) -> None:
    assert all(job["timeout-minutes"] <= 30 for job in workflow(path)["jobs"].values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_that_a_command_names_exists(path: Path) -> None:
    named = re.findall(r"(?:--file|--template-file|--requirement|cp) ([\w./-]+)", commands(path))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_checks_run_on_every_supported_python_and_on_windows() -> None:
    matrix = workflow(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["verify"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert any(one["os"] == "windows-latest" for one in matrix["include"])


def test_the_deployment_does_what_azd_does() -> None:
    """One way to subscribe to events: the hook of azure.yaml and the workflow run the same command."""
    hook = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["hooks"]["postdeploy"]["posix"]["run"]
    assert " ".join(hook.split()) in " ".join(commands(ROOT / ".github" / "workflows" / "deploy.yml").split())
