"""A rollout's hands in the estate without ARM in between: for runs by the thousand.

Does what the app's activities and adapters do (see the docstrings of rollout/steps.py), as plain calls, so that only
the wire is left out. Every request passes the fault sites that the ARM layer passes, under the same kind of path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    RETAINED_TAG,
    ROLLOUT_TAG,
    PoolSnapshot,
)
from rollout.orders import Answer, forced_sessions, outcomes
from rollout.policy import PoolPolicy
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
from simulator import ids
from simulator.errors import AzureError, ConnectionLost
from simulator.estate import Estate
from simulator.extensions import ExtensionSpec, agent, entra_join
from simulator.host_pools import SessionState
from simulator.machines import MachineSpec, Power
from simulator.observing import OWN_TAG_VALUE, PoolReader

ROLLOUT = "rollout"
"""Who the journal says did what a rollout did."""

_TOKEN_LIFE = timedelta(hours=2)

R = TypeVar("R")


class _Failed(Exception):
    """A step that must not or cannot be carried out; `left` are the sessions that it did not reach."""

    def __init__(self, error: StepError, left: tuple[str, ...] = ()) -> None:
        super().__init__(error.message)
        self.error = error
        self.left = left


class DirectAzure:
    """One host pool as one rollout sees it and acts on it."""

    def __init__(self, estate: Estate, pool_id: str, rollout_id: str, target: str, policy: PoolPolicy) -> None:
        self.estate = estate
        self.pool_id = pool_id
        self.rollout_id = rollout_id
        self.policy = policy
        parts = ids.parse(pool_id)
        self.subscription = parts.subscription
        self.group = parts.group
        self.pool_name = parts.name
        self.reader = PoolReader(estate, pool_id, rollout_id, target, policy.scaling_exclusion_tag)
        self._verbs: dict[type, Callable[[Any], None]] = {
            ProvisionHost: self._provision,
            JoinHost: self._join,
            InstallAgent: self._install_agent,
            StartDraining: self._start_draining,
            StopDraining: self._stop_draining,
            ReleaseHost: self._release,
            NotifySessions: self._notify,
            SignOutSessions: self._sign_out,
            RemoveHost: self._remove,
            RetainHost: self._retain,
            RestoreHost: self._restore,
            QuarantineHost: self._quarantine,
        }

    def observe(self, in_hand: Collection[str], *, fresh_sessions: bool = True) -> PoolSnapshot:
        """The pool as Azure shows it now, see PoolReader.observe."""
        return self.reader.observe(in_hand, fresh_sessions=fresh_sessions)

    def execute(self, step: Step) -> tuple[StepOutcome, ...]:
        """Carry out one step as the rollout; what goes wrong becomes the outcome's error, nothing is raised.

        A step for several sessions that reached only some has two outcomes, as in the app.
        """
        answer = Answer()
        with self.estate.acting_as(ROLLOUT):
            try:
                self._verbs[type(step)](step)
            except _Failed as failed:
                answer = Answer(failed.error, failed.left)
            except (AzureError, ConnectionLost) as error:
                answer = Answer(step_error(error))
        return outcomes(step, msgspec.to_builtins(answer)) if answer.error else (StepOutcome(step),)

    # ------------------------------------------------------------------------------------------------------- the steps

    def _provision(self, step: ProvisionHost) -> None:
        template = self.policy.session_host
        spec = MachineSpec(
            location=step.shape.location,
            image_id=step.image_version_id,
            size=template.vm_size or step.shape.vm_size,
            zone=step.zone,
            tags=self._held({**step.shape.tags, **template.tags}),
            computer_name=step.host,
            interface_name=f"{step.host}-nic",
            disk_name=f"{step.host}-os",
        )
        machine_id = ids.machine_id(self.subscription, self.group, step.host)
        try:
            self._call("PUT", machine_id, lambda: self.estate.machines.put(machine_id, spec, only_if_absent=True))
        except AzureError as error:
            if error.status != 412:
                raise
            found = self._call("GET", machine_id, lambda: self.estate.machines.find(machine_id))
            if found is not None and found.tags.get(ROLLOUT_TAG) != self.rollout_id:
                raise _Failed(StepError("NameInUse", f"{step.host} is somebody else's VM")) from None

    def _join(self, step: JoinHost) -> None:
        self._put_extension(step.vm_id, JOIN_EXTENSION, entra_join)

    def _install_agent(self, step: InstallAgent) -> None:
        self._put_extension(step.vm_id, AGENT_EXTENSION, lambda: agent(self.pool_name, self._token()))

    def _start_draining(self, step: StartDraining) -> None:
        self._edit_tags(step.vm_id, self._held)
        self._set_drain_mode(step.registration, on=True)

    def _stop_draining(self, step: StopDraining) -> None:
        if not step.is_new:
            machine = self._call("GET", step.vm_id, lambda: self.estate.machines.find(step.vm_id))
            if machine is None or ROLLOUT_TAG not in machine.tags:
                return
        self._set_drain_mode(step.registration, on=False)
        self._edit_tags(step.vm_id, self._given_back)

    def _release(self, step: ReleaseHost) -> None:
        if not step.deallocate:
            if self._call("GET", step.vm_id, lambda: self.estate.machines.find(step.vm_id)) is not None:
                self._edit_tags(step.vm_id, self._given_back)
            return
        if registration := self._registration_of(step.vm_id):
            self._require_unused(registration)
        _if_it_exists(
            lambda: self._call("POST", f"{step.vm_id}/deallocate", lambda: self.estate.machines.deallocate(step.vm_id))
        )

    def _notify(self, step: NotifySessions) -> None:
        host = _host_name(step.registration)

        def tell(session: str) -> None:
            self._on_session(
                "POST",
                step.registration,
                session,
                lambda: self.estate.sessions.send_message(self.pool_id, host, int(session), step.title, step.body),
            )

        _for_each(step.sessions, tell)

    def _sign_out(self, step: SignOutSessions) -> None:
        host, forced = _host_name(step.registration), forced_sessions(step)
        back = self._at_work(step.registration) if len(forced) < len(step.sessions) else ()

        def end(session: str) -> None:
            if session in back and session not in forced:
                raise _Failed(StepError("SessionActive", f"somebody is back in session {session} on {step.host}"))
            self._on_session(
                "DELETE",
                step.registration,
                session,
                lambda: self.estate.sessions.sign_out(self.pool_id, host, int(session)),
            )

        _for_each(step.sessions, end)

    def _remove(self, step: RemoveHost) -> None:
        if not step.vm_id and self._machine_of(step.registration):
            raise _in_use(f"the VM of {step.host} exists after all")
        off = self._is_switched_off(step.vm_id)
        if step.registration:
            self._require_unused(step.registration, occupied=off)
            name = _host_name(step.registration)
            _if_it_exists(
                lambda: self._call(
                    "DELETE",
                    step.registration,
                    lambda: self.estate.hosts.delete(self.pool_id, name, force=off),
                )
            )
        elif self._registration_of(step.vm_id):
            raise _in_use(f"{step.host} has registered meanwhile")
        if step.vm_id:
            self._call("DELETE", step.vm_id, lambda: self.estate.machines.delete(step.vm_id))

    def _retain(self, step: RetainHost) -> None:
        machine = self._call("GET", step.vm_id, lambda: self.estate.machines.get(step.vm_id))
        if RETAINED_TAG in machine.tags and self._is_switched_off(step.vm_id):
            self._edit_tags(step.vm_id, lambda tags: _without(tags, ROLLOUT_TAG))
            return
        self._require_unused(step.registration)
        until = step.until.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._edit_tags(step.vm_id, lambda tags: {RETAINED_TAG: until, **tags})
        self._call("POST", f"{step.vm_id}/deallocate", lambda: self.estate.machines.deallocate(step.vm_id))

    def _restore(self, step: RestoreHost) -> None:
        self._edit_tags(step.vm_id, lambda tags: self._held(_without(tags, RETAINED_TAG, QUARANTINE_TAG)))
        self._call("POST", f"{step.vm_id}/start", lambda: self.estate.machines.start(step.vm_id))

    def _quarantine(self, step: QuarantineHost) -> None:
        self._set_drain_mode(step.registration, on=True)
        self._edit_tags(step.vm_id, lambda tags: {**_without(tags, ROLLOUT_TAG), QUARANTINE_TAG: step.code})

    # ------------------------------------------------------------------------------------------------- what they share

    def _put_extension(self, machine_id: str, name: str, spec: Callable[[], ExtensionSpec]) -> None:
        """Start an installation; one that is under way or done is left as it is."""
        path = f"{machine_id}/extensions/{name}"
        machine = self._call("GET", path, lambda: self.estate.machines.get(machine_id))
        found = machine.extensions.get(name)
        if found is None or found.provisioning_state == "Failed":
            wanted = spec()
            self._call("PUT", path, lambda: self.estate.extensions.put(machine_id, name, wanted))

    def _token(self) -> str:
        return self._call(
            "POST",
            f"{self.pool_id}/retrieveRegistrationToken",
            lambda: self.estate.pools.issue_token(self.pool_id, self.estate.world.time + _TOKEN_LIFE),
        )

    def _held(self, tags: dict[str, str]) -> dict[str, str]:
        exclusion = self.policy.scaling_exclusion_tag
        excluded = {exclusion: OWN_TAG_VALUE} if exclusion and exclusion not in tags else {}
        return {**tags, ROLLOUT_TAG: self.rollout_id, **excluded}

    def _given_back(self, tags: dict[str, str]) -> dict[str, str]:
        exclusion = self.policy.scaling_exclusion_tag
        return _without(tags, ROLLOUT_TAG, RETAINED_TAG, exclusion if tags.get(exclusion) == OWN_TAG_VALUE else "")

    def _edit_tags(self, machine_id: str, edit: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Let Azure merge or remove tags; no change, no call. A machine that is gone needs none."""
        machine = self.estate.machines.find(machine_id) if machine_id else None
        if machine is None:
            return
        wanted = edit(dict(machine.tags))
        if wanted != machine.tags:
            self._call("PATCH", machine_id, lambda: self.estate.machines.patch_tags(machine_id, wanted))

    def _set_drain_mode(self, registration: str, *, on: bool) -> None:
        if registration:
            name = _host_name(registration)
            _if_it_exists(
                lambda: self._call(
                    "PATCH",
                    registration,
                    lambda: self.estate.hosts.update(self.pool_id, name, allow_new_session=not on),
                )
            )

    def _require_unused(self, registration: str, *, occupied: bool = False) -> None:
        """Read the host and its sessions again: nobody is on it (unless `occupied` may be), and it accepts nobody."""
        name = _host_name(registration)
        try:
            host = self._call("GET", registration, lambda: self.estate.hosts.get(self.pool_id, name))
        except AzureError as error:
            if error.status == 404:
                return
            raise
        if host.allow_new_session:
            raise _in_use(f"{name} accepts new sessions")
        if host.sessions and not occupied:
            raise _in_use(f"{name} has {len(host.sessions)} sessions")

    def _is_switched_off(self, machine_id: str) -> bool:
        if not machine_id:
            return True
        machine = self._call("GET", f"{machine_id}/instanceView", lambda: self.estate.machines.find(machine_id))
        return machine is None or machine.power in (Power.DEALLOCATED, Power.STOPPED)

    def _machine_of(self, registration: str) -> str:
        """The id of the machine behind a host, "" when there is none."""
        hosts = self._call("GET", registration, lambda: self.estate.hosts.list(self.pool_id))
        return next((host.machine.id for host in hosts if host.id == registration and host.machine is not None), "")

    def _registration_of(self, machine_id: str) -> str:
        hosts = self._call("GET", f"{self.pool_id}/sessionHosts", lambda: self.estate.hosts.list(self.pool_id))
        return next((host.id for host in hosts if host.machine_id.lower() == machine_id.lower()), "")

    def _at_work(self, registration: str) -> tuple[str, ...]:
        name = _host_name(registration)
        path = f"{registration}/userSessions"
        sessions = self._call("GET", path, lambda: self.estate.sessions.list(self.pool_id, name))
        return tuple(str(session.number) for session in sessions if session.state is SessionState.ACTIVE)

    def _on_session(self, method: str, registration: str, session: str, act: Callable[[], object]) -> None:
        """Do something to a session; one that has ended needs nothing any more."""
        _if_it_exists(lambda: self._call(method, f"{registration}/userSessions/{session}", act))

    def _call(self, method: str, path: str, act: Callable[[], R]) -> R:
        return self.estate.faults.call(method, path, act)


def step_error(error: AzureError | ConnectionLost) -> StepError:
    """A failed request as the core sees it. What broke on the way may have taken effect and is worth another try."""
    if isinstance(error, ConnectionLost):
        return StepError("ConnectionLost", str(error))
    retriable = error.status in (408, 409, 412, 429) or error.status >= 500
    return StepError(error.code, error.message, retriable=retriable, retry_after=float(error.retry_after or 0))


def _for_each(sessions: Iterable[str], act: Callable[[str], None]) -> None:
    """Reach every session that can be reached; raises _Failed with those that could not."""
    first: StepError | None = None
    left: list[str] = []
    for session in sessions:
        try:
            act(session)
        except _Failed as failed:
            first, left = first or failed.error, [*left, session]
        except (AzureError, ConnectionLost) as error:
            first, left = first or step_error(error), [*left, session]
    if first is not None:
        raise _Failed(first, tuple(left))


def _if_it_exists(act: Callable[[], object]) -> None:
    try:
        act()
    except AzureError as error:
        if error.status != 404:
            raise


def _in_use(message: str) -> _Failed:
    return _Failed(StepError("HostInUse", message))


def _without(tags: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in names}


def _host_name(registration: str) -> str:
    return registration.rsplit("/", 1)[1]
