"""The files of the page: whoever may have them, and what a browser is told to do with them."""

from __future__ import annotations

import re
from typing import Any

import azure.functions as func
import pytest

from tests.triggers.durable import function_of
from triggers import dashboard
from triggers.dashboard import FOLDER


def ask(file: str = "", **headers: str) -> func.HttpResponse:
    function: Any = dashboard.show_dashboard_file if file else dashboard.show_dashboard
    url = "http://127.0.0.1:7071/api/dashboard"
    request = func.HttpRequest(
        method="GET",
        url=url,
        body=b"",
        route_params={"file": file},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    response: func.HttpResponse = function_of(function)(request)
    return response


def test_the_page_is_a_shell_that_names_its_files() -> None:
    response = ask()
    named = re.findall(r'(?:src|href)="dashboard/([^"]+)"', response.get_body().decode())

    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert set(named) >= {"app.js", "style.css", "icon.svg"}
    assert {file: ask(file).status_code for file in named} == dict.fromkeys(named, 200)


def test_every_module_that_a_module_imports_is_served() -> None:
    for script in FOLDER.glob("*.js"):
        for file in re.findall(r'from ?"\./([^"]+)"', script.read_text(encoding="utf-8")):
            assert ask(file).mimetype == "text/javascript", f"{script.name} imports {file}"


def test_the_page_may_load_and_ask_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(maxsplit=1) for rule in ask().headers["Content-Security-Policy"].split("; ") if " " in rule)

    assert rules.pop("default-src") == "'none'"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert set(rules.values()) <= {"'self'", "'none'"}
    assert ask("app.js").headers["X-Content-Type-Options"] == "nosniff"


def test_no_file_names_another_site_and_no_script_makes_markup_of_text() -> None:
    ours = {path for kind in ("js", "css", "html") for path in FOLDER.glob(f"*.{kind}")} - {FOLDER / "preact.js"}
    for path in sorted(ours):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|innerHTML|outerHTML|insertAdjacent|\beval\(|dangerously", text), (
            path.name
        )
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script>|\son\w+=|style=", page)


@pytest.mark.parametrize("file", ["../function_app.py", "..%2Fhost.json", "LICENSES.txt", "app.JS", "x" * 5000, "nul"])
def test_nothing_but_the_pages_files_is_served(file: str) -> None:
    response = ask(file)

    assert response.status_code == 404
    assert len(response.get_body()) < 500


def test_a_browser_that_has_a_file_gets_it_only_once() -> None:
    first = ask("app.js")
    again = ask("app.js", If_None_Match=first.headers["ETag"])

    assert (again.status_code, again.get_body()) == (304, b"")
    assert "Content-Security-Policy" in again.headers


def test_what_others_have_made_is_named_with_its_licence() -> None:
    told = (FOLDER / "LICENSES.txt").read_text(encoding="utf-8")
    vendored = {"preact.js", "hooks.js", "htm.js", *(path.name for path in FOLDER.glob("*.woff2"))}

    assert {file for file in vendored if file not in told} == set()
