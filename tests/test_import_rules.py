"""Plants one violation of each import rule in a copy of the tree's outline and expects the checks to name it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent

# A planted module and the one import in it, as import-linter prints them.
BROKEN_LAYERS_AND_OUTSIDERS = [
    ("rollout.planted_layer", "adapters.connect"),
    ("rollout.planted_azure", "azure"),
    ("rollout.planted_network", "requests"),
    ("rollout.planted_simulator", "simulator.estate"),
    ("adapters.planted_layer", "activities.verb"),
    ("adapters.planted_outsider", "localhost.host"),
    ("activities.planted_layer", "orchestrators.sequence"),
    ("activities.planted_outsider", "demo"),
    ("entities.planted_sibling", "orchestrators.sequence"),
    ("entities.planted_shortcut", "adapters.connect"),
    ("orchestrators.planted_sibling", "entities.lease"),
    ("orchestrators.planted_shortcut", "adapters.connect"),
    ("orchestrators.planted_layer", "triggers.http"),
    ("triggers.planted_outsider", "tests"),
    ("triggers.planted_benchmark", "benchmarks"),
    ("triggers.planted_doctor", "doctor"),
    ("simulator.planted_app", "activities.verb"),
    ("simulator.planted_host", "localhost.host"),
    ("simulator.planted_composition", "function_app"),
    ("localhost.planted_simulator", "simulator.estate"),
    ("localhost.planted_core", "rollout.pool"),
    ("localhost.planted_demo", "demo"),
]

ALLOWED = {
    "triggers.http": "import orchestrators.sequence\nimport rollout.pool\n",
    "orchestrators.sequence": "import activities.verb\nimport rollout.pool\nimport azure.durable_functions\n",
    "entities.lease": "import rollout.pool\n",
    "activities.verb": "import adapters.connect\nimport rollout.pool\n",
    "adapters.connect": "import azure.mgmt.compute\nimport rollout.pool\n",
    "rollout.pool": "import msgspec\nimport dateutil.rrule\n",
    "simulator.estate": "import rollout.pool\n",
    "localhost.host": "import aiohttp\nimport azure.functions\n",
}

IMPURE_LINES = [
    "import asyncio",
    "import os",
    "from os import environ",
    "from os import getenv",
    "import random",
    "import secrets",
    "import time",
    "from time import sleep",
    "import requests",
    "import aiohttp",
    "import subprocess",
    "import urllib.request",
    "from uuid import uuid4",
    "from pathlib import Path",
    "import azure.mgmt.compute",
    "from azure.identity import DefaultAzureCredential",
    "import simulator.estate",
    "datetime.datetime.now(datetime.UTC)",
    "datetime.datetime.utcnow()",
    "datetime.datetime.today()",
    "datetime.date.today()",
    "open('policy')",
]


@pytest.fixture
def outline(tmp_path: Path) -> Path:
    """The tree's packages with one harmless module in each, under the repository's own rules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["importlinter"]["root_packages"]
    for package in packages:
        write_module(tmp_path, f"{package}.__init__", "")
    for package in ("rollout", "orchestrators"):
        shutil.copy(ROOT / package / "ruff.toml", tmp_path / package)
    for module, text in ALLOWED.items():
        write_module(tmp_path, module, text)
    return tmp_path


def test_imports_that_go_the_allowed_way_pass(outline: Path) -> None:
    """Without this, a check that always fails would satisfy every other test here."""
    result = run(outline, "lint-imports")

    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_every_import_against_the_layers_or_of_an_outsider_is_named(outline: Path) -> None:
    for module, imported in BROKEN_LAYERS_AND_OUTSIDERS:
        write_module(outline, module, f"import {imported}\n")

    result = run(outline, "lint-imports")

    unnoticed = [
        f"{module} -> {imported}"
        for module, imported in BROKEN_LAYERS_AND_OUTSIDERS
        if f"{module} -> {imported} (l.1)" not in result.stdout
    ]
    assert result.returncode != 0
    assert unnoticed == [], result.stdout


@pytest.mark.parametrize("package", ["rollout", "orchestrators"])
def test_clocks_chance_and_io_are_named_where_a_decision_or_a_replay_would_differ(outline: Path, package: str) -> None:
    lines = ["import datetime", *IMPURE_LINES]
    write_module(outline, f"{package}.planted", "\n".join(lines) + "\n")

    result = run(outline, "ruff", "check", "--select", "TID251,PTH123", "--output-format", "concise", package)

    unnoticed = [
        line
        for number, line in enumerate(lines, start=1)
        if line in IMPURE_LINES and f"planted.py:{number}:" not in result.stdout
    ]
    assert result.returncode == 1
    assert unnoticed == [], result.stdout


def test_only_adapters_may_import_azures_management_libraries(outline: Path) -> None:
    planted = ["adapters", "activities", "entities", "triggers", "orchestrators", "rollout"]
    text = "import azure.core.exceptions\nimport azure.identity\nimport azure.mgmt.compute\n"
    for package in planted:
        write_module(outline, f"{package}.planted", text)
    (outline / "function_app.py").write_text(text, "utf-8")

    result = run(outline, "ruff", "check", "--select", "TID251", "--output-format", "concise", ".")

    reported = [Path(line.split(":")[0]).as_posix() for line in result.stdout.splitlines() if "TID251" in line]
    assert {path: reported.count(path) for path in reported} == {
        **{f"{package}/planted.py": 3 for package in planted if package != "adapters"},
        "function_app.py": 3,
    }


def test_the_composition_may_not_import_what_surrounds_the_app(outline: Path) -> None:
    outsiders = ["simulator", "localhost", "demo", "doctor", "benchmarks", "tests"]
    text = "".join(f"import {outsider}\n" for outsider in outsiders)
    (outline / "function_app.py").write_text(text, "utf-8")

    result = run(outline, "ruff", "check", "--select", "TID251", "--output-format", "concise", "function_app.py")

    assert [name for name in outsiders if f"`{name}` is banned" not in result.stdout] == []


def write_module(root: Path, name: str, text: str) -> None:
    """Write module `name` (dotted) below `root`, with its package's folder."""
    path = root.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in `folder`, with plain output wide enough to keep each import on its line."""
    variables = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "PYTHONPATH")}
    return subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=folder,
        env={**variables, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
