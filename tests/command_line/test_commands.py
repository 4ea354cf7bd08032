"""The command line against an API that answers as the app does: what it asks, what it prints, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec import structs
from rich.console import Console

from command_line.api import Api, ApiError
from command_line.commands import Session, goldroll
from forecast.plan import RolloutPlan
from forecast.rollout_plan import plan_rollout
from rollout.assignments import ImageRollout
from rollout.fitness import QuotaNeed, finding
from rollout.model import ImageVersion
from rollout.policy import ImagePolicy
from tests.rollout.builders import MORNING, NEXT, a_policy, a_pool, hosts_named, version_id

ROLLOUT = "image-gal-win11-2.0.0-abcdef"

RUNNING: dict[str, Any] = {
    "id": ROLLOUT,
    "image": "win11",
    "version": "2.0.0",
    "phase": "Rolling",
    "message": "2 of 4 hosts are on 2.0.0",
    "updated": "2026-11-23T09:00:00+00:00",
    "pools": [
        {
            "pool": "office",
            "phase": "Rolling",
            "message": "[bold]markup[/bold] is text",
            "desired": 4,
            "counts": {"current": 2},
            "in_hand": {"Draining": 1},
        }
    ],
}
ENDED = {**RUNNING, "phase": "Succeeded", "pools": [{**RUNNING["pools"][0], "phase": "Succeeded"}]}


class App:
    """An app that answers each path with what it is told to, one answer after the other; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: httpx.Headers = httpx.Headers()
        self.time = 0.0

    def on(self, method: str, path: str, *answers: Any, status: int = 200) -> App:
        self.answers[method, path] = [(status, answer) for answer in answers]
        return self

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().split("?")[0].removeprefix("/api/")
        self.asked.append((request.method, path, json.loads(request.content) if request.content else None))
        self.headers = request.headers
        coming = self.answers.get((request.method, path))
        if not coming:
            return problem(404, "NoSuchRollout", "there is no such thing")
        status, body = coming.pop(0) if len(coming) > 1 else coming[0]
        return body if isinstance(body, httpx.Response) else httpx.Response(status, json=body)

    def passes(self, seconds: float) -> None:
        self.time += seconds

    def run(self, *line: str, as_json: bool = False) -> Result:
        session = Session(
            lambda: Api("http://127.0.0.1:7071", transport=httpx.MockTransport(self.answer)),
            as_json,
            Console(width=160, no_color=True),
            self.passes,
            lambda: self.time,
        )
        return CliRunner().invoke(goldroll, list(line), obj=session)


def problem(status: int, code: str, detail: str) -> httpx.Response:
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@pytest.fixture
def app() -> App:
    """It knows one rollout that runs."""
    return App().on("GET", "rollouts", {"rollouts": [RUNNING]}).on("GET", f"rollouts/{ROLLOUT}", RUNNING)


def a_plan(hosts: int = 2) -> RolloutPlan:
    image = ImagePolicy(name="win11", definition_id=version_id(NEXT).rsplit("/versions", 1)[0])
    rollout = ImageRollout(version_id(NEXT), image, (a_policy(),))
    version = ImageVersion(id=version_id(NEXT))
    return plan_rollout(rollout, version, {"office": a_pool(hosts_named(hosts))}, MORNING)


# ----------------------------------------------------------------------------------------------------------- looking


def test_the_newest_rollout_is_shown_with_a_bar_for_each_pool(app: App) -> None:
    result = app.run("status")

    assert result.exit_code == 0
    assert "win11 2.0.0  Rolling" in result.output
    assert "2/4" in result.output
    assert "1 Draining" in result.output


def test_what_people_have_written_is_never_read_as_markup(app: App) -> None:
    assert "[bold]markup[/bold] is text" in app.run("status").output


def test_json_is_what_the_api_answers(app: App) -> None:
    assert json.loads(app.run("status", ROLLOUT, as_json=True).output) == RUNNING
    assert json.loads(app.run("list", as_json=True).output) == {"rollouts": [RUNNING]}


def test_rollouts_are_listed(app: App) -> None:
    assert ROLLOUT in app.run("list").output
    assert app.on("GET", "rollouts", {"rollouts": []}).run("list").output == "there are no rollouts\n"


@pytest.mark.parametrize(
    ("phase", "code"), [("Succeeded", 0), ("SucceededWithSkips", 0), ("Halted", 1), ("Aborted", 1), ("Failed", 1)]
)
def test_watching_lasts_until_the_end_and_exits_with_what_came_of_it(app: App, phase: str, code: int) -> None:
    app.on("GET", f"rollouts/{ROLLOUT}", RUNNING, RUNNING, {**ENDED, "phase": phase})

    result = app.run("status", ROLLOUT, "--watch")

    assert result.exit_code == code
    assert f"win11 2.0.0  {phase}" in result.output
    assert app.time == 10  # two looks before, five seconds apart


def test_watching_gives_up_when_the_time_is_over(app: App) -> None:
    assert app.run("status", ROLLOUT, "--watch", "--timeout", "1").exit_code == 7
    assert app.time == 60


# ---------------------------------------------------------------------------------------------------------- planning


def test_a_plan_is_shown_and_kept(app: App, tmp_path: Path) -> None:
    made = json.loads(msgspec.json.encode(a_plan()))
    app.on("POST", "plan", made)
    file = tmp_path / "plan.json"

    result = app.run("plan", "win11", "--version", "2.0.0", "--pool", "office", "--no-forecast", "--save", str(file))

    assert result.exit_code == 0
    body = {"image": "win11", "version": "2.0.0", "pools": ["office"], "forecast": False, "checks": True}
    assert app.asked == [("POST", "plan", body)]
    assert "2 hosts would be replaced" in result.output
    assert "it is empty" in result.output
    assert json.loads(file.read_text(encoding="utf-8")) == made


def test_what_does_not_fit_is_shown_with_its_remedy_and_so_is_the_quota(app: App) -> None:
    need = QuotaNeed("win11", "first", "0", "westeurope", "cores", needed=8, left=7, limit=19, pools={"office": 8})
    short = finding("QuotaTooSmall", "host pool office", "its extra hosts need 8 cores")
    lacking = structs.replace(a_plan(), checked=True, findings=(short,), quota=(need,))
    app.on("POST", "plan", *(json.loads(msgspec.json.encode(made)) for made in (lacking, a_plan())))

    shown = app.run("plan", "win11").output
    assert "quota for ring first in westeurope: 8 cores of all families are needed, 7 of 19 are left" in shown
    assert "error  QuotaTooSmall  host pool office: its extra hosts need 8 cores" in shown
    assert "Ask for more quota" in shown
    assert "findings" not in app.run("plan", "win11", "--no-checks").output  # nobody looked, so nothing is claimed
    assert [body["checks"] for _, _, body in app.asked] == [True, False]


def test_two_plans_that_were_kept_are_compared(app: App, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("old.json", "new.json")]
    for file, hosts in zip(files, (2, 3), strict=True):
        file.write_bytes(msgspec.json.encode(a_plan(hosts)))

    same = app.run("compare", str(files[0]), str(files[0]))
    assert (same.exit_code, same.output) == (0, "no differences\n")
    different = app.run("compare", *map(str, files))
    assert different.exit_code == 1
    assert "office: avd-003 is new" in different.output


def test_a_file_that_holds_no_plan_is_said(app: App, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"image": 1}', encoding="utf-8")
    result = app.run("compare", str(file), str(file))
    assert result.exit_code == 2
    assert "holds no plan" in result.stderr


# ----------------------------------------------------------------------------------------------------------- starting


def test_a_rollout_is_started_with_what_its_plan_foresaw(app: App, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    expected = {"office": {"duration_p50": 1.0, "duration_p95": 2.0, "forced_p50": 0.0, "forced_p95": 1.0}}
    file.write_text(json.dumps({**msgspec.to_builtins(a_plan()), "expected": expected}), encoding="utf-8")
    app.on("POST", "rollouts", {"id": ROLLOUT}, status=202)

    result = app.run("start", "win11", "2.0.0", "--plan", str(file))

    assert result.exit_code == 0
    assert app.asked[-1] == ("POST", "rollouts", {"image": "win11", "version": "2.0.0", "expected": expected})
    assert ROLLOUT in result.output


def test_a_rollout_is_started_with_a_reason_if_there_is_one(app: App) -> None:
    app.on("POST", "rollouts", {"id": ROLLOUT}, status=202)

    assert app.run("start", "win11", "2.0.0", "--reason", "the new office suite").exit_code == 0
    assert app.asked[-1][2] == {"image": "win11", "version": "2.0.0", "reason": "the new office suite"}


def test_a_rollout_that_is_started_can_be_watched_to_its_end(app: App) -> None:
    app.on("POST", "rollouts", {"id": ROLLOUT}, status=202).on("GET", f"rollouts/{ROLLOUT}", RUNNING, ENDED)
    assert app.run("start", "win11", "2.0.0", "--watch").exit_code == 0


# ----------------------------------------------------------------------------------------------------------- steering


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_a_command_is_sent_with_its_reason(app: App, verb: str) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/{verb}", {"id": ROLLOUT, "by": "andrea@contoso.com"}, status=202)

    result = app.run(verb, "latest", "--reason", "printing is slow", "--pool", "office")

    assert (result.exit_code, result.output) == (0, f"{ROLLOUT}: {verb}, by andrea@contoso.com\n")
    assert app.asked[-1][2] == {"reason": "printing is slow", "pool": "office"}


@pytest.mark.parametrize(
    ("verb", "named"),
    [
        ("skip", {"pool": "office", "host": "avd-007"}),
        ("retry", {"pool": "office", "host": "avd-007"}),
        ("retry", {"pool": "office"}),
        ("retry", {}),
    ],
)
def test_a_command_for_a_host_names_it(app: App, verb: str, named: dict[str, str]) -> None:
    answer = {"id": ROLLOUT, "by": "andrea@contoso.com", **({"host": named["host"]} if "host" in named else {})}
    app.on("POST", f"rollouts/{ROLLOUT}/{verb}", answer, status=202)
    options = [word for name, value in named.items() for word in (f"--{name}", value)]

    result = app.run(verb, "latest", "--reason", "a disk is restored", *options)

    which = f" {named['host']}" if "host" in named else ""
    assert (result.exit_code, result.output) == (0, f"{ROLLOUT}: {verb}{which}, by andrea@contoso.com\n")
    assert app.asked[-1][2] == {"reason": "a disk is restored", **named}


@pytest.mark.parametrize("options", [("--pool", "office"), ("--host", "avd-007")])
def test_a_skip_without_its_host_or_host_pool_is_not_sent(app: App, options: tuple[str, str]) -> None:
    assert app.run("skip", ROLLOUT, "--reason", "x", *options).exit_code == 2
    assert app.asked == []


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_an_answer_is_sent_for_a_ring(app: App, verb: str) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/{verb}", {"id": ROLLOUT, "by": "andrea@contoso.com"}, status=202)
    assert app.run(verb, ROLLOUT, "--reason", "it prints", "--ring", "validation").exit_code == 0
    assert app.asked[-1][2] == {"reason": "it prints", "ring": "validation"}


BACK = "image-gal-win11-2.0.0-abcdef-back"
GOES_BACK = {
    "id": BACK,
    "rollout": ROLLOUT,
    "by": "andrea@contoso.com",
    "pools": {"office": "1.0.0"},
    "left_out": {"lab": "the rollout has not begun with it"},
}


def test_a_roll_back_says_what_goes_back_and_what_does_not(app: App) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/rollback", GOES_BACK, status=202)

    result = app.run("rollback", "latest", "--reason", "printing is broken", "--pool", "office")

    assert result.exit_code == 0
    assert app.asked[-1][2] == {"reason": "printing is broken", "pool": "office"}
    assert "office goes back to 1.0.0" in result.output
    assert "lab is left out: the rollout has not begun with it" in result.output


@pytest.mark.parametrize(("phase", "code"), [("RolledBack", 0), ("Halted", 1), ("Aborted", 1)])
def test_a_roll_back_can_be_watched_and_succeeds_when_it_has_rolled_back(app: App, phase: str, code: int) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/rollback", GOES_BACK, status=202)
    app.on("GET", f"rollouts/{BACK}", {**RUNNING, "id": BACK}, {**RUNNING, "id": BACK, "phase": phase})

    assert app.run("rollback", ROLLOUT, "--reason", "printing is broken", "--watch").exit_code == code
    assert app.asked[-1][:2] == ("GET", f"rollouts/{BACK}")


def test_everything_is_frozen_until_a_time_and_thawed_before_it(app: App) -> None:
    stands = {"by": "andrea@contoso.com", "reason": "the end of the year", "until": "2027-01-04T06:00:00Z"}
    app.on("POST", "freeze", {"freeze": stands}, status=202).on("GET", "freeze", {"freeze": stands})
    app.on("DELETE", "freeze", {}, status=202)
    told = "frozen until 2027-01-04T06:00:00Z by andrea@contoso.com: the end of the year\n"

    frozen = app.run("freeze", "--until", "2027-01-04T06:00:00Z", "--reason", "the end of the year")
    assert (frozen.exit_code, frozen.output) == (0, told)
    assert app.asked[-1] == ("POST", "freeze", {"until": "2027-01-04T06:00:00Z", "reason": "the end of the year"})
    assert app.run("freeze").output == told
    assert app.asked[-1][:2] == ("GET", "freeze")
    assert app.run("thaw", "--reason", "the books are closed").output == "nothing is frozen\n"
    assert app.asked[-1] == ("DELETE", "freeze", {"reason": "the books are closed"})


@pytest.mark.parametrize("option", [("--until", "2027-01-04T06:00:00Z"), ("--reason", "the end of the year")])
def test_a_freeze_that_lacks_its_time_or_its_reason_is_refused_and_not_merely_shown(
    app: App, option: tuple[str, str]
) -> None:
    app.on("POST", "freeze", problem(400, "BadRequest", "until or reason is missing"))
    assert app.run("freeze", *option).exit_code == 3
    assert app.asked[-1][0] == "POST"


def test_no_command_goes_without_a_reason(app: App) -> None:
    result = app.run("abort", ROLLOUT)
    assert result.exit_code == 2
    assert app.asked == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(409, "PausedAlready", "it has been paused by somebody"), 3),
        (problem(404, "NoSuchRollout", "there is no such rollout"), 4),
        (problem(403, "WrongRole", "an Operator may do that"), 5),
        (httpx.Response(401), 5),
        (problem(503, "PolicyUnusable", "the policy cannot be used"), 6),
        (httpx.Response(200, text="<html>sign in</html>"), 6),
    ],
)
def test_each_kind_of_refusal_has_its_exit_code(app: App, answer: httpx.Response, code: int) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/pause", answer)
    result = app.run("pause", ROLLOUT, "--reason", "x")
    assert result.exit_code == code
    assert result.stderr.startswith("goldroll: ")
    assert result.output.strip() == result.stderr.strip()


def test_a_refusal_is_json_for_a_script(app: App) -> None:
    app.on("POST", f"rollouts/{ROLLOUT}/pause", problem(409, "PausedAlready", "it has been paused"))
    result = app.run("pause", ROLLOUT, "--reason", "x", as_json=True)
    assert json.loads(result.output) == {"code": "PausedAlready", "detail": "it has been paused"}


# --------------------------------------------------------------------------------------------------------- connecting


def test_a_rollout_with_slashes_in_its_name_reaches_no_other_path(app: App) -> None:
    app.run("status", "../freeze?x=")
    assert app.asked[-1][1] == "rollouts/..%2Ffreeze%3Fx%3D"


def test_the_key_and_the_token_go_in_headers(app: App) -> None:
    transport = httpx.MockTransport(app.answer)
    Api("https://goldroll.azurewebsites.net", "the key", lambda: "the token", transport).get("rollouts")
    assert (app.headers["x-functions-key"], app.headers["Authorization"]) == ("the key", "Bearer the token")


@pytest.mark.parametrize("url", ["ftp://x", "goldroll", "", "http://elsewhere.example"])
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ApiError, match="--url") as refused:
        Api(url, "the key")
    assert refused.value.exit_code == 2


def fails(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_an_app_that_does_not_answer_is_said() -> None:
    api = Api("http://127.0.0.1:7071", transport=httpx.MockTransport(fails))
    with pytest.raises(ApiError, match="does not answer") as refused:
        api.get("rollouts")
    assert refused.value.exit_code == 6
