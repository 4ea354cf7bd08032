"""The commands of `goldroll`, each a call or two of the HTTP API. Exit codes: docs/command-line.md."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import click
import msgspec
from rich.console import Console
from rich.live import Live

from command_line import shown
from command_line.api import NOT_IN_SUCCESS, TOO_LATE, USAGE, Api, ApiError
from forecast.comparison import compare
from forecast.plan import RolloutPlan

GOOD_ENDS = frozenset({"Succeeded", "SucceededWithSkips"})

ENDS = GOOD_ENDS | {"Halted", "Failed", "Aborted", "Superseded", "Refused", "Blocked", "RolledBack"}
"""Phases after which nothing more happens."""

ROLLED_BACK = frozenset({"RolledBack"})
"""How a roll back ends that has done what it was asked for."""

LOOKS_EVERY = 5.0
"""Seconds between two looks of --watch."""


@dataclass(frozen=True)
class Session:
    """What every command needs. `pause` waits so many seconds, `clock` tells them: tests have their own."""

    connect: Callable[[], Api]
    as_json: bool
    console: Console
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, what: Callable[[Api], Any]) -> Any:
        """Do something with the API; a failure ends the program with its exit code."""
        try:
            return what(self.connect())
        except ApiError as error:
            self.fail(error)

    def fail(self, error: ApiError) -> NoReturn:
        """Say what went wrong, on stderr or as JSON, and end."""
        if self.as_json:
            click.echo(json.dumps(error.problem))
        else:
            click.echo(f"goldroll: {error}", err=True)
        sys.exit(error.exit_code)

    def show(self, body: Any, view: Callable[[Any], Any]) -> None:
        """Print an answer for people, or as it came."""
        if self.as_json:
            click.echo(json.dumps(body))
        else:
            self.console.print(view(body))


def _token_for(resource: str) -> Callable[[], str]:
    def token() -> str:
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - half a second, not always needed
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        try:
            return DefaultAzureCredential().get_token(f"{resource.rstrip('/')}/.default").token
        except ClientAuthenticationError as error:
            raise ApiError(USAGE, "NotSignedIn", f"no token for {resource}: {error.message}") from None

    return token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url", envvar="GOLDROLL_URL", default="http://127.0.0.1:7071", show_default=True, help="Where the app is."
)
@click.option(
    "--key", envvar="GOLDROLL_KEY", default="", help="A function key; better in GOLDROLL_KEY than on the line."
)
@click.option(
    "--entra", envvar="GOLDROLL_ENTRA", default="", metavar="RESOURCE", help="Sign in for this application id URI."
)
@click.option("--json", "as_json", is_flag=True, help="Print what the API answers, as JSON.")
@click.pass_context
def goldroll(context: click.Context, url: str, key: str, entra: str, *, as_json: bool) -> None:
    """Plan, start, watch and steer rollouts over the HTTP API."""
    if context.obj is None:
        token = _token_for(entra) if entra else None
        context.obj = Session(lambda: Api(url, key, token), as_json, Console())


@goldroll.command()
@click.argument("image")
@click.option("--version", "number", default="", help="The version; the newest that may be rolled out by default.")
@click.option("--pool", "pools", multiple=True, help="Only this host pool; may be given again.")
@click.option("--no-forecast", is_flag=True, help="At once, without times.")
@click.option("--no-checks", is_flag=True, help="Do not look for what does not fit: permissions, quota, network.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep the plan in a file.")
@click.pass_obj
def plan(
    session: Session,
    image: str,
    number: str,
    pools: tuple[str, ...],
    *,
    no_forecast: bool,
    no_checks: bool,
    save: Path | None,
) -> None:
    """What a rollout would do now, and what does not fit. Changes nothing."""
    asked = {"forecast": not no_forecast, "checks": not no_checks}
    body = {"image": image, "version": number, "pools": list(pools), **asked}
    made = session.call(lambda api: api.post("plan", body))
    if save is not None:
        save.write_text(json.dumps(made, indent=1), encoding="utf-8")
    session.show(made, shown.plan)


@goldroll.command(name="compare")
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def compare_plans(session: Session, before: Path, after: Path) -> None:
    """What has changed between two plans that were saved. Exit code 1 when something has."""
    try:
        differences = compare(_read_plan(before), _read_plan(after))
    except ApiError as error:
        session.fail(error)
    session.show(list(differences), lambda found: "\n".join(found) or "no differences")
    sys.exit(NOT_IN_SUCCESS if differences else 0)


def _read_plan(path: Path) -> RolloutPlan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RolloutPlan)
    except msgspec.MsgspecError as error:
        raise ApiError(USAGE, "NotAPlan", f"{path} holds no plan: {error}") from None


@goldroll.command()
@click.argument("image")
@click.argument("number", metavar="VERSION")
@click.option(
    "--plan", "planned", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The plan that was saved."
)
@click.option("--reason", default="", help="Why; it is kept with your name and the time.")
@click.option("--watch", is_flag=True, help="Stay until it has ended.")
@click.option("--timeout", type=float, default=0, metavar="MINUTES", help="With --watch: no longer than this.")
@click.pass_obj
def start(
    session: Session, image: str, number: str, planned: Path | None, reason: str, *, watch: bool, timeout: float
) -> None:
    """Start a rollout. Asking twice starts one; one that has failed is attempted again."""
    body: dict[str, Any] = {"image": image, "version": number} | ({"reason": reason} if reason else {})
    if planned is not None:
        try:
            body["expected"] = msgspec.to_builtins(_read_plan(planned).expected)
        except ApiError as error:
            session.fail(error)
    started = session.call(lambda api: api.post("rollouts", body))
    if watch:
        _watch(session, started["id"], timeout)
    session.show(started, lambda body: f"{body['id']}: goldroll status {body['id']} --watch")


@goldroll.command(name="list")
@click.pass_obj
def list_rollouts(session: Session) -> None:
    """The rollouts that there are, the newest first."""
    listed = session.call(lambda api: api.get("rollouts"))
    session.show(listed, lambda body: shown.rollouts(body["rollouts"]))


@goldroll.command()
@click.argument("rollout", default="latest")
@click.option("--watch", is_flag=True, help="Stay until it has ended; exit code 1 when that is no success.")
@click.option("--timeout", type=float, default=0, metavar="MINUTES", help="With --watch: no longer than this.")
@click.pass_obj
def status(session: Session, rollout: str, *, watch: bool, timeout: float) -> None:
    """Where a rollout stands and why; the newest one when none is named."""
    found = _resolve(session, rollout)
    if watch:
        _watch(session, found, timeout)
    session.show(_look(session, found), shown.rollout)


def _watch(session: Session, rollout: str, timeout: float, good_ends: frozenset[str] = GOOD_ENDS) -> NoReturn:
    """Show a rollout until it has ended, and end with what came of it."""
    began = session.clock()
    with Live(console=session.console, auto_refresh=False, transient=True) as live:
        while True:
            one = _look(session, rollout)
            if not session.as_json:
                live.update(shown.rollout(one), refresh=True)
            if one["phase"] in ENDS:
                code = 0 if one["phase"] in good_ends else NOT_IN_SUCCESS
                break
            if timeout and session.clock() - began >= timedelta(minutes=timeout).total_seconds():
                code = TOO_LATE
                break
            session.pause(LOOKS_EVERY)
    session.show(one, shown.rollout)
    sys.exit(code)


def _look(session: Session, rollout: str) -> dict[str, Any]:
    found: dict[str, Any] = session.call(lambda api: api.get(f"rollouts/{quote(rollout, safe='')}"))
    return found


def _resolve(session: Session, rollout: str) -> str:
    if rollout != "latest":
        return rollout
    listed = session.call(lambda api: api.get("rollouts"))["rollouts"]
    if not listed:
        session.fail(ApiError(4, "NoSuchRollout", "there are no rollouts"))
    return str(listed[0]["id"])


_REASON = click.option("--reason", required=True, help="Why; it is kept with your name and the time.")


def _command(name: str, summary: str) -> None:
    @goldroll.command(name=name, help=summary)
    @click.argument("rollout")
    @_REASON
    @click.option("--pool", default="", help="Only this host pool.")
    @click.pass_obj
    def command(session: Session, rollout: str, reason: str, pool: str) -> None:
        body = {"reason": reason} | ({"pool": pool} if pool else {})
        _tell(session, rollout, name, body)


@goldroll.command()
@click.argument("rollout")
@_REASON
@click.option("--pool", required=True, help="The host pool.")
@click.option("--host", required=True, help="The session host, as Azure names it: avd-007.")
@click.pass_obj
def skip(session: Session, rollout: str, reason: str, pool: str, host: str) -> None:
    """Leave one session host alone: what was done to it is taken back, and the rollout ends without it."""
    _tell(session, rollout, "skip", {"reason": reason, "pool": pool, "host": host})


@goldroll.command()
@click.argument("rollout")
@_REASON
@click.option("--pool", default="", help="Only this host pool.")
@click.option("--host", default="", help="Only this session host of it, also one that was skipped or quarantined.")
@click.pass_obj
def retry(session: Session, rollout: str, reason: str, pool: str, host: str) -> None:
    """Try again now: all that waits after failed attempts, or one host."""
    named = {"pool": pool, "host": host}
    _tell(session, rollout, "retry", {"reason": reason} | {key: name for key, name in named.items() if name})


@goldroll.command()
@click.argument("rollout")
@_REASON
@click.option("--pool", default="", help="Only this host pool.")
@click.option(
    "--watch", is_flag=True, help="Stay until the roll back has ended; exit code 1 when it has not rolled back."
)
@click.option("--timeout", type=float, default=0, metavar="MINUTES", help="With --watch: no longer than this.")
@click.pass_obj
def rollback(session: Session, rollout: str, reason: str, pool: str, *, watch: bool, timeout: float) -> None:
    """Put host pools back on the version that they ran before, whether the rollout runs or has ended."""
    found = _resolve(session, rollout)
    body = {"reason": reason} | ({"pool": pool} if pool else {})
    told = session.call(lambda api: api.post(f"rollouts/{quote(found, safe='')}/rollback", body))
    if watch:
        _watch(session, told["id"], timeout, ROLLED_BACK)
    session.show(told, shown.roll_back)


@goldroll.command()
@click.option("--until", default="", metavar="TIME", help="When it ends, with a zone: 2027-01-04T06:00:00Z.")
@click.option("--reason", default="", help="Why; it is kept with your name and the time.")
@click.pass_obj
def freeze(session: Session, until: str, reason: str) -> None:
    """Let nothing begin anywhere until a time; without options: show the freeze that stands."""
    if until or reason:
        body = {"until": until, "reason": reason}
        answer = session.call(lambda api: api.post("freeze", {name: value for name, value in body.items() if value}))
    else:
        answer = session.call(lambda api: api.get("freeze"))
    session.show(answer, shown.freeze)


@goldroll.command()
@_REASON
@click.pass_obj
def thaw(session: Session, reason: str) -> None:
    """End the freeze before its time: rollouts go on."""
    session.show(session.call(lambda api: api.delete("freeze", {"reason": reason})), shown.freeze)


def _answer(name: str, summary: str) -> None:
    @goldroll.command(name=name, help=summary)
    @click.argument("rollout")
    @_REASON
    @click.option("--ring", default="", help="The ring; the one that is asked about now by default.")
    @click.pass_obj
    def command(session: Session, rollout: str, reason: str, ring: str) -> None:
        body = {"reason": reason} | ({"ring": ring} if ring else {})
        _tell(session, rollout, name, body)


def _tell(session: Session, rollout: str, verb: str, body: dict[str, str]) -> None:
    found = _resolve(session, rollout)
    told = session.call(lambda api: api.post(f"rollouts/{quote(found, safe='')}/{verb}", body))
    session.show(told, lambda answer: f"{answer['id']}: {verb}{_of(answer)}, by {answer['by']}")


def _of(told: dict[str, Any]) -> str:
    """The session host that was named, or nothing."""
    return f" {told['host']}" if told.get("host") else ""


_command("pause", "Stand still: finish what is in hand, ask nobody more to leave.")
_command("resume", "Go on after a pause.")
_command("abort", "End it: what is done stays, what is drained is given back.")
_answer("approve", "Say yes to a ring.")
_answer("reject", "Say no to a ring: the later ones are blocked.")
