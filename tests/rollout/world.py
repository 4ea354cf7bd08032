"""A small working world around `decide`: steps change it, people and Azure answer, and time passes from turn to turn.

Every turn is checked against what must hold of every decision (see `World._check`), so each test checks that as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any

import msgspec
from msgspec import structs

from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    ImageVersion,
    Phase,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    UserSession,
    is_outdated,
)
from rollout.policy import PoolPolicy, hosts_of, minutes
from rollout.pool import decide, record
from rollout.steps import (
    Decision,
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
from rollout.turn import NEW_HOST_STAGES
from tests.rollout.builders import MORNING, a_policy, a_pool, a_state, registration_of, vm_id

GOOD = "good"
NEVER_REGISTERS = "never registers"
UNHEALTHY = "unhealthy"
NO_ROOM = "no room"
BROKEN = "broken"
NO_AGENT = "no agent"
"""What may become of a new VM: Azure finds no room for it, the image does not boot, its agent cannot be installed."""

LOST_ANSWER = StepError("ConnectionLost", "the connection broke before the answer came")


class World:
    """A pool, the people on it and a rollout that runs on it, one turn at a time.

    `leave_after` is how long people take to sign out after their first message (None: they never do). They sign in
    again elsewhere at once, where there is room; `refused_sign_ins` counts those for whom there is none.
    """

    def __init__(
        self, pool: PoolSnapshot | None = None, policy: PoolPolicy | None = None, state: RolloutState | None = None
    ) -> None:
        pool = pool or a_pool()
        self.policy = policy or a_policy()
        self.state = state or a_state()
        self.now = MORNING
        self.pool = pool.pool
        self.image: ImageVersion | None = pool.image
        self.hosts = {host.name: host for host in pool.hosts}
        drained = [h for h in pool.hosts if not h.allows_new_sessions and not h.is_tagged and not h.is_retained]
        self.held_by_others = {host.name for host in drained}
        self.fates: dict[str, str] = {}
        self.fate = GOOD
        self.leave_after: timedelta | None = minutes(10)
        self.silent: set[str] = set()
        self.deaf: set[str] = set()
        self.hung: set[str] = set()
        self.locked: set[str] = set()
        self.names_used = set(self.hosts)
        self.messages: list[tuple[datetime, NotifySessions]] = []
        self.forced: Counter[str] = Counter()
        self.refused_sign_ins = 0
        self.done_steps: list[tuple[datetime, Step]] = []
        self.story: list[tuple[datetime, str]] = []
        self.last: Decision | None = None
        self._refusals: list[tuple[type, str, StepError, bool, Iterable[int]]] = []
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = count()

    # ----------------------------------------------------------------------------------------------------- running it

    def turn(self) -> Decision:
        """Let time pass until the rollout looks again, then decide, act and remember."""
        while self._agenda and self._agenda[0][0] <= self.now:
            heappop(self._agenda)[2]()
        snapshot = self.observe()
        decision = decide(self.state, snapshot, self.policy, self.now)
        self._check(snapshot, decision)
        self.story += [(self.now, sentence) for sentence in decision.story]
        self.state = decision.state
        outcomes = [self._carry_out(step) for step in decision.steps]
        self.state = _through_json(record(decision.state, outcomes, self.now))
        self.last = decision
        if decision.wake_at is not None:
            self.now = decision.wake_at
        return decision

    def run(self, until: Callable[[World], object] | Phase | None = None, *, turns: int = 1500) -> World:
        """Take turns until the rollout ends, is in a phase, or a condition holds; fails when it never does."""
        for _ in range(turns):
            decision = self.turn()
            if isinstance(until, Phase):
                reached: object = decision.phase is until
            else:
                reached = until(self) if until else False
            if reached or (until is None and decision.done):
                return self
            if decision.done:
                raise AssertionError(self._tale(f"ended as {decision.phase} before"))
        raise AssertionError(self._tale(f"not there after {turns} turns"))

    def run_for(self, span: timedelta, *, turns: int = 1500) -> World:
        """Take turns until so much time has passed (or the rollout has ended)."""
        end = self.now + span
        return self.run(lambda world: world.now >= end or (world.last and world.last.done), turns=turns)

    def observe(self) -> PoolSnapshot:
        """The pool as Azure shows it now: agents that are alive have just sent a heartbeat."""
        beating = [
            structs.replace(h, last_heartbeat=self.now)
            if h.power == "running" and h.registration and h.name not in self.silent
            else h
            for h in self.hosts.values()
        ]
        shown = sorted((h for h in beating if h.registration or h.is_tagged), key=lambda host: host.name)
        return PoolSnapshot(self.pool, self.now, tuple(shown), tuple(sorted(self.hosts)), self.image)

    def at(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen so much later, before the turn that follows."""
        heappush(self._agenda, (self.now + delay, next(self._serial), what))

    # --------------------------------------------------------------------------------------------------- changing it

    def change(self, name: str, **fields: Any) -> None:
        """Change a host behind the rollout's back."""
        self.hosts[name] = structs.replace(self.hosts[name], **fields)

    def put(self, host: SessionHost) -> None:
        """Add a host to the pool by hand."""
        self.hosts[host.name] = host
        self.names_used.add(host.name)

    def remove(self, name: str) -> None:
        """Delete a host by hand, VM and registration; its people sign in elsewhere."""
        people = self.hosts.pop(name).sessions
        self._sign_in_elsewhere(people)

    def refuse(
        self, step: type, error: StepError, *, host: str = "", times: int | None = None, after_doing_it: bool = False
    ) -> None:
        """Let Azure refuse these steps, `times` or for ever; `after_doing_it`: only the answer is lost."""
        self._refusals.append((step, host, error, after_doing_it, iter(range(times)) if times else count()))

    def allow_everything(self) -> None:
        """Let Azure refuse nothing more."""
        self._refusals.clear()

    def sign_in(self, name: str, person: str, state: str = "Active") -> None:
        """Let somebody sign in to this host."""
        host = self.hosts[name]
        sessions = (*host.sessions, UserSession(f"{name}/{next(self._serial) + 100}", person, state))
        self.change(name, sessions=sessions, session_count=len(sessions))

    def set_session_state(self, name: str, session: str, state: str) -> None:
        """Let somebody disconnect or reconnect."""
        sessions = tuple(structs.replace(s, state=state) if s.id == session else s for s in self.hosts[name].sessions)
        self.change(name, sessions=sessions)

    def sign_out(self, name: str, session: str, *, comes_back: bool = False) -> None:
        """Let somebody sign out, for the day or only to sign in elsewhere."""
        host = self.hosts.get(name)
        if host is None:
            return
        leaving = [s for s in host.sessions if s.id == session]
        sessions = tuple(s for s in host.sessions if s.id != session)
        self.change(name, sessions=sessions, session_count=len(sessions))
        if comes_back:
            self._sign_in_elsewhere(leaving)

    # --------------------------------------------------------------------------------------------------- asking of it

    def versions(self) -> Counter[str]:
        """How many hosts run each version, those kept for investigation not counted."""
        return Counter(h.image_version_id.rpartition("/")[2] for h in self.hosts.values() if _counts(h))

    def on_their_way(self) -> list[str]:
        """New hosts that are not in service yet."""
        return [name for name, progress in self.state.in_hand.items() if progress.stage in NEW_HOST_STAGES]

    def zones(self) -> Counter[str]:
        """How many hosts each zone has, those kept for investigation not counted."""
        return Counter(host.zone for host in self.hosts.values() if _counts(host))

    def people(self) -> Counter[str]:
        """On how many hosts each person is signed in."""
        return Counter(session.user for host in self.hosts.values() for session in host.sessions)

    def steps(self, kind: type, host: str = "") -> list[Any]:
        """The steps of this kind that have been carried out (for this host)."""
        return [step for _, step in self.done_steps if isinstance(step, kind) and host in ("", step.host)]

    def told(self, text: str) -> bool:
        """Some sentence of the story holds this text."""
        return any(text in sentence for _, sentence in self.story)

    def times_told(self, text: str) -> int:
        """How many sentences of the story hold this text."""
        return sum(text in sentence for _, sentence in self.story)

    def draining(self) -> list[str]:
        """Outdated hosts that this rollout has in drain mode."""
        held = [host for host in self.hosts.values() if host.is_held_by(self.state.rollout_id)]
        return [
            h.name
            for h in held
            if not h.allows_new_sessions and is_outdated(h, self.state.target, self.state.instead_of)
        ]

    def nothing_is_left_over(self) -> bool:
        """No host carries the rollout's tag, and only those of others or kept for investigation are in drain mode."""
        return not any(
            host.is_tagged
            or (
                not host.allows_new_sessions
                and QUARANTINE_TAG not in host.tags
                and not host.is_retained
                and not self._is_others(host)
            )
            for host in self.hosts.values()
        )

    # --------------------------------------------------------------------------------------- what always has to hold

    def _check(self, snapshot: PoolSnapshot, decision: Decision) -> None:
        changing = Counter(step.host for step in decision.steps if not isinstance(step, NotifySessions))
        assert not changing or max(changing.values()) == 1, self._tale(f"two steps for one host: {changing}")
        assert all(step.reason for step in decision.steps), self._tale("a step without a reason")
        assert decision.state.message, self._tale("a turn without a message")
        assert decision.done == (decision.wake_at is None)
        assert decision.wake_at is None or decision.wake_at > self.now, self._tale("looks again in the past")
        assert _through_json(decision.state) == decision.state
        assert decide(self.state, snapshot, self.policy, self.now) == decision, self._tale("decides otherwise again")
        if decision.done:
            assert not decision.steps
            assert not decision.state.in_hand
        machines = sum(_counts(host) and host.name not in decision.state.quarantined for host in snapshot.hosts)
        surge = max(hosts_of(self.policy.surge, decision.state.desired), self.policy.canary.hosts)
        limit = decision.state.desired + (surge if self.policy.strategy == "surge" else 0)
        starting = sum(isinstance(s, ProvisionHost) and s.host not in self.hosts for s in decision.steps)
        assert not starting or machines + starting <= limit, self._tale(f"{machines} + {starting} VMs, {limit} allowed")
        assert not any(s.is_disconnected for n in decision.steps if isinstance(n, NotifySessions) for s in self._of(n))

    def _of(self, step: NotifySessions) -> list[UserSession]:
        host = self.hosts.get(step.host)
        return [s for s in host.sessions if s.id in step.sessions] if host and step.title != self._withdrawn else []

    @property
    def _withdrawn(self) -> str:
        return self.policy.drain.notice.withdrawn_title

    def _is_others(self, host: SessionHost) -> bool:
        return host.name in self.held_by_others

    def _tale(self, what: str) -> str:
        lines = [f"{at:%a %H:%M} {sentence}" for at, sentence in self.story[-40:]]
        in_hand = [f"{name} {p.stage} x{p.attempts} {p.reason}" for name, p in self.state.in_hand.items()]
        return "\n".join([f"{what}: {self.state.phase} ({self.state.message})", *lines, "in hand:", *in_hand])

    # ------------------------------------------------------------------------------------------------ what steps do

    def _carry_out(self, step: Step) -> StepOutcome:
        for kind, host, error, after_doing_it, times in self._refusals:
            if isinstance(step, kind) and host in ("", step.host) and next(iter(times), None) is not None:
                if after_doing_it:
                    self._do(step)
                return StepOutcome(step, error)
        error_of_it = self._do(step)
        if error_of_it is None:
            self.done_steps.append((self.now, step))
        return StepOutcome(step, error_of_it)

    def _do(self, step: Step) -> StepError | None:
        if isinstance(step, ProvisionHost):
            return self._provision(step)
        host = self.hosts.get(step.host)
        if host is None:
            gone = isinstance(step, RemoveHost | ReleaseHost | StopDraining | QuarantineHost)
            return None if gone else StepError("ResourceNotFound", f"{step.host} was not found", retriable=False)
        return self._verbs[type(step)](step, host)

    @property
    def _verbs(self) -> dict[type, Callable[[Any, SessionHost], StepError | None]]:
        return {
            JoinHost: self._join,
            InstallAgent: self._install,
            StartDraining: self._drain,
            StopDraining: self._stop_draining,
            ReleaseHost: self._release,
            NotifySessions: self._notify,
            SignOutSessions: self._force_out,
            RemoveHost: self._take_away,
            RetainHost: self._retain,
            RestoreHost: self._restore,
            QuarantineHost: self._quarantine,
        }

    def _join(self, step: JoinHost, _host: SessionHost) -> None:
        self._extend(step.host, JOIN_EXTENSION, minutes(2), "Succeeded")

    def _install(self, step: InstallAgent, _host: SessionHost) -> None:
        failed = self._fate(step.host) == NO_AGENT
        self._extend(step.host, AGENT_EXTENSION, minutes(3), "Failed" if failed else "Succeeded")
        if not failed and self._fate(step.host) != NEVER_REGISTERS:
            self.at(minutes(4), lambda: self._register(step.host))

    def _drain(self, step: StartDraining, host: SessionHost) -> None:
        to_go = is_outdated(host, self.state.target, self.state.instead_of) or self._are_too_many()
        assert to_go or step.host in self.state.in_hand or host.is_tagged, self._tale(f"{host.name} is current")
        self.change(host.name, allows_new_sessions=False, tags={**host.tags, ROLLOUT_TAG: self.state.rollout_id})

    def _are_too_many(self) -> bool:
        return sum(_counts(host) for host in self.hosts.values()) > self.state.desired

    def _stop_draining(self, _step: StopDraining, host: SessionHost) -> None:
        assert not self._is_others(host), self._tale(f"{host.name} is un-drained, others have drained it")
        self.change(host.name, allows_new_sessions=True, tags=_untagged(host, ROLLOUT_TAG))

    def _quarantine(self, step: QuarantineHost, host: SessionHost) -> None:
        tags = {**_untagged(host, ROLLOUT_TAG), QUARANTINE_TAG: step.code}
        self.change(host.name, allows_new_sessions=False, tags=tags)

    def _release(self, step: ReleaseHost, host: SessionHost) -> None:
        if step.deallocate:
            self.change(host.name, power="deallocated", status="Shutdown")
            return
        self.change(host.name, tags=_untagged(host, ROLLOUT_TAG))
        if not host.allows_new_sessions:
            self.held_by_others.add(host.name)

    def _provision(self, step: ProvisionHost) -> StepError | None:
        assert self.image is not None
        assert step.image_version_id == self.state.target
        if step.host in self.hosts:
            return None
        assert step.host not in self.names_used or step.host in self.state.in_hand, self._tale(f"{step.host} again")
        self.names_used.add(step.host)
        self.hosts[step.host] = SessionHost(
            name=step.host,
            vm_id=vm_id(step.host),
            image_version_id=step.image_version_id,
            zone=step.zone,
            shape=step.shape,
            tags={ROLLOUT_TAG: self.state.rollout_id},
            provisioning="Creating",
        )
        self.at(minutes(5), lambda: self._boot(step.host))
        return None

    def _boot(self, name: str) -> None:
        if name not in self.hosts:
            return
        fate = self._fate(name)
        if fate in (NO_ROOM, BROKEN):
            error = "AllocationFailed" if fate == NO_ROOM else "OSProvisioningTimedOut"
            self.change(name, provisioning="Failed", provisioning_error=error)
        else:
            self.change(name, provisioning="Succeeded", power="running")

    def _extend(self, name: str, extension: str, duration: timedelta, end: str) -> None:
        self._set_extension(name, extension, "Creating")
        self.at(duration, lambda: self._set_extension(name, extension, end))

    def _set_extension(self, name: str, extension: str, state: str) -> None:
        if name in self.hosts:
            self.change(name, extensions={**self.hosts[name].extensions, extension: state})

    def _register(self, name: str) -> None:
        if name in self.hosts:
            status = "Unavailable" if self._fate(name) == UNHEALTHY else "Available"
            self.change(name, registration=registration_of(name), status=status, allows_new_sessions=True)

    def _fate(self, name: str) -> str:
        return self.fates.get(name, self.fate)

    def _take_away(self, _step: RemoveHost, host: SessionHost) -> StepError | None:
        occupied = host.load and host.vm_id and not host.is_powered_off
        if host.registration and (host.allows_new_sessions or occupied):
            return StepError("HostInUse", f"{host.name} has {host.load} sessions", retriable=False)
        to_go = (
            is_outdated(host, self.state.target, self.state.instead_of) or not host.registration or self._are_too_many()
        )
        assert to_go or not host.vm_id, self._tale(f"{host.name} is current")
        if host.name in self.locked:
            self.change(host.name, registration="", sessions=(), session_count=0)
            return StepError("ScopeLocked", f"a lock forbids deleting {host.name}", retriable=False)
        self.change(host.name, registration="", provisioning="Deleting", sessions=(), session_count=0)
        self.at(minutes(1), lambda: self._vanish(host.name))
        return None

    def _retain(self, step: RetainHost, host: SessionHost) -> StepError | None:
        if host.is_retained and host.is_powered_off:
            self.change(host.name, tags=_untagged(host, ROLLOUT_TAG))
            return None
        if host.allows_new_sessions or host.load:
            return StepError("HostInUse", f"{host.name} has {host.load} sessions", retriable=False)
        self.change(host.name, tags={**host.tags, RETAINED_TAG: step.until.isoformat()})
        self.at(minutes(1), lambda: self.change(host.name, power="deallocated", status="Shutdown"))
        return None

    def _restore(self, step: RestoreHost, host: SessionHost) -> None:
        tags = {**_untagged(host, RETAINED_TAG, QUARANTINE_TAG), ROLLOUT_TAG: self.state.rollout_id}
        self.change(host.name, tags=tags)
        well = "Unavailable" if self._fate(step.host) == UNHEALTHY else "Available"
        self.at(minutes(2), lambda: self.change(host.name, power="running", status=well))

    def _vanish(self, name: str) -> None:
        self.hosts.pop(name, None)

    def _notify(self, step: NotifySessions, _host: SessionHost) -> None:
        self.messages.append((self.now, step))
        if self.leave_after is not None and step.title != self._withdrawn:
            for session in self._of(step):
                if session.user not in self.deaf:
                    self.at(self.leave_after, self._leaving(step.host, session.id))

    def _leaving(self, host: str, session: str) -> Callable[[], None]:
        return lambda: self.sign_out(host, session, comes_back=True)

    def _force_out(self, step: SignOutSessions, host: SessionHost) -> None:
        ended = [session for session in host.sessions if session.id in step.sessions and session.id not in self.hung]
        self.forced.update(session.user for session in ended if not session.is_disconnected)
        sessions = tuple(session for session in host.sessions if session not in ended)
        self.change(host.name, sessions=sessions, session_count=len(sessions))
        self._sign_in_elsewhere(session for session in ended if not session.is_disconnected)

    def _sign_in_elsewhere(self, people: Iterable[UserSession]) -> None:
        for session in people:
            free = [h for h in self.hosts.values() if self._accepts(h) and h.load < self.pool.max_session_limit]
            if free:
                self.sign_in(min(free, key=lambda host: (host.load, host.name)).name, session.user)
            else:
                self.refused_sign_ins += 1

    def _accepts(self, host: SessionHost) -> bool:
        return bool(host.registration) and host.power == "running" and host.allows_new_sessions


def _counts(host: SessionHost) -> bool:
    there = bool(host.vm_id) and host.provisioning not in ("Deleting", "Failed")
    return there and QUARANTINE_TAG not in host.tags and not host.is_retained


def _untagged(host: SessionHost, *tags: str) -> dict[str, str]:
    return {tag: value for tag, value in host.tags.items() if tag not in tags}


def _through_json(state: RolloutState) -> RolloutState:
    return msgspec.json.decode(msgspec.json.encode(state), type=RolloutState)
