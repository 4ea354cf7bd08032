"""docs/getting-started.md as a newcomer follows it: its commands are run, and print what the page says.

A comment before each block says how it is tried: `try: alone`, `try: beside serve`, or `tried by` other tests. On the
page `...` stands for anything, and where a line or a cell is broken does not matter; beside serve numbers may differ,
because it is another minute of the day there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import dev
from demo.halves import OWN_GROUP, stop
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "getting-started.md"
SLOWLY = 5
"""Simulated seconds per second: a canary is being made for as long as somebody needs to look at it."""

_LINES_OF_TABLES = re.compile("[\u2500-\u257f]+")
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block, and the comment right before it."""

    mark: str
    kind: str
    text: str

    def steps(self) -> list[tuple[str, str]]:
        """The commands, each with what the page shows below it."""
        parts = re.split(r"^\$ (.+)$", self.text, flags=re.MULTILINE)[1:]
        return list(zip(parts[::2], parts[1::2], strict=True))


BLOCKS = [Block(one["mark"] or "", one["kind"], one["text"]) for one in _BLOCK.finditer(PAGE.read_text("utf-8"))]
ALONE = [step for block in BLOCKS if block.mark == "try: alone" for step in block.steps()]
BESIDE = [step for block in BLOCKS if block.mark == "try: beside serve" for step in block.steps()]


def printed(command: str, folder: Path, **more: str) -> str:
    """What a command of the page prints, run by this Python in a folder that has the files of the page."""
    python, script, verb, *rest = shlex.split(command)
    assert (python, script) == ("python3", "dev.py")
    module = dev.VERBS[verb].module
    assert module is not None
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110", "PYTHONIOENCODING": "utf-8", **more}
    line = [sys.executable, "-m", module, *rest]
    ran = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    return ran.stdout + ran.stderr


def agrees(shown: str, output: str, *, numbers: bool) -> bool:
    """Whether the output is what the page shows, as far as the module says that it must be."""
    shown, output = _LINES_OF_TABLES.sub(" ", shown), _LINES_OF_TABLES.sub(" ", output)
    pattern = r"\s*".join(
        ".*?" if line.strip() == "..." else r"\s+".join(re.escape(word) for word in line.split())
        for line in shown.strip().splitlines()
    )
    if not numbers:
        pattern = re.sub(r"\d+", r"\\d+", pattern)
    return re.fullmatch(rf"\s*{pattern}\s*", output, re.DOTALL) is not None


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`python3 dev.py serve` on free ports; gives the app's address."""
    ready = folder / "ready.json"
    line = [sys.executable, "-m", "demo.serve", "--port", "0", "--azure-port", "0", "--speed", str(SLOWLY)]
    line += ["--store", str(folder / "host.sqlite"), "--ready-file", str(ready)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **OWN_GROUP)
    try:
        wait_for("serve listens", ready.exists)
        yield json.loads(ready.read_text("utf-8"))["host_url"]
    finally:
        stop(process)
        process.wait(timeout=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the page has its reader write."""
    for block in BLOCKS:
        if block.mark.startswith("file: "):
            (tmp_path / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("command", "shown"), ALONE, ids=[command for command, _ in ALONE])
def test_a_command_prints_what_the_page_shows(command: str, shown: str, folder: Path) -> None:
    output = printed(command, folder)
    assert agrees(shown, output, numbers=True), output


def test_the_walk_beside_serve_goes_as_the_page_shows(folder: Path) -> None:
    with served(folder) as url:
        for command, shown in BESIDE:
            output = ""

            def goes(command: str = command, shown: str = shown) -> bool:
                nonlocal output
                output = printed(command, folder, GOLDROLL_URL=url)
                return agrees(shown, output, numbers=False)

            if " status" in command:  # what was asked for takes effect with the rollout's next look
                wait_for(f"{command} shows:\n{shown}", goes, patience=30)
            else:
                assert goes(), f"{command}\n{output}"


def test_the_demo_tells_the_story_that_the_page_shows() -> None:
    story = (ROOT / "tests" / "scenarios" / "golden" / "happy.txt").read_text("utf-8").splitlines()
    (block,) = (block for block in BLOCKS if "dev.py demo\n" in block.text)
    told = re.findall(r"^\d\d:\d\d .+$|^Succeeded after .+$", block.text, re.MULTILINE)
    assert len(told) >= 8
    assert [line for line in told if line not in story] == []


def test_every_command_of_the_page_is_tried_somewhere() -> None:
    consoles = [block for block in BLOCKS if block.kind == "console"]
    assert len(ALONE) >= 3
    assert len(BESIDE) >= 6
    for block in consoles:
        assert block.mark.startswith(("try: alone", "try: beside serve", "tried by ")), block.text
        for path in re.findall(r"tests/[\w/]+\.py", block.mark):
            assert (ROOT / path).is_file(), path
    assert all("$ " not in block.text for block in BLOCKS if block.kind == "")


def test_a_page_that_shows_something_else_is_found_out() -> None:
    assert agrees("a 1\n...\nc", "a 1\nb\nb\nc\n", numbers=True)
    assert not agrees("a 1\n...\nc", "a 2\nc\n", numbers=True)
    assert agrees("a 1\nb", "a 27 b", numbers=False)
    assert not agrees("a 1\nb", "a 27 b and more", numbers=False)
