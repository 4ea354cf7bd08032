"""Brings new hosts into service: provision, join, install the agent, verify; and takes failed ones aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from msgspec import structs

from rollout.capacity import CAPACITY_CODES, block, drain_order
from rollout.health import judge_host
from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    QUARANTINE_TAG,
    Blocked,
    HostProgress,
    HostShape,
    Phase,
    SessionHost,
    Stage,
    Vacancy,
    count_of,
    short_version,
)
from rollout.naming import NamesExhausted, next_names
from rollout.outcomes import MAX_ATTEMPTS, REGISTERS_AFTER, SWITCHING_OFF, TAKES
from rollout.policy import hosts_of
from rollout.retained import restoring, retained_for
from rollout.steps import (
    InstallAgent,
    JoinHost,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    StartDraining,
    StopDraining,
)
from rollout.turn import LATER, LEAVING_STAGES, NEW_HOST_STAGES, SOON, Turn, is_set_aside

REMOVAL_FAILS = "RemovalKeepsFailing"
"""Reason code of a host that Azure does not let go, because of a lock, say. It says nothing of the image."""

UNDER_WAY = timedelta(seconds=90)
"""How soon to look again at what takes Azure minutes, once it has taken as long as it mostly does."""

EXTENSION_ATTEMPTS = 3
"""How often a failed extension is started before the host counts as failed: its downloads fail now and then."""


def provision(turn: Turn, limit: int, *, for_canary: bool = False) -> list[str]:
    """Start up to `limit` new hosts, as many as are needed and there is room for; returns their names."""
    creating = turn.number_in(NEW_HOST_STAGES)
    needed = turn.still_needed - _to_be_owed(turn)
    count = min(limit, needed, turn.room, hosts_of(turn.policy.max_creating, turn.desired) - creating)
    if turn.blocked is not None:
        count = min(count, _probes(turn, turn.blocked))
    if count <= 0:
        return []
    models = _Models.of(turn)
    prefix, in_use = turn.policy.session_host.name_prefix, [*turn.names_in_use, *turn.hosts, *turn.in_hand]
    try:
        names, turn.last_number = next_names(prefix, in_use, turn.last_number, count)
    except NamesExhausted as exhausted:
        turn.blocked = block(turn.blocked, "NamesExhausted", str(exhausted), turn.now)
        return []
    for name in names:
        _provision_one(turn, name, _next_vacancy(turn, models, for_canary=for_canary), for_canary=for_canary)
    return list(names)


def take_back(turn: Turn) -> None:
    """Take back as many retained hosts as the roll back still needs, all at once: they are there and need no quota.

    Each is to end like the host that it follows, as if it had been made anew.
    """
    chosen = retained_for(turn)[: max(0, turn.still_needed - _to_be_owed(turn))]
    models = _Models.of(turn)
    for host in chosen:
        vacancy = _next_vacancy(turn, models, for_canary=False)
        progress = HostProgress(
            Stage.RESTORING,
            turn.now,
            replaces=vacancy.replaces,
            shape=turn.shape_index(host.shape),
            zone=host.zone,
            stays_off=vacancy.stays_off,
            stays_drained=vacancy.stays_drained,
        )
        turn.put(host.name, progress)
        turn.redo(restoring(host))
    if chosen:
        named = ", ".join(host.name for host in chosen[:8])
        more = f" and {count_of(len(chosen) - 8, 'more host')}" if len(chosen) > 8 else ""
        turn.tell(f"starting {named}{more} again, kept on {short_version(turn.target)}")


def _to_be_owed(turn: Turn) -> int:
    """Hosts on their way out that must be followed by one like them: each is owed when it is gone, and not before."""
    leaving = turn.in_stage(LEAVING_STAGES)
    followed = {progress.replaces for progress in turn.in_stage(NEW_HOST_STAGES).values()} | set(turn.due)
    return sum(_is_particular(host) and name not in followed for name, host in leaving.items())


def _probes(turn: Turn, blocked: Blocked) -> int:
    """One VM shows whether the quota or the stock has come back: more would only fail with it."""
    if blocked.retry_at > turn.now:
        turn.wake(blocked.retry_at)
        return 0
    return 0 if turn.number_in([Stage.PROVISIONING]) else 1


def advance_new_hosts(turn: Turn) -> None:
    """Take every new host in hand one stage further if Azure has finished the one before."""
    for name, remembered in list(turn.in_hand.items()):
        host = turn.hosts.get(name)
        if remembered.stage in NEW_HOST_STAGES and turn.phase is Phase.HALTED:
            continue
        progress = _seen_again(turn, name, remembered)
        if progress.stage in NEW_HOST_STAGES and turn.now - progress.since > _time_to_be_ready(turn, name, progress):
            fail(turn, name, "NotReadyInTime", _why_not_ready(turn, progress, host))
        elif progress.stage is Stage.RESTORING:
            _await_start(turn, name, progress, host)
        elif progress.stage is Stage.PROVISIONING:
            _await_vm(turn, name, progress, host)
        elif progress.stage is Stage.JOINING:
            _await_registration(turn, name, progress, host)
        elif progress.stage is Stage.VERIFYING:
            _verify(turn, name, progress, host)
        elif progress.stage is Stage.DISCARDING:
            _discard(turn, name, progress, host)


def fail(turn: Turn, name: str, code: str, why: str) -> None:
    """A new host has failed: keep it, drained, for investigation, and owe the pool another one.

    Halts when the canary fails before its gate, or when more hosts have failed than the policy tolerates.
    """
    _take_aside(turn, name, turn.drop(name).vacancy, code, why)


def fail_in_service(turn: Turn, host: SessionHost) -> None:
    """A current host has been sick for as long as a new one may take: it counts as failed, like `fail`.

    Its people may stay. Without this, one sick host would use up the surge, and the rollout would wait for it for ever.
    """
    why = judge_host(host, turn.policy.health, turn.now, in_service=True).why
    _take_aside(turn, host.name, turn.vacancy_of(host), "StaysUnhealthy", f"{why}, {_minutes(turn)} minutes long")


def _take_aside(turn: Turn, name: str, vacancy: Vacancy, code: str, why: str) -> None:
    turn.owed.append(vacancy)
    turn.quarantine(name, code)
    turn.tell(f"{name} failed ({code}): {why}; kept in drain mode for investigation")
    if name in turn.canary and not turn.canary_passed:
        turn.halt(code, f"the canary {name} failed: {why}")
        return
    tolerated = turn.policy.health.max_failed_hosts
    failed = sum(reason != REMOVAL_FAILS and not _is_refused(turn, n) for n, reason in turn.quarantined.items())
    if failed > tolerated:
        message = f"{failed} new hosts failed, {tolerated} tolerated; the last was {name}: {why}"
        turn.halt("TooManyFailedHosts", message)


def _is_refused(turn: Turn, name: str) -> bool:
    """The host runs the version that is rolled back: that it has failed is why, and says nothing of the one before."""
    return bool(turn.instead_of) and name in turn.hosts and turn.is_outdated(turn.hosts[name])


def keep_remains(turn: Turn, name: str) -> None:
    """A VM cannot be taken away: stop trying, mark it, and report it at the end."""
    why = turn.drop(name).reason
    turn.quarantine(name, REMOVAL_FAILS)
    turn.tell(f"{name} cannot be taken away: {why}; what remains of it is kept for investigation")


def _time_to_be_ready(turn: Turn, name: str, progress: HostProgress) -> timedelta:
    """What a host may take; one that has become good in time may also finish its proof, which may be a long bake.

    That nobody looked for a while, so that nothing was done for it, or it is proven anew, is none of its faults.
    """
    within = turn.policy.health.ready_within + timedelta(seconds=progress.overlooked)
    if progress.good_since is None:
        return within
    began_late = (progress.proven_from or progress.good_since) - progress.good_since
    return within + began_late + _proof(turn, name, progress)


def _seen_again(turn: Turn, name: str, progress: HostProgress) -> HostProgress:
    """What is remembered of a new host from this turn on when nobody has looked at it for long.

    It has so much more time to become good, and if it had, its proof begins anew.
    """
    if not turn.unseen or progress.stage not in NEW_HOST_STAGES or progress.reason == SWITCHING_OFF:
        return progress
    if progress.good_since is None:
        overlooked = progress.overlooked + int(turn.unseen.total_seconds())
        progress = structs.replace(progress, overlooked=overlooked)
    else:
        if name in turn.canary and not turn.canary_passed:
            turn.tell(bakes_anew(turn, [name]))
        progress = structs.replace(progress, proven_from=turn.now)
    turn.put(name, progress)
    return progress


def bakes_anew(turn: Turn, canary: Iterable[str]) -> str:
    """The sentence for canaries that nobody has looked at for long."""
    minutes = turn.unseen // timedelta(minutes=1)
    anew = "it must stay good for the whole time anew"
    return f"nobody has looked at the canary {', '.join(canary)} for {minutes} minutes: {anew}"


def _why_not_ready(turn: Turn, progress: HostProgress, host: SessionHost | None) -> str:
    found = judge_host(host, turn.policy.health, turn.now, in_service=False).why if host is not None else ""
    refusal = "" if progress.reason in (JOIN_EXTENSION, AGENT_EXTENSION) else progress.reason
    because = "; ".join(part for part in (found, refusal) if part)
    return f"not in service {_minutes(turn)} minutes after it was started" + (f" ({because})" if because else "")


def keep_quarantined_hosts_marked(turn: Turn) -> None:
    """See to it that every failed host that exists carries the quarantine tag and is in drain mode."""
    for name, code in turn.quarantined.items():
        host = turn.hosts.get(name)
        if host is not None and not is_marked(turn, name):
            turn.redo(
                QuarantineHost(
                    host=name,
                    vm_id=host.vm_id,
                    registration=host.registration,
                    code=code,
                    reason=f"{name} is kept for investigation ({code})",
                )
            )
            turn.wake(turn.now + SOON)


def is_marked(turn: Turn, name: str) -> bool:
    """A quarantined host needs nothing more: it is gone, or tagged and in drain mode, or Azure does not let us."""
    host = turn.hosts.get(name)
    if host is None or not host.vm_id or turn.before.unmarked.get(name, 0) >= MAX_ATTEMPTS:
        return True
    return QUARANTINE_TAG in host.tags and not host.allows_new_sessions


# ----------------------------------------------------------------------------------------------------- the stages


def _provision_one(turn: Turn, name: str, vacancy: Vacancy, *, for_canary: bool) -> None:
    zone = _emptiest_zone(turn, vacancy)
    turn.put(
        name,
        HostProgress(
            stage=Stage.PROVISIONING,
            since=turn.now,
            replaces=vacancy.replaces,
            shape=vacancy.shape,
            zone=zone,
            stays_off=vacancy.stays_off,
            stays_drained=vacancy.stays_drained,
        ),
    )
    where = f" in zone {zone}" if zone else ""
    what = "the canary " if for_canary else ""
    # Hosts are counted, not paired: only one that must end like another says which one that is.
    like = f", to end like {vacancy.replaces}" if vacancy.stays_off or vacancy.stays_drained else ""
    again = "trying again: " if turn.blocked is not None else ""
    version = short_version(turn.target)
    turn.do(_provision_step(turn, name), f"{again}provisioning {what}{name} on {version}{where}{like}")
    turn.wake_unhurried(turn.now + LATER)


def _provision_step(turn: Turn, name: str) -> ProvisionHost:
    progress = turn.in_hand[name]
    return ProvisionHost(
        host=name,
        image_version_id=turn.target,
        shape=turn.shapes[progress.shape],
        zone=progress.zone,
        reason=f"{name} takes the place of {progress.replaces or 'a host that is gone'}",
    )


def _await_vm(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    if host is None or not host.vm_id:
        if turn.is_due(progress):
            turn.redo(_provision_step(turn, name))
        turn.wake_unhurried(turn.now + UNDER_WAY)
    elif host.provisioning == "Failed":
        _vm_failed(turn, name, host)
    elif host.provisioning == "Succeeded":
        turn.blocked = None
        _await_registration(turn, name, turn.enter(name, Stage.JOINING), host)
    else:
        turn.wake_unhurried(turn.now + UNDER_WAY)


def _await_start(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    """A host that was set aside is being taken back: when it runs it is proven like a new one."""
    if host is None or not host.vm_id:
        _vanished(turn, name, host)
    elif host.power == "running" and not is_set_aside(host):
        _verify(turn, name, turn.enter(name, Stage.VERIFYING), host)
    else:
        if turn.is_due(progress) and not turn.is_busy(name):
            turn.redo(restoring(host))
        turn.wake(turn.now + SOON)


def _vm_failed(turn: Turn, name: str, host: SessionHost) -> None:
    code = host.provisioning_error or "ProvisioningFailed"
    if code not in CAPACITY_CODES:
        fail(turn, name, code, "Azure could not create its VM")
        return
    # Azure leaves the VM resource behind when it found no room for it. It never ran: take it away and try again later.
    turn.blocked = block(turn.blocked, code, f"Azure had no room for {name}", turn.now)
    turn.owed.append(turn.in_hand[name].vacancy)
    turn.canary = tuple(other for other in turn.canary if other != name)
    turn.tell(f"Azure had no room for {name} ({code}); it is taken away and tried again later")
    _discard(turn, name, turn.enter(name, Stage.DISCARDING, code), host)


def _await_registration(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    if host is None or not host.vm_id:
        _vanished(turn, name, host)
    elif host.registration:
        _verify(turn, name, turn.enter(name, Stage.VERIFYING), host)
    elif turn.is_due(progress):
        _next_extension(turn, name, progress, host)
    elif progress.retry_at is not None and progress.reason == AGENT_EXTENSION:
        # From the moment it registers it accepts sign-ins, and it is the emptiest of all: that must be seen soon.
        turn.wake(max(progress.retry_at - TAKES[InstallAgent] + REGISTERS_AFTER, turn.now + SOON))


def _next_extension(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    for extension, step_of in ((JOIN_EXTENSION, _join), (AGENT_EXTENSION, _install)):
        state = host.extensions.get(extension, "")
        if state == "Succeeded":
            continue
        attempts = progress.attempts if progress.reason == extension else 0
        if state == "Failed" and attempts >= EXTENSION_ATTEMPTS:
            fail(turn, name, "ExtensionFailed", f"its extension {extension} failed {attempts} times")
        elif state in ("", "Failed"):
            turn.put(name, structs.replace(progress, attempts=attempts, reason=extension))
            turn.do(step_of(name, host))
            if extension == AGENT_EXTENSION:
                turn.wake(turn.now + REGISTERS_AFTER)
            else:
                turn.wake_unhurried(turn.now + TAKES[JoinHost])
        else:
            turn.put(name, structs.replace(progress, retry_at=turn.now + SOON))
            (turn.wake if extension == AGENT_EXTENSION else turn.wake_unhurried)(turn.now + SOON)
        return
    turn.wake(turn.now + SOON)


def _join(name: str, host: SessionHost) -> JoinHost:
    return JoinHost(
        host=name, vm_id=host.vm_id, location=host.shape.location, reason=f"joining {name} to its directory"
    )


def _install(name: str, host: SessionHost) -> InstallAgent:
    return InstallAgent(
        host=name, vm_id=host.vm_id, location=host.shape.location, reason=f"installing the AVD agent on {name}"
    )


def _verify(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    if host is None or not host.vm_id:
        _vanished(turn, name, host)
        return
    if host.provisioning == "Deleting" or progress.reason == SWITCHING_OFF:
        turn.wake(turn.now + SOON)
    if host.provisioning == "Deleting":
        return  # somebody takes it away; it is replaced when it is gone
    if progress.reason == SWITCHING_OFF:
        _switch_off(turn, name, progress, host)
        return
    if not judge_host(host, turn.policy.health, turn.now, in_service=False).good:
        turn.wake_unhurried(turn.now + UNDER_WAY)
        turn.put(name, structs.replace(progress, good_since=None, proven_from=None))
        _keep_people_off(turn, name, progress, host)
        return
    good_since = progress.good_since or turn.now
    progress = structs.replace(progress, good_since=good_since)
    turn.put(name, progress)
    proven_at = (progress.proven_from or good_since) + _proof(turn, name, progress)
    if turn.now < proven_at:
        turn.wake_unhurried(proven_at)
        _keep_people_off(turn, name, progress, host)
        return
    turn.wake_unhurried(turn.now + SOON)
    if progress.stays_off:
        turn.put(name, structs.replace(progress, reason=SWITCHING_OFF))
        _switch_off(turn, name, progress, host)
    else:
        _put_in_service(turn, name, progress, host)


def _switch_off(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    if host.is_powered_off:
        _put_in_service(turn, name, progress, host)
    elif host.allows_new_sessions:
        _keep_people_off(turn, name, progress, host)
    elif turn.is_due(progress):
        turn.do(
            ReleaseHost(
                host=name,
                vm_id=host.vm_id,
                deallocate=True,
                reason=f"{name} is good; switched off like {progress.replaces} was",
            )
        )


def _proof(turn: Turn, name: str, progress: HostProgress) -> timedelta:
    """How long a new host must stay good before it is in service, or switched off or left drained like its forerunner.

    A canary that will not serve people has its bake time here, where nobody is on it.
    """
    settle = turn.policy.health.settle
    out_of_service = progress.stays_off or progress.stays_drained
    return max(settle, turn.policy.canary.bake) if out_of_service and name in turn.canary else settle


def _keep_people_off(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    # A host accepts sign-ins from the moment it registers; nobody shall work on one that is not proven.
    if host.allows_new_sessions and turn.is_due(progress):
        turn.redo(
            StartDraining(
                host=name, vm_id=host.vm_id, registration=host.registration, reason=f"{name} is not proven yet"
            )
        )


def _put_in_service(turn: Turn, name: str, progress: HostProgress, host: SessionHost) -> None:
    if not host.is_tagged:
        # The tags go last: it is in service though the answer was lost, and drain mode may be somebody else's by now.
        turn.drop(name)
        turn.due += [progress.replaces] if progress.stays_off or progress.stays_drained else []
        return
    if not turn.is_due(progress):
        return
    if progress.stays_drained and host.allows_new_sessions:
        _keep_people_off(turn, name, progress, host)  # it was good before it could be drained at all
    elif progress.stays_drained:
        turn.do(
            ReleaseHost(
                host=name,
                vm_id=host.vm_id,
                deallocate=False,
                reason=f"{name} is good; left in drain mode like {progress.replaces} was",
            )
        )
    else:
        turn.put_in_service += 1
        turn.do(
            StopDraining(
                host=name,
                vm_id=host.vm_id,
                registration=host.registration,
                reason=f"{name} is good and in service",
                is_new=progress.attempts == 0,  # after a lost answer it may be in service, and drained by somebody
            )
        )


def _discard(turn: Turn, name: str, progress: HostProgress, host: SessionHost | None) -> None:
    turn.wake(turn.now + SOON)
    if host is None:
        turn.drop(name)
    elif progress.attempts >= MAX_ATTEMPTS:
        keep_remains(turn, name)
    elif host.registration and host.allows_new_sessions:
        _keep_people_off(turn, name, progress, host)
    elif turn.is_due(progress):
        turn.redo(
            RemoveHost(
                host=name, vm_id=host.vm_id, registration=host.registration, reason=f"{name} never came into being"
            )
        )


def _vanished(turn: Turn, name: str, host: SessionHost | None) -> None:
    turn.owed.append(turn.in_hand[name].vacancy)
    turn.canary = tuple(other for other in turn.canary if other != name)
    turn.tell(f"{name} is gone: somebody else removed it before it was in service; another one takes its place")
    if host is None:
        turn.drop(name)
    else:
        _discard(turn, name, turn.enter(name, Stage.DISCARDING), host)  # its VM is gone, its registration is not


# ------------------------------------------------------------------------------------------------- what to take over


class _Models(NamedTuple):
    """The outdated hosts that new ones are modelled on, each kind in the order in which they go, and those before them
    that are on their way out."""

    special: list[SessionHost]
    ordinary: list[SessionHost]
    leaving: list[tuple[str, HostProgress]]

    @classmethod
    def of(cls, turn: Turn) -> _Models:
        """Those of this turn."""
        given_back = turn.in_stage([Stage.STEERING, Stage.GIVING_BACK])
        in_hand = [turn.hosts[name] for name in given_back if name in turn.hosts]
        to_go = [host for host in in_hand if turn.is_outdated(host) and host.name not in turn.skipped]
        ordered = list(drain_order([*turn.outdated, *to_go]))
        special = [host for host in ordered if host.name in turn.special]
        ordinary = [host for host in ordered if host.name not in turn.special]
        leaving = [(name, host) for name, host in turn.in_stage(LEAVING_STAGES).items() if not _is_particular(host)]
        return cls(special, ordinary, leaving)


def _next_vacancy(turn: Turn, models: _Models, *, for_canary: bool) -> Vacancy:
    """What the next new host takes over: a host that is owed first, else the outdated host that is to go next."""
    if turn.owed:
        # Particular ones first, as more may be owed in place than is needed in the end; but a canary should run.
        fitting = [n for n, owed in enumerate(turn.owed) if (owed.stays_off or owed.stays_drained) is not for_canary]
        return turn.owed.pop(fitting[0] if fitting else 0)
    if models.special:
        followed = {progress.replaces for progress in turn.in_hand.values()} | set(turn.due)
        # Each particular host is followed by exactly one, so these come first. But a canary should run and accept
        # people to prove anything: it follows a host that does, if there is one.
        unfollowed = [host for host in models.special if host.name not in followed]
        if unfollowed and not (for_canary and any(host.name not in followed for host in models.ordinary)):
            return turn.vacancy_of(unfollowed[0])
    ahead = _made_ahead(turn, len(models.special) + len(models.ordinary))
    return _ordinary_vacancy(turn, models.leaving, models.ordinary, ahead=ahead)


def _ordinary_vacancy(
    turn: Turn, leaving: list[tuple[str, HostProgress]], ordinary: list[SessionHost], *, ahead: int
) -> Vacancy:
    """The traits of the host whose turn it is: of those on their way out, then of those that go after them.

    `ahead` is how many of them have a successor already. A VM that is being deleted shows as switched off: what it was
    like is remembered.
    """
    place = max(0, min(ahead, len(leaving) + len(ordinary) - 1))
    if place < len(leaving):
        name, progress = leaving[place]
        return structs.replace(progress.vacancy, replaces=name)
    if ordinary:
        return turn.vacancy_of(ordinary[place - len(leaving)])
    if turn.settled:
        # All that are left have their successors already: this one is for an ordinary host that is gone.
        return structs.replace(turn.vacancy_of(turn.settled[0]), stays_off=False, stays_drained=False)
    return Vacancy(replaces="", shape=turn.shape_index(turn.shapes[0] if turn.shapes else HostShape()))


def _made_ahead(turn: Turn, to_go: int) -> int:
    """New hosts that exist or are on their way for outdated ones that are still there (`to_go` of them, or leaving)."""
    there = to_go + turn.number_in(LEAVING_STAGES)
    gone = turn.desired - len(turn.left_alone) - there
    return len(turn.current) + turn.number_in(NEW_HOST_STAGES) + turn.coming_back - gone


def _is_particular(progress: HostProgress) -> bool:
    return progress.stays_off or progress.stays_drained


def _emptiest_zone(turn: Turn, vacancy: Vacancy) -> str:
    """The zone that lacks most hosts of the target version compared with the pool at its start; ties: the vacancy's."""
    if not turn.zones:
        return vacancy.zone
    coming_back = [turn.hosts[name] for name in turn.in_stage([Stage.GIVING_BACK]) if name in turn.hosts]
    have = Counter(host.zone for host in coming_back if not turn.is_outdated(host))
    have.update(progress.zone for progress in turn.in_stage(NEW_HOST_STAGES).values())
    have.update(turn.zones_of_current)
    return max(turn.zones, key=lambda zone: (turn.zones[zone] - have[zone], zone == vacancy.zone, zone))


def _minutes(turn: Turn) -> int:
    return int(turn.policy.health.ready_within.total_seconds() // 60)
