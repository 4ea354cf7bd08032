"""User sessions: the broker that places them, and every way in which one ends."""

from __future__ import annotations

from collections.abc import Callable

from simulator.errors import AzureError, desktop_error
from simulator.host_pools import HostPool, HostPools, PoolType, Session, SessionHost, SessionState
from simulator.journal import Kind
from simulator.machines import Machines
from simulator.world import PERSON, SESSION_LIMIT, World, guid, public


class Sessions:
    """The sessions of every pool.

    `interrupted` listeners hear of every session that somebody else ended or disconnected, `messaged` ones of every
    message, `connected` ones of every attempt to connect and whether it failed.
    """

    def __init__(self, world: World, pools: HostPools, machines: Machines) -> None:
        self.world = world
        self._pools = pools
        self._machines = machines
        self._rng = world.stream("sessions")
        self.interrupted: list[Callable[[Session], None]] = []
        self.messaged: list[Callable[[Session, str, str], None]] = []
        self.connected: list[Callable[[HostPool, bool], None]] = []
        self._failing = world.stream("failing sign-ins")

    @public
    def sign_in(self, pool_id: str, person: str) -> Session | None:
        """A person connects: back to their session where they have one (drain mode or not), else to a host with a free
        slot.

        None when they are refused because no accepting host has a free slot, or the host's image does not let them in.
        """
        pool = self._pools.get(pool_id)
        session = self._connect(pool, person)
        for listener in self.connected:
            listener(pool, session is None)
        return session

    def _connect(self, pool: HostPool, person: str) -> Session | None:
        existing = pool.sessions.get(person)
        if existing is not None:
            if existing.state is SessionState.DISCONNECTED:
                self._set_state(existing, SessionState.ACTIVE)
                self.world.record(Kind.RECONNECTED, person, existing.host.label, by=PERSON, person=person)
            return existing
        host = self._place(pool, person)
        if host is None:
            self.world.record(Kind.REFUSED, person, pool.name, by=PERSON, person=person)
            self._start_a_host_on_connect(pool)
            return None
        fails = host.machine.flaws.sign_ins_fail if host.machine is not None else 0
        if fails and self._failing.random() < fails:
            self.world.record(Kind.SIGN_IN_FAILED, person, host.label, by=PERSON, person=person)
            return None
        return self._open(pool, host, person)

    @public
    def list(self, pool_id: str, host_name: str | None = None) -> list[Session]:
        """The sessions of a pool, or of one host in it, host by host in the order of their start."""
        pool = self._pools.get(pool_id)
        hosts = [*pool.hosts.values()] if host_name is None else [self._host(pool, host_name)]
        return [session for host in hosts for session in host.sessions.values()]

    @public
    def get(self, pool_id: str, host_name: str, number: int) -> Session:
        """One session, or Virtual Desktop's 404."""
        return self._get(pool_id, host_name, number)

    @public
    def sign_out(self, pool_id: str, host_name: str, number: int) -> None:
        """An administrator ends a session; a 404 when it is gone."""
        self._end_by_force(self._get(pool_id, host_name, number))

    @public
    def disconnect(self, pool_id: str, host_name: str, number: int) -> None:
        """An administrator disconnects a session; it stays, with its programs."""
        session = self._get(pool_id, host_name, number)
        if session.state is SessionState.ACTIVE:
            self._disconnect(session, self.world.actor)
            for listener in self.interrupted:
                listener(session)

    @public
    def send_message(self, pool_id: str, host_name: str, number: int, title: str, body: str) -> None:
        """Show a message in a session; in a disconnected one nobody sees it."""
        session = self._get(pool_id, host_name, number)
        if not title or not body:
            raise desktop_error(400, guid(self._rng), "MessageTitle and MessageBody must not be empty.")
        session.messages.append((self.world.time, title, body))
        self.world.record(Kind.MESSAGE_SENT, session.person, f"{session.host.label}: {title}", person=session.person)
        for listener in self.messaged:
            listener(session, title, body)

    def leave(self, session: Session) -> None:
        """The person signs out."""
        self._close(session)
        self.world.record(Kind.SIGNED_OUT, session.person, session.host.label, by=PERSON, person=session.person)

    def walk_away(self, session: Session) -> None:
        """The person disconnects."""
        if session.state is SessionState.ACTIVE:
            self._disconnect(session, PERSON)

    def cut(self, host: SessionHost) -> None:
        """End every session of a host because the machine or the record goes away."""
        for session in list(host.sessions.values()):
            self._end_by_force(session)

    def _get(self, pool_id: str, host_name: str, number: int) -> Session:
        host = self._host(self._pools.get(pool_id), host_name)
        session = host.sessions.get(number)
        if session is None:
            raise desktop_error(404, guid(self._rng), "User session ID not found")
        return session

    def _host(self, pool: HostPool, name: str) -> SessionHost:
        host = pool.hosts.get(name.lower())
        if host is None:
            raise desktop_error(404, guid(self._rng), f"SessionHost {name} does not exist in the HostPool.")
        return host

    def _place(self, pool: HostPool, person: str) -> SessionHost | None:
        if pool.type is not PoolType.PERSONAL:
            return pool.roomiest_or_fullest()
        own = next((host for host in pool.hosts.values() if host.assigned_user == person), None)
        if own is not None:
            return own if own.accepting else None
        host = pool.roomiest_or_fullest()
        if host is not None:
            host.assigned_user = person
            self.world.record(Kind.HOST_ASSIGNED, host.label, person, by="azure")
        return host

    def _open(self, pool: HostPool, host: SessionHost, person: str) -> Session:
        now = self.world.time
        session = Session(host.next_number, person, host, now, state_since=now)
        host.next_number += 1
        host.sessions[session.number] = session
        pool.sessions[person] = session
        pool.recount(host, self.world)
        self.world.record(Kind.SIGNED_IN, person, host.label, by=PERSON, person=person)
        return session

    def _close(self, session: Session) -> None:
        host = session.host
        del host.sessions[session.number]
        del host.pool.sessions[session.person]
        host.pool.recount(host, self.world)

    def _end_by_force(self, session: Session) -> None:
        self._close(session)
        kind = Kind.FORCED_OUT if session.state is SessionState.ACTIVE else Kind.DISCONNECTED_OUT
        self.world.record(kind, session.person, session.host.label, person=session.person)
        for listener in self.interrupted:
            listener(session)

    def _disconnect(self, session: Session, by: str) -> None:
        self._set_state(session, SessionState.DISCONNECTED)
        self.world.record(Kind.DISCONNECTED, session.person, session.host.label, by=by, person=session.person)
        limit = session.host.pool.disconnected_limit
        if limit is not None:
            self.world.after(limit.total_seconds(), self._limit_reached, session, session.state_since, by=SESSION_LIMIT)

    def _limit_reached(self, session: Session, since: object) -> None:
        still_there = session.host.sessions.get(session.number) is session
        if still_there and session.state is SessionState.DISCONNECTED and session.state_since == since:
            self._end_by_force(session)

    def _set_state(self, session: Session, state: SessionState) -> None:
        session.state = state
        session.state_since = self.world.time

    def _start_a_host_on_connect(self, pool: HostPool) -> None:
        if not pool.start_vm_on_connect:
            return
        for host in pool.hosts.values():
            if host.allow_new_session and host.status == "Shutdown" and host.machine is not None:
                try:
                    self._machines.start(host.machine.id)
                except AzureError:
                    continue  # somebody is working on that machine: try the next one
                return
