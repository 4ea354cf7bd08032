"""The record: an Azure table of events, one row for each, and lists of milestones for each host pool and image.

Partitions: `rollout|<instance id>` holds all events of one orchestration by their numbers; `pool|<name>` and
`image|<name>` hold milestones, the newest first, so that what ran at a moment is the first row at or before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from adapters.connect import connection
from adapters.errors import translated
from adapters.settings import SettingsError, read_settings
from rollout.instance_ids import digest
from rollout.outbox import Batch
from rollout.recording import Event

if TYPE_CHECKING:
    from azure.data.tables import TableClient

ROWS_PER_TRANSACTION = 100
"""Azure's limit; a row here is below 4 kB, and a transaction may have 4 MB."""

_END_OF_TIME = datetime(2200, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RecordedEvent(Struct, frozen=True, omit_defaults=True):
    """An event as it stands in the record, with what it belongs to."""

    number: int
    at: datetime
    rollout: str
    image: str
    version: str
    kind: str
    message: str
    reason: str = ""
    pool: str = ""
    ring: str = ""
    host: str = ""
    phase: str = ""
    stage: str = ""
    by: str = ""


def is_recorded() -> bool:
    """A record is kept: GOLDROLL_RECORD is set. A value that cannot be used is a setting's error, told elsewhere."""
    try:
        return bool(read_settings().record)
    except SettingsError:
        return False


def write(batch: Batch) -> bool:
    """Write the events; twice is harmless, as the rows are the same. False when no record is kept. Raises StepFailed.

    A missing table is made.
    """
    if not is_recorded():
        return False
    rows = [_row(batch, event) for event in batch.events]
    by_partition: dict[str, list[dict[str, Any]]] = {}
    for event, row in zip(batch.events, rows, strict=True):
        for partition, key in _places(batch, event):
            by_partition.setdefault(partition, []).append({**row, "PartitionKey": partition, "RowKey": key})
    with translated():
        table = connection().record_table(read_settings().record)
        for together in by_partition.values():
            for first in range(0, len(together), ROWS_PER_TRANSACTION):
                _submit(table, together[first : first + ROWS_PER_TRANSACTION])
    return True


def read_events(
    rollout: str, after: int = 0, most: int = 200, *, host: str = "", kind: str = ""
) -> list[RecordedEvent]:
    """Events of one orchestration with numbers above `after`, in their order, at most so many. Raises StepFailed."""
    wanted = {"Host": host, "Kind": kind}
    key = f"{after:016d}"
    place = {"partition": _partition("rollout", rollout), "key": key}
    return _read("PartitionKey eq @partition and RowKey gt @key", place, wanted, most)


def read_milestones(
    list_of: str, name: str, since: datetime, until: datetime, most: int = 200, *, kind: str = "", version: str = ""
) -> list[RecordedEvent]:
    """Milestones of a "pool" or an "image", the newest first: those in a span of time. Raises StepFailed."""
    span = {"partition": _partition(list_of, name), "key": _newest_first(until), "last": _newest_first(since) + "~"}
    where = "PartitionKey eq @partition and RowKey ge @key and RowKey le @last"
    return _read(where, span, {"Kind": kind, "Version": version}, most)


def read_milestone_at(pool: str, moment: datetime) -> list[RecordedEvent]:
    """The last milestone of a host pool at or before a moment: what was its state then. Raises StepFailed."""
    span = {"partition": _partition("pool", pool), "key": _newest_first(moment)}
    return _read("PartitionKey eq @partition and RowKey ge @key", span, {}, 1)


# --------------------------------------------------------------------------------------------------------- the rows


def _places(batch: Batch, event: Event) -> Iterator[tuple[str, str]]:
    yield _partition("rollout", batch.rollout), f"{event.number:016d}"
    if not event.is_milestone:
        return
    key = f"{_newest_first(event.at)}-{_LAST - event.number:016d}-{digest(batch.rollout, 8)}"
    if batch.pool:
        yield _partition("pool", batch.pool), key
    else:
        yield _partition("image", batch.image), key


_LAST = 10**16 - 1


def _newest_first(moment: datetime) -> str:
    return f"{max(0, (_END_OF_TIME - moment) // _MICROSECOND):018d}"


def _partition(kind: str, name: str) -> str:
    # Azure refuses / \ # ? and control characters in keys, and some of its tools stumble over %.
    escaped = re.sub(r"[^A-Za-z0-9._()|:@ -]", lambda found: f"!{ord(found[0]):04x}", name)
    return f"{kind}|{escaped}"


def _row(batch: Batch, event: Event) -> dict[str, Any]:
    values = {
        "Number": str(event.number),
        "At": event.at.isoformat(),
        "Rollout": batch.rollout,
        "Image": batch.image,
        "Version": batch.version,
        "Kind": event.kind,
        "Message": event.message,
        "Reason": event.reason,
        "Pool": event.pool or batch.pool,
        "Ring": event.ring,
        "Host": event.host,
        "Phase": event.phase,
        "Stage": event.stage,
        "By": event.by,
    }
    return {name: value for name, value in values.items() if value}


def _event(row: Any) -> RecordedEvent | None:
    """A row as an event; None for one that something else has written."""
    read = {name.lower(): value for name, value in row.items() if isinstance(value, str)}
    try:
        return msgspec.convert(read, RecordedEvent, strict=False)
    except msgspec.ValidationError:
        return None


# -------------------------------------------------------------------------------------------------------- the calls


def _submit(table: TableClient, rows: Iterable[dict[str, Any]]) -> None:
    from azure.core.exceptions import HttpResponseError

    operations = [("upsert", row, {"mode": "replace"}) for row in rows]
    try:
        table.submit_transaction(operations)
    except HttpResponseError as error:
        if "TableNotFound" not in f"{getattr(error, 'error_code', '')} {error.message}":
            raise
        table.create_table()
        table.submit_transaction(operations)


def _read(where: str, given: dict[str, Any], wanted: dict[str, str], most: int) -> list[RecordedEvent]:
    from azure.core.exceptions import HttpResponseError

    filters = {name: value for name, value in wanted.items() if value}
    where = " and ".join([where, *(f"{name} eq @{name}" for name in filters)])
    found: list[RecordedEvent] = []
    with translated():
        table = connection().record_table(read_settings().record)
        try:
            for row in table.query_entities(where, parameters=given | filters, results_per_page=min(most, 1000)):
                if (event := _event(row)) is not None:
                    found.append(event)
                if len(found) == most:
                    break
        except HttpResponseError as error:
            if "TableNotFound" not in f"{getattr(error, 'error_code', '')} {error.message}":
                raise
    return found
