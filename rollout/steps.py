"""The steps that a decision may contain, each with its reason, and what becomes of them.

Every step is idempotent: it may run twice, or run again after its answer was lost, without harm.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from rollout.model import HostShape, Phase, RolloutState


class ProvisionHost(Struct, frozen=True, tag=True):
    """Create the VM `host` from exactly `image_version_id`; an existing VM of that name is left as it is."""

    host: str
    image_version_id: str
    shape: HostShape
    zone: str
    reason: str


class JoinHost(Struct, frozen=True, tag=True):
    """Start joining the VM to Entra ID or Active Directory through its extension."""

    host: str
    vm_id: str
    location: str
    reason: str


class InstallAgent(Struct, frozen=True, tag=True):
    """Start installing the AVD agent with a fresh registration token in protected settings."""

    host: str
    vm_id: str
    location: str
    reason: str


class StartDraining(Struct, frozen=True, tag=True, omit_defaults=True):
    """Tag the VM with the rollout, then turn drain mode on.

    `held`: the VM was seen with the rollout's tag just now; `excluded`: with the tag that keeps autoscale away.
    """

    host: str
    vm_id: str
    registration: str
    reason: str
    held: bool = False
    excluded: bool = False


class StopDraining(Struct, frozen=True, tag=True, omit_defaults=True):
    """Turn drain mode off, then remove the rollout's tags: the host is in service.

    The tags are read first: a host that carries none is left as it is, as somebody else may have drained it since.
    Not so for one that `is_new`: it was seen with its tags just now and has never been in service.
    """

    host: str
    vm_id: str
    registration: str
    reason: str
    is_new: bool = False


class ReleaseHost(Struct, frozen=True, tag=True):
    """Remove the rollout's tags, leave drain mode as it is (somebody else set it); `deallocate` switches the VM off."""

    host: str
    vm_id: str
    deallocate: bool
    reason: str


class NotifySessions(Struct, frozen=True, tag=True):
    """Send one message to these sessions of the host."""

    host: str
    registration: str
    sessions: tuple[str, ...]
    title: str
    body: str
    reason: str


class SignOutSessions(Struct, frozen=True, tag=True):
    """Sign these sessions of the host out: disconnected ones first, then the `forced` ones, active when it was decided.

    A session among the disconnected ones whose person has come back meanwhile is spared.
    """

    host: str
    registration: str
    sessions: tuple[str, ...]
    forced: int
    reason: str


class RemoveHost(Struct, frozen=True, tag=True):
    """Read drain mode and sessions again; only when drained and empty delete the registration, then the VM.

    Fails with code HostInUse, nothing deleted, when somebody is on the host or it accepts sessions.
    """

    host: str
    vm_id: str
    registration: str
    reason: str


class RetainHost(Struct, frozen=True, tag=True):
    """Read drain mode and sessions again; only when drained and empty tag the VM as retained, then switch it off.

    A VM that carries the tag and is off is let go of: the rollout's tag comes off, and the one that keeps autoscale
    away stays. Fails with code HostInUse, nothing changed, when somebody is on the host or it accepts sessions.
    """

    host: str
    vm_id: str
    registration: str
    until: datetime
    reason: str


class RestoreHost(Struct, frozen=True, tag=True):
    """Take a host back that was retained or quarantined: the rollout's tag on, the tag that says so off, then start the
    VM; drain mode stays on."""

    host: str
    vm_id: str
    registration: str
    reason: str


class QuarantineHost(Struct, frozen=True, tag=True):
    """Keep a failed host for investigation: drain mode on, quarantine tag on, the rollout's tag off."""

    host: str
    vm_id: str
    registration: str
    code: str
    reason: str


Step = (
    ProvisionHost
    | JoinHost
    | InstallAgent
    | StartDraining
    | StopDraining
    | ReleaseHost
    | NotifySessions
    | SignOutSessions
    | RemoveHost
    | RetainHost
    | RestoreHost
    | QuarantineHost
)


DEFERRED = "Deferred"
"""Code of a step that was not tried, for want of room in a turn or of calls that Azure takes: no failed attempt."""


class StepError(Struct, frozen=True, omit_defaults=True):
    """Why a step did not succeed. `retry_after` is in seconds, as the service asked for; 0 when it said nothing."""

    code: str
    message: str
    retriable: bool = True
    retry_after: float = 0


class StepOutcome(Struct, frozen=True, omit_defaults=True):
    """What became of one step: `error` is None when it succeeded (or had nothing left to do)."""

    step: Step
    error: StepError | None = None


class Decision(Struct, frozen=True, omit_defaults=True):
    """What to do now and why, and when to look again.

    `state` is what to remember, with the phase, its reason and its one sentence; `story` has one sentence for each
    thing that changed in this turn; `steps` may be carried out in any order and at once: there is at most one step
    that changes a given host. `wake_at` is None exactly when `done`.
    """

    state: RolloutState
    steps: tuple[Step, ...] = ()
    story: tuple[str, ...] = ()
    wake_at: datetime | None = None
    done: bool = False

    @property
    def phase(self) -> Phase:
        """The phase that the rollout is in after this turn."""
        return self.state.phase
