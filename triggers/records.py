"""The HTTP API for the record: a rollout's events, what has run on a host pool, who has approved a version."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import azure.durable_functions as df
import azure.functions as func
import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from adapters.errors import StepFailed
from adapters.record_store import RecordedEvent, is_recorded, read_events, read_milestone_at, read_milestones
from rollout.instance_ids import is_back_instance, pool_instance, taken_back_by
from triggers.access import admit
from triggers.problems import NEVER_A_PAGE, answer, problem

bp = df.Blueprint(http_auth_level=func.AuthLevel.FUNCTION)

USUAL, MOST = 200, 1000
"""Events of a page."""

_ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a text that begins like this for a formula; the last four are the full-width signs."""

Found = TypeVar("Found")


@bp.route(route="rollouts/{id}/events", methods=["GET"])
def show_events(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/rollouts/{id}/events[?pool=&host=&kind=&after=&limit=&format=json|csv]: the record of a rollout.

    In the order in which things happened, at most `limit` (200, up to 1000). `next` is the `after` of the following
    page and always there: a page that is empty now may have events later. `more` says that there is a following page
    already. As CSV, `next` stands in the header `Goldroll-Next`. With `pool` the events of one host pool alone.
    400 for a parameter that cannot be read, 404 when the record knows no such rollout, 409 when none is kept.
    """
    return _answering(req, lambda: _events(req.route_params.get("id", ""), req.params))


@bp.route(route="record", methods=["GET"])
def show_record(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/record?pool=production&from=2026-11-24T00:00Z&to=2026-11-25T00:00Z: what has run on a host pool.

    Milestones, the newest first, and as `before` the last one before `from`: what was the state then. `from` alone
    lists up to now, `to` alone answers what ran at that moment. `?image=win11&version=1.2.3&kind=Approved` lists an
    image's milestones instead: who has approved a version. `limit` and `format` as for a rollout's events; `truncated`
    says that older ones are left out. 400, 409, 502 as there.
    """
    return _answering(req, lambda: _record(req.params))


class EventPage(Struct, frozen=True):
    """Events of a rollout; `next` is the `after` of the following page, `more` says that there is one already."""

    rollout: str
    events: tuple[RecordedEvent, ...]
    next: str
    more: bool


class RecordView(Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Milestones of a host pool or of an image, the newest first; `before` is the last one before `from`."""

    since: datetime
    until: datetime
    events: tuple[RecordedEvent, ...]
    truncated: bool
    pool: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    before: RecordedEvent | UnsetType | None = UNSET


def _answering(req: func.HttpRequest, read: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    if isinstance(refused := admit(req, "Reader"), func.HttpResponse):
        return refused
    if not is_recorded():
        why = "no record is kept: set GOLDROLL_RECORD to the endpoint of a table service, such as "
        return problem(409, "NotRecorded", f"{why}https://<account>.table.core.windows.net")
    try:
        return read()
    except ValueError as error:
        return problem(400, "BadRequest", str(error))
    except StepFailed as failed:
        return problem(502, "RecordUnreadable", f"the record cannot be read: {failed}")


# --------------------------------------------------------------------------------------------------- a rollout's events


def _events(rollout: str, params: Mapping[str, str]) -> func.HttpResponse:
    limit, form = _limit(params), _format(params)
    pool, host, kind = (params.get(name, "") for name in ("pool", "host", "kind"))
    after = _read_cursor(params.get("after", ""))
    # A roll back tells of no pool's start: its host pools are some of those of the rollout that it takes back.
    source = taken_back_by(rollout) if is_back_instance(rollout) else rollout
    started = read_events(source, 0, MOST, kind="PoolStarted")
    of_rollout = [event.pool for event in started]
    if not _is_known(rollout, of_rollout):
        return problem(404, "NoSuchRollout", f"the record knows no rollout {rollout[:200]!r}")
    pools = [pool] if pool else ["", *dict.fromkeys(of_rollout)]
    found = [
        (name, event)
        for name in pools
        for event in read_events(
            pool_instance(rollout, name) if name else rollout, after.get(name, 0), limit + 1, host=host, kind=kind
        )
    ]
    # Within one orchestration the numbers count, whatever the clocks say; between them the time does.
    found.sort(key=lambda named: (named[1].at, named[0], named[1].number))
    page = found[:limit]
    cursor = dict(after)
    for name, event in page:
        cursor[name] = max(cursor.get(name, 0), event.number)
    events, following = [event for _, event in page], _cursor(cursor)
    if form == "csv":
        return _csv(events, f"{rollout}.csv", {"Goldroll-Next": following})
    return answer(EventPage(rollout, tuple(events), following, len(found) > limit), 200)


def _is_known(rollout: str, pools: list[str]) -> bool:
    if pools and not is_back_instance(rollout):
        return True
    return any(read_events(one, 0, 1) for one in (rollout, *(pool_instance(rollout, pool) for pool in pools)))


def _cursor(positions: Mapping[str, int]) -> str:
    return ",".join(f"{name}:{number}" for name, number in positions.items())


def _read_cursor(text: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.rpartition(":")
        if not re.fullmatch(r"\d{1,16}", number, re.ASCII):
            raise ValueError(f"after must be what an earlier page gave as next, not {text[:100]!r}")
        positions[name] = int(number)
    return positions


# ---------------------------------------------------------------------------------------------------------- milestones


def _record(params: Mapping[str, str]) -> func.HttpResponse:
    pool, image = params.get("pool", ""), params.get("image", "")
    if bool(pool) == bool(image):
        raise ValueError("say either pool or image: whose record to read")
    limit, form = _limit(params), _format(params)
    until = _moment(params, "to") or datetime.now(UTC)
    since = _moment(params, "from") or (until if pool and "to" in params else _ALWAYS)
    wanted = {"kind": params.get("kind", ""), "version": params.get("version", "")}
    found = read_milestones("pool" if pool else "image", pool or image, since, until, limit + 1, **wanted)
    events = found[:limit]
    if form == "csv":
        return _csv(events, f"{pool or image}.csv", {})
    view = RecordView(since, until, tuple(events), len(found) > limit)
    if not pool:
        return answer(structs.replace(view, image=image), 200)
    before = next(iter(read_milestone_at(pool, since)), None)
    return answer(structs.replace(view, pool=pool, before=before), 200)


# ------------------------------------------------------------------------------------------------------ the parameters


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit") or str(USUAL)
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= MOST:
        raise ValueError(f"limit must be a number from 1 to {MOST}, not {text[:100]!r}")
    return int(text)


def _format(params: Mapping[str, str]) -> str:
    form = params.get("format") or "json"
    if form not in ("json", "csv"):
        raise ValueError(f"format must be json or csv, not {form[:100]!r}")
    return form


def _moment(params: Mapping[str, str], name: str) -> datetime | None:
    text = params.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign in a query reads as a space
    except ValueError:
        raise ValueError(f"{name} must be a time such as 2026-11-23T08:00:00Z, not {text[:100]!r}") from None
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _csv(events: list[RecordedEvent], name: str, headers: dict[str, str]) -> func.HttpResponse:
    text = io.StringIO()
    columns = RecordedEvent.__struct_fields__
    writer = csv.writer(text)
    writer.writerow(columns)
    for event in events:
        row = msgspec.to_builtins(event)
        writer.writerow([_cell(row.get(column, "")) for column in columns])
    safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    told = {**NEVER_A_PAGE, "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{safe}"'}
    return func.HttpResponse(
        text.getvalue(), status_code=200, headers=headers | told, mimetype="text/csv", charset="utf-8"
    )


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value
