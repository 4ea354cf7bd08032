"""Durable state in SQLite: instances, append-only history, messages, activities to run, entities, timer schedules."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from localhost.faults import CommitHook

_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = """
CREATE TABLE instances (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, execution_id TEXT NOT NULL,
    parent_id TEXT, parent_execution_id TEXT, parent_sequence INTEGER,
    status TEXT NOT NULL, input TEXT NOT NULL, output TEXT NOT NULL, custom_status TEXT NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE history (
    instance_id TEXT NOT NULL, position INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (instance_id, position)) WITHOUT ROWID;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, execution_id TEXT,
    due INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX messages_by_due ON messages (due, id);
CREATE INDEX messages_by_target ON messages (target, due, id);
CREATE TABLE work (
    id INTEGER PRIMARY KEY AUTOINCREMENT, instance_id TEXT NOT NULL, execution_id TEXT NOT NULL,
    sequence INTEGER NOT NULL, name TEXT NOT NULL, input TEXT NOT NULL, due INTEGER NOT NULL);
CREATE TABLE entities (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE schedules (
    function TEXT PRIMARY KEY, last INTEGER, next INTEGER NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE serials (value INTEGER NOT NULL);
INSERT INTO serials VALUES (0);
"""


class StoreError(Exception):
    """The state file cannot be used; the message says why and what to do."""


@dataclass(slots=True)
class Instance:
    """An orchestration instance. input: the raw JSON text of the start; output and custom_status: JSON text."""

    id: str
    name: str
    version: str
    execution_id: str
    parent_id: str | None
    parent_execution_id: str | None
    parent_sequence: int | None
    status: str
    input: str
    output: str
    custom_status: str
    created: datetime
    updated: datetime

    @property
    def is_finished(self) -> bool:
        """Whether it completed, failed or was terminated."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class Message:
    """A message to an instance or, when target starts with @, an entity. execution_id None: for whichever runs."""

    id: int
    target: str
    execution_id: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Work:
    """An activity to run. input: JSON text for the activity."""

    id: int
    instance_id: str
    execution_id: str
    sequence: int
    name: str
    input: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where a timer trigger stands. last: its latest occurrence that ran, or None."""

    last: datetime | None
    next: datetime
    updated: datetime


FINISHED = ("Completed", "Failed", "Terminated")


class Store:
    """One SQLite connection, used from one thread. Every write belongs to a `transaction`."""

    def __init__(self, path: str | Path, on_commit: CommitHook | None = None) -> None:
        """path: a file, created when missing, or ":memory:". on_commit: told around each commit, for tests."""
        self._path = str(path)
        self._on_commit = on_commit
        self._connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=256, timeout=0.5)
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(
                f"cannot use the state file {self._path}: {error}; is another host using it? If not, delete the file"
            ) from error

    def _open(self) -> None:
        execute = self._connection.execute
        # Exclusive: two hosts on one file would run everything twice; it also spares the lock calls of each commit.
        execute("PRAGMA locking_mode=EXCLUSIVE")
        execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing in WAL mode with NORMAL; only a power cut may lose the latest commits.
        execute("PRAGMA synchronous=NORMAL")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise StoreError(f"the state file {self._path} has format {version}, this host uses {_VERSION}; delete it")
        execute("BEGIN IMMEDIATE")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                execute(statement)
            execute(f"PRAGMA user_version={_VERSION}")
        execute("COMMIT")

    def close(self) -> None:
        """Close the connection; what was not committed is gone."""
        self._connection.close()

    @contextmanager
    def transaction(self, label: str) -> Iterator[None]:
        """All or nothing. label names the commit point for the hook: start, message, episode, activity, entity ..."""
        self._connection.execute("BEGIN")
        try:
            yield
            if self._on_commit is not None:
                self._on_commit("before", label)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        if self._on_commit is not None:
            self._on_commit("after", label)

    def next_serial(self) -> int:
        """A number never given before in this file: the source of execution ids and generated instance ids."""
        row = self._connection.execute("UPDATE serials SET value = value + 1 RETURNING value").fetchone()
        return int(row[0])

    # -- instances -----------------------------------------------------------------------------------------------

    def instance(self, instance_id: str) -> Instance | None:
        """The instance, or None."""
        row = self._connection.execute("SELECT * FROM instances WHERE id = ?", (instance_id,)).fetchone()
        return None if row is None else _instance(row)

    def instances(self, prefix: str = "") -> list[Instance]:
        """Every instance whose id starts with prefix, in the order of creation."""
        rows = self._connection.execute(
            "SELECT * FROM instances WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY created, id",
            {"prefix": prefix},
        )
        return [_instance(row) for row in rows]

    def save_instance(self, instance: Instance) -> None:
        """Insert or replace."""
        self._connection.execute(
            "INSERT OR REPLACE INTO instances VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                instance.id,
                instance.name,
                instance.version,
                instance.execution_id,
                instance.parent_id,
                instance.parent_execution_id,
                instance.parent_sequence,
                instance.status,
                instance.input,
                instance.output,
                instance.custom_status,
                _micros(instance.created),
                _micros(instance.updated),
            ),
        )

    def delete_instance(self, instance_id: str) -> None:
        """Remove the instance, its history and its messages; running activities find nothing to report to."""
        self._connection.execute("DELETE FROM instances WHERE id = ?", (instance_id,))
        self.clear_history(instance_id)
        self._connection.execute("DELETE FROM messages WHERE target = ?", (instance_id,))

    # -- history -------------------------------------------------------------------------------------------------

    def history(self, instance_id: str) -> list[str]:
        """The events of the current execution as JSON texts."""
        rows = self._connection.execute(
            "SELECT event FROM history WHERE instance_id = ? ORDER BY position", (instance_id,)
        )
        return [row[0] for row in rows]

    def append_history(self, instance_id: str, position: int, events: Sequence[str]) -> None:
        """Add events from `position` on; a position that exists already is an error."""
        self._connection.executemany(
            "INSERT INTO history VALUES (?,?,?)",
            [(instance_id, position + offset, event) for offset, event in enumerate(events)],
        )

    def clear_history(self, instance_id: str) -> None:
        """Forget the events: the instance begins a new execution or is purged."""
        self._connection.execute("DELETE FROM history WHERE instance_id = ?", (instance_id,))

    # -- messages ------------------------------------------------------------------------------------------------

    def send(self, target: str, execution_id: str | None, due: datetime, body: str) -> None:
        """Queue a message; it is visible from `due` on."""
        self._connection.execute(
            "INSERT INTO messages (target, execution_id, due, body) VALUES (?,?,?,?)",
            (target, execution_id, _micros(due), body),
        )

    def next_target(self, now: datetime) -> str | None:
        """Whom the oldest visible message is for, or None."""
        row = self._connection.execute(
            "SELECT target FROM messages WHERE due <= ? ORDER BY due, id LIMIT 1", (_micros(now),)
        ).fetchone()
        return None if row is None else str(row[0])

    def messages(self, target: str, now: datetime) -> list[Message]:
        """The visible messages for one target, oldest first."""
        rows = self._connection.execute(
            "SELECT id, target, execution_id, body FROM messages WHERE target = ? AND due <= ? ORDER BY due, id",
            (target, _micros(now)),
        )
        return [Message(*row) for row in rows]

    def delete_messages(self, messages: Sequence[Message]) -> None:
        """Remove messages that were dealt with."""
        self._connection.executemany("DELETE FROM messages WHERE id = ?", [(message.id,) for message in messages])

    def delete_messages_of_execution(self, target: str, execution_id: str) -> None:
        """Remove what was still to come for an execution that ended, such as the firing of cancelled timers."""
        self._connection.execute("DELETE FROM messages WHERE target = ? AND execution_id = ?", (target, execution_id))

    def next_due(self, after: datetime) -> datetime | None:
        """When the next message or activity becomes visible after that moment, or None."""
        row = self._connection.execute(
            "SELECT min(due) FROM (SELECT min(due) AS due FROM messages WHERE due > :after"
            " UNION ALL SELECT min(due) FROM work WHERE due > :after)",
            {"after": _micros(after)},
        ).fetchone()
        return _moment(row[0])

    # -- activities ----------------------------------------------------------------------------------------------

    def add_work(self, instance_id: str, execution_id: str, sequence: int, name: str, text: str, due: datetime) -> None:
        """Queue an activity."""
        self._connection.execute(
            "INSERT INTO work (instance_id, execution_id, sequence, name, input, due) VALUES (?,?,?,?,?,?)",
            (instance_id, execution_id, sequence, name, text, _micros(due)),
        )

    def visible_work(self, now: datetime, limit: int) -> list[Work]:
        """The first activities to run, in the order in which they were asked for."""
        rows = self._connection.execute(
            "SELECT id, instance_id, execution_id, sequence, name, input FROM work WHERE due <= ? ORDER BY id LIMIT ?",
            (_micros(now), limit),
        )
        return [Work(*row) for row in rows]

    def finish_work(self, work_id: int) -> bool:
        """Take the activity off the queue; False when a duplicate run has done so before."""
        return self._connection.execute("DELETE FROM work WHERE id = ?", (work_id,)).rowcount == 1

    def postpone_work(self, work_id: int, until: datetime) -> None:
        """Make the activity invisible until then."""
        self._connection.execute("UPDATE work SET due = ? WHERE id = ?", (_micros(until), work_id))

    # -- entities ------------------------------------------------------------------------------------------------

    def entity(self, entity_id: str) -> str | None:
        """The entity's state as JSON text, or None when it does not exist."""
        row = self._connection.execute("SELECT state FROM entities WHERE id = ?", (entity_id,)).fetchone()
        return None if row is None else str(row[0])

    def save_entity(self, entity_id: str, state: str | None) -> None:
        """Store the state; None deletes the entity."""
        if state is None:
            self._connection.execute("DELETE FROM entities WHERE id = ?", (entity_id,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO entities VALUES (?,?)", (entity_id, state))

    # -- timer triggers ------------------------------------------------------------------------------------------

    def schedule(self, function: str) -> Schedule | None:
        """Where a timer trigger stands, or None before its first time."""
        row = self._connection.execute(
            "SELECT last, next, updated FROM schedules WHERE function = ?", (function,)
        ).fetchone()
        if row is None:
            return None
        return Schedule(
            _moment(row[0]), _EPOCH + timedelta(microseconds=row[1]), _EPOCH + timedelta(microseconds=row[2])
        )

    def save_schedule(self, function: str, schedule: Schedule) -> None:
        """Insert or replace."""
        last = None if schedule.last is None else _micros(schedule.last)
        self._connection.execute(
            "INSERT OR REPLACE INTO schedules VALUES (?,?,?,?)",
            (function, last, _micros(schedule.next), _micros(schedule.updated)),
        )


def _instance(row: tuple[Any, ...]) -> Instance:
    instance = Instance(*row)
    instance.created = _EPOCH + timedelta(microseconds=row[-2])
    instance.updated = _EPOCH + timedelta(microseconds=row[-1])
    return instance


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)
