"""Goldroll's one command: makes its own environment, then runs the demo, the local host, the tests or the checks in it.

Needs nothing but Python 3.11 or newer, on Windows, macOS and Linux. What it says about itself goes to stderr, so that
stdout belongs to the verb alone (`demo --json` ends with one line of JSON).
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python must read this far, so nothing above or below is newer syntax
    sys.exit(
        "Goldroll needs Python 3.11 or newer; this is Python {}.{} ({}).\n"
        "Run it with a newer one, for example: python3.12 dev.py".format(*sys.version_info[:2], sys.executable)
    )

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent
STAMP = "goldroll.stamp"
INTERRUPTED = 130  # what a shell reports for Ctrl+C: 128 + SIGINT


class SetUpError(Exception):
    """The environment could not be made; the text is written for whoever typed the command."""


class Verb(NamedTuple):
    """One word of the command line: what it is for, and the module it hands its arguments to (none: done here)."""

    summary: str
    module: str | None


VERBS = {
    "demo": Verb("watch a published image version roll over a simulated host pool", "demo"),
    "serve": Verb("run the Functions app on a local host, beside a simulated Azure", "demo.serve"),
    "goldroll": Verb("plan, start, watch and steer rollouts of an app that runs, over its HTTP API", "command_line"),
    "doctor": Verb("check that a policy, the Azure it names and the app's roles fit together; only reads", "doctor"),
    "bench": Verb("measure ours against other ways to replace hosts, and against lower bounds", "benchmarks"),
    "simulate": Verb("run random rollouts and check every step against the invariants", "simulator.random_runs"),
    "package": Verb("build the zip that is deployed; --prove starts it with only its requirements", "release"),
    "test": Verb("run the tests; arguments go to pytest", None),
    "check": Verb("lint, formatting, types and import rules; --fix mends what can be mended", None),
}


def main(arguments: Sequence[str]) -> int:
    """Run one verb and return the exit code of what it ran (2 for a wrong command line, 130 after Ctrl+C)."""
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if verb in ("-h", "--help", "help"):
        print(overview())
        return 0
    if verb not in VERBS:
        _say(f"dev.py: there is no verb {verb!r}; choose from {', '.join(VERBS)}.")
        return 2
    environment = Environment(Path(os.environ.get("GOLDROLL_VENV") or ROOT / ".venv").absolute(), ROOT)
    try:
        if wants_help(rest):
            return show_help(verb, rest, environment)
        environment.prepare()
        return run_verb(verb, rest, environment)
    except SetUpError as error:
        _say(f"dev.py: {error}")
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted. Nothing is lost: run the same command again.")
        return INTERRUPTED


def overview() -> str:
    """The text of `dev.py --help`: every verb with its summary."""
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: python3 dev.py VERB [ARGUMENT ...]",
            "",
            *lines,
            "",
            "The first use makes an environment in .venv (GOLDROLL_VENV names another place); later ones reuse it.",
            "`python3 dev.py VERB --help` shows what a verb takes.",
        ]
    )


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for help rather than for work; what follows `--` is not ours to read."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(argument in ("-h", "--help") for argument in own)


def show_help(verb: str, arguments: Sequence[str], environment: "Environment") -> int:
    """Say what a verb takes. Help installs nothing: a module's own options are shown once its environment exists."""
    module = VERBS[verb].module
    if module is None:
        print({"test": TEST_HELP, "check": check_options().format_help().rstrip()}[verb])
        return 0
    if environment.is_ready():
        return run([environment.python, "-m", module, *arguments], environment)
    print(f"usage: python3 dev.py {verb} [ARGUMENT ...]\n\n{VERBS[verb].summary}")
    print(f"\nIts own options are shown here once the environment exists: `python3 dev.py {verb}` makes it.")
    return 0


def run_verb(verb: str, arguments: Sequence[str], environment: "Environment") -> int:
    """Run a verb in the prepared environment and return its exit code."""
    if verb == "test":
        return run([environment.python, "-m", "pytest", *pytest_arguments(arguments)], environment)
    if verb == "check":
        return check(check_steps(check_options().parse_args(arguments).fix), environment)
    return run([environment.python, "-m", str(VERBS[verb].module), *arguments], environment)


# -------------------------------------------------------------------------------------------------------------- test

TEST_HELP = """usage: python3 dev.py test [PYTEST ARGUMENT ...]

Runs the tests in two processes. Every argument goes to pytest, for instance:
  python3 dev.py test tests/rollout            one folder
  python3 dev.py test -k "canary and not slow" by name
  python3 dev.py test -n 0 --pdb               in one process, with the debugger at the first failure"""


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """What pytest gets: two processes that steal work from each other, unless the caller says how to distribute.

    Two, because a free CI machine has two cores; stealing, because a few tests (a killed host, the golden stories)
    take seconds while a thousand take milliseconds.
    """
    chosen = ("-n", "--numprocesses", "--dist", "--pdb", "--trace")
    if any(argument.startswith(chosen) for argument in arguments):
        return list(arguments)
    return ["-n", "2", "--dist", "worksteal", *arguments]


# ------------------------------------------------------------------------------------------------------------- check


class Step(NamedTuple):
    """One check: its name and the command, whose first word is a program of the environment."""

    name: str
    command: tuple[str, ...]


def check_options() -> argparse.ArgumentParser:
    """The command line of `check`."""
    options = argparse.ArgumentParser(prog="python3 dev.py check", description="Lint, formatting, types, import rules.")
    options.add_argument("--fix", action="store_true", help="mend lint and formatting in place first")
    return options


def check_steps(fix: bool) -> list[Step]:
    """The checks in the order they run: quick ones first, and mending before judging."""
    return [
        Step("lint", ("ruff", "check", *(["--fix"] if fix else []), ".")),
        Step("format", ("ruff", "format", *([] if fix else ["--check"]), ".")),
        Step("types", ("mypy", ".")),
        Step("imports", ("lint-imports",)),
    ]


def check(steps: Sequence[Step], environment: "Environment") -> int:
    """Run every step even when one fails, print each verdict (and what a failing one said), return 1 if any failed."""
    failed = []
    for step in steps:
        started = time.monotonic()
        program, *rest = step.command
        done = subprocess.run(
            [environment.program(program), *rest],
            cwd=environment.root,
            env=environment.variables(color=_on_terminal(sys.stdout)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        verdict = _colored("ok", "32") if done.returncode == 0 else _colored("FAILED", "31")
        print(f"{step.name:<8}{verdict}  ({' '.join(step.command)}, {time.monotonic() - started:.1f} s)", flush=True)
        if done.returncode != 0:
            failed.append(step.name)
            print(done.stdout.rstrip() + "\n", flush=True)
    if failed:
        print(f"check failed: {', '.join(failed)}")
    return 1 if failed else 0


# ------------------------------------------------------------------------------------------------------- environment


class Environment:
    """A virtual environment that holds requirements.txt and the dev group, and a stamp that says so.

    The stamp is written last. Whatever interrupts a set-up (Ctrl+C, a lost network, a power cut) therefore leaves an
    environment without a valid stamp, and the next run installs again over what is there.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return self.program("python")

    def program(self, name: str) -> str:
        """The path of a program that the environment's packages brought."""
        return str(self.path / ("Scripts/" + name + ".exe" if os.name == "nt" else "bin/" + name))

    def variables(self, *, color: bool = False) -> dict[str, str]:
        """The variables a child process gets: ours, UTF-8 everywhere, and the environment's programs first on PATH."""
        variables = {**os.environ, "PYTHONUTF8": "1", "VIRTUAL_ENV": str(self.path)}
        variables["PATH"] = os.pathsep.join([str(Path(self.python).parent), os.environ.get("PATH", "")])
        variables.pop("PYTHONHOME", None)
        if color:
            variables["FORCE_COLOR"] = "1"
        return variables

    def fingerprint(self) -> str:
        """What the stamp must hold: a hash of the Python version and of everything that decides what is installed.

        Line endings do not count, so a checkout on Windows and one on Linux agree; nor does the rest of pyproject.toml,
        so editing a lint rule installs nothing.
        """
        parts = [_python_version(), *self._requirements().splitlines(), *self.dev_group()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def dev_group(self) -> list[str]:
        """The requirements of pyproject.toml's dependency group `dev`.

        Read here rather than by `pip install --group`, which the pip that comes with Python 3.11 and 3.12 lacks.
        """
        with (self.root / "pyproject.toml").open("rb") as file:
            return list(tomllib.load(file)["dependency-groups"]["dev"])

    def is_ready(self) -> bool:
        """Whether the environment holds what the repository asks for now, for the Python that runs this."""
        try:
            return (self.path / STAMP).read_text("utf-8") == self.fingerprint() and Path(self.python).exists()
        except OSError:
            return False

    def prepare(self) -> None:
        """Make or refresh the environment if it is not ready. Concurrent calls wait for the first, then find it done.

        Raises SetUpError with what pip or venv said and a hint.
        """
        if self.is_ready():
            return
        with _only_one(self.path.with_name(self.path.name + ".lock")):
            if not self.is_ready():
                self._set_up()

    def _set_up(self) -> None:
        started = time.monotonic()
        usable = self._is_usable()
        verb = "Refreshing" if usable else "Making"
        _say(f"{verb} the environment in {_short(self.path)} (once; usually less than a minute) ...")
        (self.path / STAMP).unlink(missing_ok=True)
        if not usable:
            self._create()
        self._install()
        (self.path / STAMP).write_text(self.fingerprint(), "utf-8")
        _say(f"The environment is ready ({time.monotonic() - started:.0f} s).")

    def _is_usable(self) -> bool:
        """Whether pip can install over what is there: made by the same Python version, with a pip that starts."""
        try:
            settings = (self.path / "pyvenv.cfg").read_text("utf-8")
        except OSError:
            return False
        version = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", settings, re.MULTILINE)
        if version is None or version[1] != _python_version() or not Path(self.python).exists():
            return False
        return _run_quietly([self.python, "-m", "pip", "--version"], self)[0] == 0

    def _create(self) -> None:
        if self._holds_something_else():
            raise SetUpError(f"{self.path} exists and is no virtual environment; remove it or set GOLDROLL_VENV.")
        if Path(sys.prefix).resolve() == self.path.resolve():
            raise SetUpError(
                f"{self.path} is broken and runs this very command: leave it (`deactivate`) and try again."
            )
        shutil.rmtree(self.path, ignore_errors=True)
        # A process of its own: in this one, venv without ensurepip would end in a traceback.
        base = getattr(sys, "_base_executable", None) or sys.executable
        code, output = _run_quietly([base, "-m", "venv", str(self.path)], self)
        if code != 0:
            raise SetUpError(_explain("venv could not make an environment", output))

    def _holds_something_else(self) -> bool:
        """True for a folder of the user's, named by mistake; what an interrupted venv leaves is its own few folders."""
        if not self.path.is_dir() or (self.path / "pyvenv.cfg").exists():
            return False
        return any(
            entry.name not in {"bin", "include", "lib", "lib64", "Include", "Lib", "Scripts"}
            for entry in self.path.iterdir()
        )

    def _install(self) -> None:
        """One call of pip for everything. Bytecode is left to the first import: that saves six of twenty seconds."""
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
        sources = ["--requirement", str(self.root / "requirements.txt"), *self.dev_group()]
        code, output = _run_quietly([self.python, "-m", "pip", "install", *options, *sources], self)
        if code != 0:
            raise SetUpError(_explain("pip could not install the requirements", output))

    def _requirements(self) -> str:
        return (self.root / "requirements.txt").read_text("utf-8")


HINTS = (
    (r"ensurepip", "This Python lacks ensurepip. On Debian and Ubuntu: sudo apt install python3-venv"),
    (
        r"ProxyError|Cannot connect to proxy|407 Proxy",
        "The proxy refused: check HTTPS_PROXY (http://user:password@host:port).",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "A certificate is not trusted: PIP_CERT names a file with your company's root certificate.",
    ),
    (
        r"NewConnectionError|ConnectTimeout|NameResolutionError|getaddrinfo|Network is unreachable",
        "The package index cannot be reached: check the network, HTTPS_PROXY, or PIP_INDEX_URL for a mirror.",
    ),
    (
        r"No matching distribution|Could not find a version",
        "The package index lacks a version: is PIP_INDEX_URL an old mirror, or this Python very new?",
    ),
    (r"No space left|not enough space", "The disk is full."),
    (
        r"WinError 5|WinError 32|Permission denied",
        "A file is in use or protected: stop other Goldroll commands and try again.",
    ),
)


def _explain(failure: str, output: str) -> str:
    """A failure's text: the end of what the tool said, then the first hint whose pattern occurs in it."""
    tail = "\n".join(f"  {line[:300]}" for line in output.strip().splitlines()[-12:])  # pip lists all versions
    hint = next((hint for pattern, hint in HINTS if re.search(pattern, output)), "")
    return "\n".join(part for part in (f"{failure}:", tail, hint) if part)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file. The system frees it when the process ends, however it ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                _say("Another dev.py is making the environment; waiting for it ...")
                waiting = True
            time.sleep(0.2)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# --------------------------------------------------------------------------------------------------------- processes


def run(command: Sequence[str], environment: Environment) -> int:
    """Run a command with our own stdin and stdout, wait for it however often Ctrl+C is pressed, and return its code.

    Ctrl+C reaches the child as well; it may need seconds to stop cleanly, so we never kill it. A request to terminate
    reaches only us and is passed on.
    """
    with subprocess.Popen(command, cwd=environment.root, env=environment.variables()) as child:
        previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        interrupted = False
        try:
            while True:
                try:
                    code = child.wait()
                    break
                except KeyboardInterrupt:
                    interrupted = True
        finally:
            signal.signal(signal.SIGTERM, previous)
    if interrupted:
        return INTERRUPTED
    return code if code >= 0 else 128 - code  # a negative code names the signal that ended the child


def _run_quietly(command: Sequence[str], environment: Environment) -> tuple[int, str]:
    """A command's exit code and everything it printed."""
    done = subprocess.run(
        command,
        env=environment.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _colored(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if _on_terminal(sys.stdout) else text


def _on_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
