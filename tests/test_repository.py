"""The repository's habits, as tests: names, docstrings, pins, line ends, what is deployed and what a newcomer reads."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from pathspec import GitIgnoreSpec

from release.package import APP

ROOT = Path(__file__).resolve().parent.parent

BINARY = {".gif", ".ico", ".png", ".svgz", ".woff2", ".zip"}
EMPTY_WORDS = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
UNFINISHED = re.compile(r"\b(?:TO[D]O|FI[X]ME|X[X]X)\b")
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|tm[p]/brief|op[t]/pypi)/|[A-Z]:\\User[s]\\"),
    "a package registry": re.compile(r"pyp[i]\.org|pythonhoste[d]\.org|(?:index|extra-index)-url\s*="),
}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [path for path in python_files() if EMPTY_WORDS & set(PurePosixPath(path).stem.split("_"))]
    vague += [path for path in files() if EMPTY_WORDS & set(PurePosixPath(path).parts[:-1])]
    assert vague == []


def test_every_module_says_what_it_is_for() -> None:
    assert [path for path in python_files() if not ast.get_docstring(ast.parse(text(path)))] == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    assert [place for path in text_files() for place in places(UNFINISHED, path)] == []


@pytest.mark.parametrize("kind", FOREIGN)
def test_no_file_names_what_only_its_author_has(kind: str) -> None:
    assert [place for path in text_files() for place in places(FOREIGN[kind], path)] == []


def test_text_ends_with_one_newline_and_uses_lf() -> None:
    faults = {
        path: fault
        for path in text_files()
        for raw in [(ROOT / path).read_bytes()]
        for fault, found in (
            ("CR", b"\r" in raw),
            ("byte order mark", raw.startswith(b"\xef\xbb\xbf")),
            ("no newline at the end", bool(raw) and not raw.endswith(b"\n")),
            ("blank lines at the end", raw.endswith(b"\n\n")),
        )
        if found
    }
    assert faults == {}


def test_everything_that_is_installed_is_pinned_exactly() -> None:
    pin = re.compile(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+(?:; python_version (?:<|>=) \"3\.\d+\")?")
    assert [line for line in [*requirements(), *dev_group()] if not pin.fullmatch(line)] == []


def test_the_app_and_its_tools_agree_on_what_both_install() -> None:
    deployed = dict(line.split("==") for line in requirements() if ";" not in line)
    tools = dict(line.split("==") for line in dev_group())
    assert {name: tools[name] for name in deployed.keys() & tools.keys()} == {
        name: deployed[name] for name in deployed.keys() & tools.keys()
    }


def test_what_is_deployed_is_the_app_and_nothing_else() -> None:
    ignored = GitIgnoreSpec.from_lines(text(".funcignore").splitlines())

    deployed = [path for path in files() if not ignored.match_file(path)]

    assert {PurePosixPath(path).parts[0] for path in deployed} == APP
    page = {".css", ".html", ".js", ".svg", ".txt", ".woff2"}
    assert {PurePosixPath(path).suffix for path in deployed if "/" in path} <= {".py", ".json", *page}


@pytest.mark.parametrize(
    "leftover",
    [
        ".git/config",
        ".venv/lib/python3.12/site-packages/msgspec/__init__.py",
        ".venv.lock",
        ".mypy_cache/3.11/rollout/pool.data.json",
        "rollout/__pycache__/pool.cpython-312.pyc",
        "local.settings.json",
        "azure.yaml",
        "infra/main.bicep",
        "benchmarks/estate.py",
    ],
)
def test_what_a_working_copy_collects_is_never_deployed(leftover: str) -> None:
    assert GitIgnoreSpec.from_lines(text(".funcignore").splitlines()).match_file(leftover)


def test_what_is_not_deployed_is_listed_by_plain_names() -> None:
    """The Functions tools, azd and the editor's extension read .funcignore differently; plain names mean one thing."""
    listed = [line for line in text(".funcignore").splitlines() if line and not line.startswith("#")]
    assert [line for line in listed if not re.fullmatch(r"[\w.-]+", line)] == []
    assert listed == sorted(set(listed))


def test_every_entry_of_the_tree_is_explained_to_contributors() -> None:
    outline = text("CONTRIBUTING.md").partition("## The tree")[2].split("```")[1]
    explained = {line.split()[0].rstrip("/") for line in outline.splitlines() if line.strip()}

    assert explained == {PurePosixPath(path).parts[0] for path in files()}


def test_every_decision_is_in_the_index_under_its_own_title() -> None:
    folder = ROOT / "docs" / "decisions"
    records = {path.name: path.read_text("utf-8").splitlines()[0] for path in folder.glob("[0-9]*.md")}

    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \|$", text("docs/decisions/README.md"), re.MULTILINE)

    assert {name: f"# {number}. {title}" for number, name, title in rows} == records
    numbers = [int(number) for number, _, _ in rows]
    assert numbers == sorted(set(numbers)) == sorted(int(name[:4]) for name in records)


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{path} -> {target}"
        for path in files()
        if path.endswith(".md")
        for target in re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text(path))
        if "000M" not in target and not (ROOT / path).parent.joinpath(target).exists()
    ]
    assert broken == []


def test_the_hosts_settings_keep_histories_replayable() -> None:
    """Extended sessions keep a .NET orchestrator in memory; with Python they only hold the instance."""
    host = json.loads(text("host.json"))

    assert host["version"] == "2.0"
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"
    assert host["extensions"]["durableTask"]["extendedSessionsEnabled"] is False


def test_a_local_run_starts_without_any_azure_account() -> None:
    values = json.loads(text("local.settings.example.json"))["Values"]

    assert values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert values["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"
    assert (ROOT / values["GOLDROLL_POLICY"]).is_file()


@cache
def files() -> tuple[str, ...]:
    """Every file that is or would be committed, as a path from the root with forward slashes."""
    ignored = GitIgnoreSpec.from_lines(text(".gitignore").splitlines())

    def below(folder: Path) -> Iterator[str]:
        for entry in sorted(folder.iterdir()):
            path = entry.relative_to(ROOT).as_posix()
            if entry.is_dir():
                if entry.name != ".git" and not ignored.match_file(path + "/"):
                    yield from below(entry)
            elif entry.name != ".git" and not ignored.match_file(path):
                yield path

    return tuple(below(ROOT))


def text_files() -> list[str]:
    """The files that people read."""
    return [path for path in files() if PurePosixPath(path).suffix not in BINARY]


def python_files() -> list[str]:
    """The Python modules."""
    return [path for path in files() if path.endswith(".py")]


@cache
def text(path: str) -> str:
    """The content of a file, by its path from the root."""
    return (ROOT / path).read_text("utf-8")


def places(pattern: re.Pattern[str], path: str) -> list[str]:
    """Where a pattern occurs in a file: `path:line: match`."""
    return [
        f"{path}:{number}: {match[0]}"
        for number, line in enumerate(text(path).splitlines(), start=1)
        for match in pattern.finditer(line)
    ]


def requirements() -> list[str]:
    """The lines of requirements.txt that name a package."""
    return [line for line in text("requirements.txt").splitlines() if line and not line.startswith("#")]


def dev_group() -> list[str]:
    """The packages that the checks and tests need beside the app's."""
    return list(tomllib.loads(text("pyproject.toml"))["dependency-groups"]["dev"])
