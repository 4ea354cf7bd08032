"""dev.py's own logic: which verb runs what, when the environment is made again, and what people read when it fails."""

import ast
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import dev

SOURCE = Path(dev.__file__)

PYPROJECT = """\
[dependency-groups]
dev = ["tool==1.0"]

[tool.ruff]
line-length = 120
"""

# ----------------------------------------------------------------------------------------------------- command line


def test_help_names_every_verb_and_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["--help"]) == 0

    shown = capsys.readouterr().out
    verbs = ["demo", "serve", "goldroll", "doctor", "bench", "simulate", "package", "test", "check"]
    assert list(dev.VERBS) == verbs
    assert [name for name, verb in dev.VERBS.items() if verb.summary not in shown] == []


def test_no_verb_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: python3 dev.py VERB")


def test_an_unknown_verb_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tset"]) == 2
    assert capsys.readouterr().err == (
        "dev.py: there is no verb 'tset'; "
        "choose from demo, serve, goldroll, doctor, bench, simulate, package, test, check.\n"
    )


@pytest.mark.parametrize("verb", dev.VERBS)
def test_help_of_a_verb_installs_nothing(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOLDROLL_VENV", str(tmp_path / "environment"))

    assert dev.main([verb, "--help"]) == 0

    assert f"usage: python3 dev.py {verb}" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_help_behind_a_double_dash_belongs_to_the_verbs_own_program() -> None:
    assert dev.wants_help(["-x", "--help"])
    assert not dev.wants_help(["-x", "--", "--help"])


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], ["-n", "2", "--dist", "worksteal"]),
        (["tests/rollout", "-k", "canary"], ["-n", "2", "--dist", "worksteal", "tests/rollout", "-k", "canary"]),
        (["-n", "0"], ["-n", "0"]),
        (["-n4"], ["-n4"]),
        (["--pdb", "-x"], ["--pdb", "-x"]),
    ],
)
def test_tests_run_in_two_processes_unless_the_caller_says_otherwise(given: list[str], passed: list[str]) -> None:
    assert dev.pytest_arguments(given) == passed


# ------------------------------------------------------------------------------------------------------ old Pythons


def test_an_older_python_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))

    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SOURCE))

    assert "needs Python 3.11 or newer; this is Python 3.10" in str(stopped.value)


def test_an_older_python_can_read_the_file_far_enough_to_be_told() -> None:
    """Syntax errors are found before the first line runs, so the whole file keeps to what Python 3.7 can parse."""
    ast.parse(SOURCE.read_text("utf-8"), feature_version=(3, 7))


# ---------------------------------------------------------------------------------------------- when to install again


def test_the_environment_is_ready_once_the_stamp_says_so(tmp_path: Path) -> None:
    environment = made_environment(tmp_path)

    assert environment.is_ready()


def test_an_environment_without_a_stamp_is_not_ready(tmp_path: Path) -> None:
    """The state after an interrupted set-up, and of an environment that somebody made by hand."""
    environment = made_environment(tmp_path)
    (environment.path / dev.STAMP).unlink()

    assert not environment.is_ready()


def test_an_environment_whose_python_is_gone_is_not_ready(tmp_path: Path) -> None:
    environment = made_environment(tmp_path)
    Path(environment.python).unlink()

    assert not environment.is_ready()


@pytest.mark.parametrize(
    ("file", "old", "new"), [("requirements.txt", "lib==1.0", "lib==1.1"), ("pyproject.toml", "tool==1.0", "tool==2.0")]
)
def test_another_version_of_anything_installed_means_installing_again(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    environment = made_environment(tmp_path)
    replace(tmp_path / file, old, new)

    assert not environment.is_ready()


def test_another_python_version_means_installing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = made_environment(tmp_path)
    monkeypatch.setattr(dev, "_python_version", lambda: "3.99")

    assert not environment.is_ready()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("pyproject.toml", "line-length = 120", "line-length = 100"), ("requirements.txt", "\n", "\r\n")],
    ids=["a lint rule", "line endings of a checkout on Windows"],
)
def test_what_changes_nothing_installed_keeps_the_environment(tmp_path: Path, file: str, old: str, new: str) -> None:
    environment = made_environment(tmp_path)
    replace(tmp_path / file, old, new)

    assert environment.is_ready()


def test_a_folder_that_is_no_environment_is_never_cleared(tmp_path: Path) -> None:
    project(tmp_path)
    precious = tmp_path / "home" / "thesis.odt"
    precious.parent.mkdir()
    precious.write_text("years of work", "utf-8")

    with pytest.raises(dev.SetUpError, match="is no virtual environment"):
        dev.Environment(precious.parent, tmp_path).prepare()

    assert precious.exists()


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("The virtual environment was not created successfully because ensurepip is not available.", "python3-venv"),
        ("WARNING: Retrying after ProxyError('Cannot connect to proxy.')", "HTTPS_PROXY"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("Failed to establish a new connection: [Errno 11001] getaddrinfo failed", "PIP_INDEX_URL"),
        ("ERROR: No matching distribution found for msgspec==0.22.0", "old mirror"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("PermissionError: [WinError 5] Access is denied: 'ruff.exe'", "stop other Goldroll commands"),
    ],
)
def test_a_failed_installation_ends_with_what_to_do(said: str, hint: str) -> None:
    explained = dev._explain("pip could not install", f"Collecting lib\n{said}\n")

    assert said in explained
    assert hint in explained.splitlines()[-1]


# ------------------------------------------------------------------------------------------------------------- check


class ThisEnvironment(dev.Environment):
    """The environment that runs the tests, whatever it is called."""

    def program(self, name: str) -> str:
        return sys.executable if name == "python" else super().program(name)


def test_every_check_runs_even_after_one_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [python_step("first", "print('spelling'); exit(1)"), python_step("second", "print('fine')")]

    assert dev.check(steps, ThisEnvironment(tmp_path, tmp_path)) == 1

    shown = capsys.readouterr().out
    verdicts = [line.split("(")[0].split() for line in shown.splitlines() if "(" in line]
    assert verdicts == [["first", "FAILED"], ["second", "ok"]]
    assert "spelling" in shown
    assert "fine\n" not in shown
    assert shown.endswith("check failed: first\n")


def test_a_clean_check_ends_with_exit_code_0(tmp_path: Path) -> None:
    assert dev.check([python_step("only", "pass")], ThisEnvironment(tmp_path, tmp_path)) == 0


def test_fixing_changes_lint_and_formatting_but_judges_the_rest() -> None:
    judged, fixed = dev.check_steps(fix=False), dev.check_steps(fix=True)

    assert [step.name for step in judged] == [step.name for step in fixed] == ["lint", "format", "types", "imports"]
    assert [step.name for step, other in zip(judged, fixed, strict=True) if step != other] == ["lint", "format"]


# --------------------------------------------------------------------------------------- as a process, from the outside


def test_two_first_runs_at_once_make_one_environment_and_later_changes_refresh_it(tmp_path: Path) -> None:
    """The whole life of an environment, with nothing to download: made, reused, failed, refreshed."""
    project(tmp_path, requirements="# nothing\n", dev_group="[]")
    write_module(tmp_path, "demo", "import sys; print(sys.prefix, *sys.argv[1:]); sys.exit(7)")

    both = [start(tmp_path, "demo", "--seed", "4", name) for name in ("one", "two")]
    results = [(process.communicate(timeout=120), process.returncode) for process in both]

    assert [code for _, code in results] == [7, 7]
    assert [out.split()[1:] for (out, _), _ in results] == [["--seed", "4", "one"], ["--seed", "4", "two"]]
    assert {Path(out.split()[0]).resolve() for (out, _), _ in results} == {(tmp_path / ".venv").resolve()}
    assert sum(said.count("Making the environment") for (_, said), _ in results) == 1

    assert finish(start(tmp_path, "demo"))[1:] == ("", 7)

    (tmp_path / "requirements.txt").write_text("./missing.whl\n", "utf-8")
    _, said, code = finish(start(tmp_path, "demo"))
    assert code == 1
    assert "pip could not install the requirements:" in said
    assert "missing.whl" in said
    assert not (tmp_path / ".venv" / dev.STAMP).exists()

    (tmp_path / "requirements.txt").write_text("# still nothing\n", "utf-8")
    _, said, code = finish(start(tmp_path, "demo"))
    assert code == 7
    assert "Refreshing the environment" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to press Ctrl+C for one process group only")
def test_ctrl_c_lets_the_verb_finish_its_work_and_ends_with_130(tmp_path: Path) -> None:
    """Run by the environment's own Python, so nothing needs to be made."""
    made_environment(tmp_path, link=True)
    write_module(
        tmp_path,
        "demo",
        "import signal, sys\n"
        "try:\n    print('started', flush=True)\n    signal.pause()\n"
        "except KeyboardInterrupt:\n    print('tidied up', flush=True)\n",
    )

    process = start(tmp_path, "demo", new_group=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    out, said, code = finish(process)

    assert (out, said, code) == ("tidied up\n", "", 130)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_a_request_to_terminate_reaches_the_verb(tmp_path: Path) -> None:
    made_environment(tmp_path, link=True)
    write_module(tmp_path, "demo", "import signal\nprint('started', flush=True)\nsignal.pause()\n")

    process = start(tmp_path, "demo")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.terminate()

    assert finish(process)[2] == 128 + signal.SIGTERM


# ---------------------------------------------------------------------------------------------------------- builders


def project(folder: Path, *, requirements: str = "lib==1.0\n", dev_group: str = '["tool==1.0"]') -> None:
    """A repository of three files: dev.py, what it installs, and its tools."""
    shutil.copy(SOURCE, folder)
    (folder / "requirements.txt").write_text(requirements, "utf-8", newline="")
    (folder / "pyproject.toml").write_text(PYPROJECT.replace('["tool==1.0"]', dev_group), "utf-8")


def made_environment(folder: Path, *, link: bool = False) -> dev.Environment:
    """A project with an environment that claims to be complete; with `link`, its Python really runs."""
    project(folder)
    environment = dev.Environment(folder / ".venv", folder)
    python = Path(environment.python)
    python.parent.mkdir(parents=True)
    if link:
        python.symlink_to(sys.executable)
    else:
        python.touch()
    (environment.path / dev.STAMP).write_text(environment.fingerprint(), "utf-8")
    return environment


def write_module(folder: Path, name: str, text: str) -> None:
    """A package that `python -m NAME` runs."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(text, "utf-8")


def python_step(name: str, code: str) -> dev.Step:
    """A check that is a line of Python."""
    return dev.Step(name, ("python", "-c", code))


def replace(path: Path, old: str, new: str) -> None:
    """Replace a piece of a file, to the byte."""
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))


def start(folder: Path, *arguments: str, new_group: bool = False) -> subprocess.Popen[str]:
    """Start `dev.py ARGUMENTS` of a project, as a user in that folder does."""
    command: Sequence[str] = [sys.executable, "dev.py", *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "GOLDROLL_VENV"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=new_group,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    """What a started dev.py printed on stdout and stderr until it ended, and its exit code."""
    out, said = process.communicate(timeout=120)
    return out, said, process.returncode
