"""The deployable zip holds the app and nothing else, is the same each time, and starts with its requirements alone."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

import pytest

from release.__main__ import main
from release.package import APP, Package, build
from release.proof import NotStarted, start, unpack

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_BYTES = 1024 * 1024
SLOWEST_START = 8.0
"""Seconds. It takes less than one on an idle machine; a build agent with two busy cores is not one."""

ONLY_REQUIREMENTS = """
import importlib.metadata, re, sys
wanted = {re.split("[=;]", line)[0].strip().lower().replace("_", "-")
          for line in open("requirements.txt", encoding="utf-8") if line.strip() and line[0] != "#"}
owners = importlib.metadata.packages_distributions()
hidden = {top for top, names in owners.items() if not wanted & {name.lower().replace("_", "-") for name in names}}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in requirements.txt", name=name)
sys.meta_path.insert(0, Hide())
"""
"""Hides every installed library that requirements.txt does not name, as if only that file had been installed."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build(ROOT, tmp_path_factory.mktemp("package") / "goldroll.zip")


def test_the_package_starts_with_nothing_but_its_requirements(package: Package, tmp_path: Path) -> None:
    started = start(unpack(package.path, tmp_path / "app"), Path(sys.executable), ONLY_REQUIREMENTS)

    assert {"image_published", "roll_out_image", "roll_host_pool", "decide_turn"} <= set(started.functions)
    assert started.seconds < SLOWEST_START


def test_a_package_that_needs_a_library_of_development_does_not_start(package: Package, tmp_path: Path) -> None:
    app = unpack(package.path, tmp_path / "app")
    (app / "function_app.py").write_text("import pytest\n", encoding="utf-8")

    with pytest.raises(NotStarted, match=r"pytest is not in requirements\.txt"):
        start(app, Path(sys.executable), ONLY_REQUIREMENTS)


def test_the_package_is_small_and_holds_nothing_that_surrounds_the_app(package: Package) -> None:
    tops = {name.split("/")[0] for name in package.files}

    assert package.size < MOST_BYTES
    assert tops.isdisjoint({"simulator", "localhost", "tests", "benchmarks", "demo", "release", "infra", ".git"})
    assert [name for name in package.files if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_same_tree_gives_the_same_bytes(package: Package, tmp_path: Path) -> None:
    assert build(ROOT, tmp_path / "again.zip").sha256 == package.sha256


def a_tree(folder: Path, *names: str) -> Path:
    for name in (*names, ".funcignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(".funcignore\n__pycache__\nnotes.md\ntests\n", encoding="utf-8")
    return folder


def test_what_funcignore_names_stays_out_at_any_depth(tmp_path: Path) -> None:
    names = ("host.json", "rollout/notes.md", "rollout/one.py", "rollout/__pycache__/one.pyc", "rollout/tests/test.py")

    built = build(a_tree(tmp_path / "tree", *names), tmp_path / "out" / "app.zip")

    assert built.files == ("host.json", "rollout/one.py")
    with zipfile.ZipFile(built.path) as archive:
        assert archive.namelist() == ["host.json", "rollout/one.py"]


def test_what_lies_about_in_a_checkout_stays_out(tmp_path: Path) -> None:
    strays = ("plan.json", "mine.yaml", "secrets.env", ".env", "scratch/function_app.py", "host.json.bak")

    built = build(a_tree(tmp_path / "tree", "function_app.py", *strays), tmp_path / "app.zip")

    assert built.files == ("function_app.py",)


def test_everything_that_belongs_to_the_app_is_in_the_package(package: Package) -> None:
    assert {name.partition("/")[0] for name in package.files} == APP


def test_the_command_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "goldroll.zip")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"goldroll\.zip: \d+ files, \d+ kB, sha256 [0-9a-f]{64}\n", said)
