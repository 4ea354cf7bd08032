"""The pool in a forecast: it does what a rollout's steps say, in times that are drawn, and nothing fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from msgspec import structs

from rollout.capacity import accepts_sign_ins
from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    PoolSnapshot,
    SessionHost,
    UserSession,
)
from rollout.steps import (
    InstallAgent,
    JoinHost,
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    RestoreHost,
    RetainHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)

_SHARES = {"create": 0.25, "join": 0.15, "install": 0.45, "register": 0.15}
"""How a new host's time divides among its stages, about."""

_REMOVAL = timedelta(minutes=2)
_START = timedelta(minutes=3)


class World:
    """A pool that a rollout may be tried on. `now` moves in `pass_time` only.

    People are told what happens to their sessions through `signed_out` and `notified`, which somebody else sets.
    `provisioning` is how long a new host takes from the first step until it has registered.
    """

    def __init__(self, snapshot: PoolSnapshot, provisioning: timedelta, rng: random.Random, until: datetime) -> None:
        """The pool as it was seen; agents that are well stay well `until` the forecast's horizon."""
        self.now = snapshot.observed_at
        self.snapshot = snapshot
        self.limit = snapshot.pool.max_session_limit
        self.hosts = {host.name: _that_stays_well(host, snapshot.observed_at, until) for host in snapshot.hosts}
        self.refused = 0
        self.signed_out: Callable[[UserSession], None] = lambda _: None
        self.notified: Callable[[UserSession], None] = lambda _: None
        self._names = set(snapshot.names_in_use)
        self._until = until
        self._provisioning = provisioning
        self._rng = rng
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = count(1)
        self._where: dict[str, str] = {s.user: host.name for host in self.hosts.values() for s in host.sessions}
        self._seen: PoolSnapshot | None = None

    # ------------------------------------------------------------------------------------------------------------ time

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen so much later."""
        self.at(self.now + delay, what)

    def at(self, moment: datetime, what: Callable[[], None]) -> None:
        """Let something happen at a moment."""
        heappush(self._agenda, (moment, next(self._serial), what))

    def pass_time(self, until: datetime) -> None:
        """Let everything happen that is due until this moment, and be there."""
        while self._agenda and self._agenda[0][0] <= until:
            moment, _, what = heappop(self._agenda)
            self.now = max(self.now, moment)
            what()
        self.now = max(self.now, until)

    def observe(self) -> PoolSnapshot:
        """The pool as Azure would show it now."""
        if self._seen is None:
            shown = tuple(host for _, host in sorted(self.hosts.items()) if host.registration or host.is_tagged)
            names = tuple(sorted(self._names))
            self._seen = structs.replace(self.snapshot, hosts=shown, names_in_use=names)
        return structs.replace(self._seen, observed_at=self.now)

    # ---------------------------------------------------------------------------------------------------------- people

    def host_of(self, user: str) -> str:
        """The name of the host that somebody has a session on, "" when they have none."""
        return self._where.get(user, "")

    def sign_in(self, user: str) -> bool:
        """Broker somebody to a host, or back to the session that they have. False: there is no room anywhere."""
        if self.host_of(user):
            self._change_session(user, "Active")
            return True
        fullest_first = self.snapshot.pool.load_balancer == "DepthFirst"
        found: SessionHost | None = None
        for host in self.hosts.values():
            if not accepts_sign_ins(host) or host.load >= self.limit:
                continue
            if found is None or (host.load > found.load if fullest_first else host.load < found.load):
                found = host
        if found is None:
            self.refused += 1
            return False
        session = UserSession(f"{found.name}/{next(self._serial)}", user, began=self.now)
        self._put(found.name, sessions=(*found.sessions, session))
        self._where[user] = found.name
        return True

    def sign_out(self, user: str) -> None:
        """End somebody's session; nothing happens when they have none."""
        if name := self._where.pop(user, ""):
            self._put(name, sessions=tuple(s for s in self.hosts[name].sessions if s.user != user))

    def walk_away(self, user: str) -> None:
        """Leave somebody's session disconnected."""
        self._change_session(user, "Disconnected")

    def _change_session(self, user: str, state: str) -> None:
        if name := self.host_of(user):
            sessions = self.hosts[name].sessions
            self._put(name, sessions=tuple(structs.replace(s, state=state) if s.user == user else s for s in sessions))

    def _put(self, name: str, **fields: object) -> None:
        if "sessions" in fields:
            fields["session_count"] = len(fields["sessions"])  # type: ignore[arg-type]
        self.hosts[name] = structs.replace(self.hosts[name], **fields)
        self._seen = None

    # ----------------------------------------------------------------------------------------------------------- steps

    def carry_out(self, steps: Iterable[Step], rollout_id: str) -> list[StepOutcome]:
        """Do what the steps say, or begin it; what became of each."""
        return [self._carry_out(step, rollout_id) for step in steps]

    def _carry_out(self, step: Step, rollout_id: str) -> StepOutcome:
        match step:
            case RetainHost():
                return StepOutcome(step, self._retain(step))
            case RemoveHost():
                return StepOutcome(step, self._remove(step))
            case ProvisionHost():
                self._provision(step, rollout_id)
            case RestoreHost():
                self._restore(step, rollout_id)
            case StartDraining():
                self._hold(step.host, rollout_id)
            case _:
                self._change(step)
        return StepOutcome(step)

    def _change(self, step: Step) -> None:
        match step:
            case JoinHost():
                self._extend(step.host, JOIN_EXTENSION, "join", lambda: None)
            case InstallAgent():
                self._extend(step.host, AGENT_EXTENSION, "install", lambda: self._register_soon(step.host))
            case StopDraining():
                self._let_go(step.host, accepts=True)
            case ReleaseHost():
                self._let_go(step.host, accepts=False, off=step.deallocate)
            case NotifySessions():
                self._tell(step)
            case SignOutSessions():
                self._end(step)
            case QuarantineHost():
                self._let_go(step.host, accepts=False, mark=step.code)

    def _provision(self, step: ProvisionHost, rollout_id: str) -> None:
        self._names.add(step.host)
        self.hosts[step.host] = SessionHost(
            name=step.host,
            vm_id=f"{self.snapshot.pool.id}/{step.host}",
            image_version_id=step.image_version_id,
            zone=step.zone,
            shape=step.shape,
            tags={**step.shape.tags, ROLLOUT_TAG: rollout_id},
            provisioning="Creating",
        )
        self._seen = None
        self.after(self._takes("create"), lambda: self._if_there(step.host, provisioning="Succeeded", power="running"))

    def _extend(self, name: str, extension: str, stage: str, then: Callable[[], None]) -> None:
        host = self.hosts.get(name)
        if host is None or extension in host.extensions:
            return
        self._put(name, extensions={**host.extensions, extension: "Updating"})

        def done() -> None:
            if (host := self.hosts.get(name)) is not None:
                self._put(name, extensions={**host.extensions, extension: "Succeeded"})
                then()

        self.after(self._takes(stage), done)

    def _register_soon(self, name: str) -> None:
        registration = f"{self.snapshot.pool.id}/sessionHosts/{name}"
        self.after(
            self._takes("register"),
            lambda: self._if_there(
                name,
                registration=registration,
                status="Available",
                allows_new_sessions=True,
                last_heartbeat=self._until,
            ),
        )

    def _takes(self, stage: str) -> timedelta:
        return self._provisioning * _SHARES[stage] * self._rng.uniform(0.75, 1.25)

    def _if_there(self, name: str, **fields: object) -> None:
        if name in self.hosts:
            self._put(name, **fields)

    def _hold(self, name: str, rollout_id: str) -> None:
        if (host := self.hosts.get(name)) is not None:
            self._put(name, tags={**host.tags, ROLLOUT_TAG: rollout_id}, allows_new_sessions=False)

    def _let_go(self, name: str, *, accepts: bool, off: bool = False, mark: str = "") -> None:
        host = self.hosts.get(name)
        if host is None:
            return
        if off:  # the tags go with a later step, when the VM is off
            self._put(name, power="deallocated", status="Shutdown")
            return
        tags = {key: value for key, value in host.tags.items() if key != ROLLOUT_TAG}
        self._put(name, tags=tags | ({QUARANTINE_TAG: mark} if mark else {}), allows_new_sessions=accepts)

    def _tell(self, step: NotifySessions) -> None:
        host = self.hosts.get(step.host)
        for session in host.sessions if host is not None else ():
            if session.id in step.sessions and not session.is_disconnected:
                self.notified(session)

    def _end(self, step: SignOutSessions) -> None:
        host = self.hosts.get(step.host)
        for session in host.sessions if host is not None else ():
            if session.id in step.sessions:
                self.sign_out(session.user)
                self.signed_out(session)

    def _remove(self, step: RemoveHost) -> StepError | None:
        host = self.hosts.get(step.host)
        if host is not None and host.load and not host.is_powered_off:
            return StepError("HostInUse", f"{step.host} has {host.load} sessions")
        if host is not None and host.provisioning != "Deleting":
            self._put(step.host, provisioning="Deleting", registration="", allows_new_sessions=False)
            self.after(_REMOVAL, lambda: self._gone(step.host))
        return None

    def _retain(self, step: RetainHost) -> StepError | None:
        host = self.hosts.get(step.host)
        if host is None:
            return None
        if host.load:
            return StepError("HostInUse", f"{step.host} has {host.load} sessions")
        if host.is_powered_off:
            tags = {key: value for key, value in host.tags.items() if key != ROLLOUT_TAG}
            self._put(step.host, tags=tags)
        elif not host.is_retained:
            self._put(step.host, tags={**host.tags, RETAINED_TAG: step.until.isoformat()})
            self.after(_REMOVAL, lambda: self._if_there(step.host, power="deallocated", status="Shutdown"))
        return None

    def _restore(self, step: RestoreHost, rollout_id: str) -> None:
        if (host := self.hosts.get(step.host)) is None or not host.is_retained:
            return
        tags = {key: value for key, value in host.tags.items() if key != RETAINED_TAG}
        self._put(step.host, tags={**tags, ROLLOUT_TAG: rollout_id})
        running = {"power": "running", "status": "Available", "last_heartbeat": self._until}
        self.after(_START, lambda: self._if_there(step.host, **running))

    def _gone(self, name: str) -> None:
        del self.hosts[name]
        self._names.discard(name)
        self._seen = None


def _that_stays_well(host: SessionHost, now: datetime, until: datetime) -> SessionHost:
    """The host as it is, hearing nothing more from its agent if nothing is heard now.

    Sessions that are counted and not listed become people without a name, so that they can leave.
    """
    unlisted = range(host.load - len(host.sessions))
    sessions = (*host.sessions, *(UserSession(f"{host.name}/?{n}", f"{host.name}/?{n}") for n in unlisted))
    heard = host.last_heartbeat is not None and now - host.last_heartbeat < timedelta(minutes=10)
    return structs.replace(
        host,
        sessions=sessions,
        session_count=len(sessions),
        last_heartbeat=until if heard else host.last_heartbeat,
    )
