"""The journal: everything that happened in the estate, in order, and who caused it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What can happen; the subject of an entry is the resource id or name it happened to."""

    VERSION_PUBLISHED = "version_published"
    VERSION_CHANGED = "version_changed"
    VERSION_REPLICATED = "version_replicated"
    VERSION_REPLICATION_FAILED = "version_replication_failed"
    VERSION_DELETED = "version_deleted"
    REPLICAS_CROWDED = "replicas_crowded"
    MACHINE_REQUESTED = "machine_requested"
    MACHINE_CREATED = "machine_created"
    MACHINE_FAILED = "machine_failed"
    MACHINE_TAGGED = "machine_tagged"
    MACHINE_STARTING = "machine_starting"
    MACHINE_STARTED = "machine_started"
    MACHINE_START_FAILED = "machine_start_failed"
    MACHINE_STOPPING = "machine_stopping"
    MACHINE_STOPPED = "machine_stopped"
    MACHINE_DELETING = "machine_deleting"
    MACHINE_DELETED = "machine_deleted"
    EXTENSION_REQUESTED = "extension_requested"
    EXTENSION_SUCCEEDED = "extension_succeeded"
    EXTENSION_FAILED = "extension_failed"
    POOL_CREATED = "pool_created"
    POOL_DELETED = "pool_deleted"
    TOKEN_ISSUED = "token_issued"  # noqa: S105  # the name of an event
    HOST_REGISTERED = "host_registered"
    HOST_STATUS = "host_status"
    HOST_DRAINED = "host_drained"
    HOST_UNDRAINED = "host_undrained"
    HOST_ASSIGNED = "host_assigned"
    HOST_REMOVED = "host_removed"
    SIGNED_IN = "signed_in"
    RECONNECTED = "reconnected"
    DISCONNECTED = "disconnected"
    SIGNED_OUT = "signed_out"
    FORCED_OUT = "forced_out"
    DISCONNECTED_OUT = "disconnected_out"
    REFUSED = "refused"
    SIGN_IN_FAILED = "sign_in_failed"
    MESSAGE_SENT = "message_sent"
    MESSAGE_READ = "message_read"
    QUOTA_CHANGED = "quota_changed"
    STOCK_CHANGED = "stock_changed"
    FAULT = "fault"


class Entry(NamedTuple):
    """One line of the journal. `by` is "person", "administrator", "azure" or a label set with `acting_as`."""

    at: datetime
    kind: Kind
    subject: str
    detail: str
    by: str

    def __str__(self) -> str:
        """One readable line."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.subject}{detail} by {self.by}"


Listener = Callable[[Entry], None]


class Journal:
    """Keeps entries (unless told not to) and passes each one to the subscribers, in the order of subscription."""

    __slots__ = ("_keep", "_listeners", "entries")

    def __init__(self, keep: bool = True) -> None:
        self.entries: list[Entry] = []
        self._listeners: list[Listener] = []
        self._keep = keep

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every entry from now on; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def add(self, entry: Entry) -> None:
        """Append `entry` and tell the subscribers."""
        if self._keep:
            self.entries.append(entry)
        for listener in self._listeners:
            listener(entry)

    def of(self, *kinds: Kind) -> Iterator[Entry]:
        """Yield the kept entries of these kinds, oldest first."""
        return (entry for entry in self.entries if entry.kind in kinds)
