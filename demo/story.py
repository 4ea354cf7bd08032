"""The story of a run: what the app says it does and why, merged with what happens around it, one sentence a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from localhost import LogLine
from simulator import ids
from simulator.direct import ROLLOUT
from simulator.estate import Estate
from simulator.faults import Site
from simulator.journal import Entry, Kind
from simulator.world import ADMINISTRATOR, AUTOSCALE, AZURE

STORY_LOGGER = "goldroll.story"
"""The logger on which the app tells what it does; its messages begin with the pool's name and a colon."""

IMAGE, AZURE_ITSELF = "image", "azure"
"""What the second column says when a line is about no pool: about the image and its rollout, or about Azure."""

_WIDTH = 8


class Line(NamedTuple):
    """One sentence: when (simulated, UTC), about which pool, and what."""

    at: datetime
    where: str
    sentence: str

    @property
    def is_heading(self) -> bool:
        """The name of a new day."""
        return not self.where

    def __str__(self) -> str:
        """The line as stories print it."""
        if self.is_heading:
            return self.sentence
        return f"{self.at:%H:%M}  {self.where:<{_WIDTH}}  {self.sentence}"


class Story:
    """Collects the lines of a run in the order of time and passes each on as it comes.

    What people do by themselves (arrive, pause, sign out) is left out: it is too much, and it is their business.
    """

    def __init__(self, estate: Estate, pools: Mapping[str, str], tell: Callable[[Line], None]) -> None:
        """`pools` maps the host pools' names in Azure to their names in the policy."""
        self.lines: list[Line] = []
        self._estate = estate
        self._pools = pools
        self._tell = tell
        self._without_slot: set[str] = set()
        self._struck: set[str] = set()
        self._served: set[str] = set()
        self._tellers: dict[Kind, Callable[[Entry], str]] = {
            Kind.VERSION_PUBLISHED: self._published,
            Kind.VERSION_CHANGED: self._version_changed,
            Kind.VERSION_REPLICATED: self._replicated,
            Kind.VERSION_REPLICATION_FAILED: self._replication_failed,
            Kind.VERSION_DELETED: self._version_deleted,
            Kind.REPLICAS_CROWDED: self._crowded,
            Kind.HOST_DRAINED: self._drained,
            Kind.HOST_UNDRAINED: self._undrained,
            Kind.MACHINE_DELETING: self._machine_deleting,
            Kind.POOL_DELETED: self._pool_deleted,
            Kind.FORCED_OUT: self._forced_out,
            Kind.REFUSED: self._refused,
            Kind.HOST_STATUS: self._status,
            Kind.QUOTA_CHANGED: self._quota,
            Kind.FAULT: self._fault,
        }
        estate.subscribe(self._happened)

    def hear(self, line: LogLine) -> None:
        """Take in a log line of the app; those of other loggers than the story's are left out."""
        if line.logger != STORY_LOGGER:
            return
        # What has happened in Azure since its last call comes first.
        self._estate.now()
        # A pool's lines begin with its name, those of a rollout as a whole with image and version.
        where, _, sentence = line.message.partition(": ")
        self.add(line.at, where if where in self._pools.values() else IMAGE, sentence)

    def add(self, at: datetime, where: str, sentence: str) -> None:
        """Add a line; of a new day, the day's name first."""
        if not self.lines or self.lines[-1].at.date() != at.date():
            self._append(Line(at, "", f"--- {at:%A} {at.day} {at:%B} ---"))
        self._append(Line(at, where, sentence))

    def _append(self, line: Line) -> None:
        self.lines.append(line)
        self._tell(line)

    def _happened(self, entry: Entry) -> None:
        tell_of = self._tellers.get(entry.kind)
        sentence = tell_of(entry) if tell_of else ""
        if sentence:
            self.add(entry.at, self._where(entry), sentence)

    def _where(self, entry: Entry) -> str:
        """The column of an entry: its pool, by the label `pool/host` or the resource's own id."""
        if entry.kind in (Kind.REFUSED, Kind.FORCED_OUT):
            pool = entry.detail.split("/")[0]
        elif not entry.subject.startswith("/"):
            pool = entry.subject.split("/")[0]
        else:
            pool = self._pool_of(entry.subject)
        if pool in self._pools:
            return self._pools[pool]
        return IMAGE if "/galleries/" in entry.subject else AZURE_ITSELF

    def _pool_of(self, resource_id: str) -> str:
        """The pool that a VM or a host pool's id belongs to, "" for anything else."""
        if "/virtualMachines/" in resource_id:
            host = self._estate.hosts.of_machine(resource_id)
            return host.pool.name if host else ""
        return resource_id.rsplit("/", 1)[-1] if "/hostPools/" in resource_id else ""

    # ------------------------------------------------------------------------------------- one sentence for each kind

    def _published(self, entry: Entry) -> str:
        return f"the {entry.by} has published version {ids.parse(entry.subject).name}" if entry.by != AZURE else ""

    def _version_changed(self, entry: Entry) -> str:
        # What the rollout itself does it tells itself.
        people = entry.by not in (AZURE, ROLLOUT)
        return f"the {entry.by} has changed version {ids.parse(entry.subject).name}" if people else ""

    def _replicated(self, entry: Entry) -> str:
        if entry.by != AZURE:
            return ""
        return f"version {ids.parse(entry.subject).name} has arrived in {ids.display_region(entry.detail)}"

    def _replication_failed(self, entry: Entry) -> str:
        return f"version {ids.parse(entry.subject).name} could not be copied to {ids.display_region(entry.detail)}"

    def _version_deleted(self, entry: Entry) -> str:
        return f"version {ids.parse(entry.subject).name} has been deleted"

    def _crowded(self, entry: Entry) -> str:
        """Once for each version and region: what follows is more of the same."""
        if (place := f"{entry.subject} {entry.detail}") in self._struck:
            return ""
        self._struck.add(place)
        where = ids.display_region(entry.detail)
        return f"more VMs are made in {where} than the replicas there carry: each takes longer"

    def _drained(self, entry: Entry) -> str:
        return f"{_who(entry)} turned drain mode on for {_host(entry)}" if _is_interference(entry) else ""

    def _undrained(self, entry: Entry) -> str:
        return f"{_who(entry)} turned drain mode off on {_host(entry)}" if _is_interference(entry) else ""

    def _machine_deleting(self, entry: Entry) -> str:
        return (
            f"{_who(entry)} deleted the VM {ids.parse(entry.subject).name} by hand" if _is_interference(entry) else ""
        )

    def _pool_deleted(self, entry: Entry) -> str:
        return f"{_who(entry)} deleted the host pool"

    def _forced_out(self, entry: Entry) -> str:
        # What the rollout itself does it tells itself.
        if not _is_interference(entry):
            return ""
        return f"{_person(entry)} lost a session on {_host(entry, entry.detail)}"

    def _refused(self, entry: Entry) -> str:
        if entry.subject in self._without_slot:
            return ""
        self._without_slot.add(entry.subject)
        return f"{_person(entry)} finds no free session slot and will try again"

    def _status(self, entry: Entry) -> str:
        """A host that has served people and does not any more, other than by being switched off."""
        if entry.detail == "Available":
            self._served.add(entry.subject)
        elif entry.subject in self._served and entry.detail not in ("Shutdown", "Unavailable", "NoHeartbeat"):
            return f"{_host(entry)} stops accepting connections: {entry.detail}"
        return ""

    def _quota(self, entry: Entry) -> str:
        return f"{_who(entry)} set the core quota of {ids.display_region(entry.subject)} to {entry.detail.split()[-1]}"

    def _fault(self, entry: Entry) -> str:
        """The first fault of each kind; a bad day has dozens."""
        if entry.detail in self._struck:
            return ""
        self._struck.add(entry.detail)
        return _FAULTS.get(entry.detail, "")


_FAULTS: dict[str, str] = {
    Site.THROTTLED: "Azure begins to throttle requests (429); from here on that happens now and then",
    Site.SERVER_ERROR: "Azure begins to answer with server errors (500, 503)",
    Site.LOST_REQUEST: "a request to Azure is lost on the way",
    Site.LOST_RESPONSE: "the answer of Azure to a request that it has carried out is lost",
    Site.ALLOCATION_FAILED: "the region has no machine left for a new host",
}


def _is_interference(entry: Entry) -> bool:
    return entry.by in (ADMINISTRATOR, AUTOSCALE)


def _who(entry: Entry) -> str:
    return "autoscale" if entry.by == AUTOSCALE else "an administrator"


def _host(entry: Entry, label: str = "") -> str:
    return (label or entry.subject).rsplit("/", 1)[-1]


def _person(entry: Entry) -> str:
    return entry.subject.split("@")[0]
