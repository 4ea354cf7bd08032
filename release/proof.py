"""Proves that a package starts: unpacked elsewhere, with requirements.txt and nothing else installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from msgspec import Struct

INDEX = """
import json, sys, time
started = time.perf_counter()
from function_app import app
names = [function.get_function_name() for function in app.get_functions()]
print(json.dumps({"functions": names, "seconds": round(time.perf_counter() - started, 3)}))
"""
"""What the Functions worker does with the app: import function_app and list its functions."""


class Start(Struct, frozen=True):
    """How a package started: names of its functions, and the seconds from the first import to the last function."""

    functions: tuple[str, ...]
    seconds: float


class NotStarted(Exception):
    """The package cannot be installed or started; the text ends with what pip or Python said."""


def unpack(package: Path, folder: Path) -> Path:
    """Unpack a package into an empty folder and return that folder."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


def install(app: Path, environment: Path) -> Path:
    """Make a virtual environment with the app's requirements only; return its interpreter. Raises NotStarted."""
    _run([sys.executable, "-m", "venv", str(environment)], app)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([str(python), "-m", "pip", "install", *options, "--requirement", "requirements.txt"], app)
    return python


def start(app: Path, python: Path, before: str = "") -> Start:
    """Import the app in a new process and list its functions; `before` is code to run first. Raises NotStarted.

    The process sees no other path than the app's own folder and what the interpreter has installed.
    """
    script = f"import sys\nsys.path.insert(0, {str(app)!r})\n{before}\n{INDEX}"
    printed = json.loads(_run([str(python), "-I", "-c", script], app).splitlines()[-1])
    return Start(tuple(printed["functions"]), printed["seconds"])


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode != 0:
        raise NotStarted("\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))
    return done.stdout
