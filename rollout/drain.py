"""Emptying a host: who is told what and when, and who is signed out when the grace period has ended."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from rollout.model import HostProgress, SessionHost, SessionProgress, UserSession, count_of
from rollout.policy import DrainPolicy, PoolPolicy
from rollout.steps import NotifySessions, SignOutSessions

UNLISTED = "unlisted"
"""Stands for the sessions that a host counts and Azure does not list: nobody can be told or signed out there."""

MAX_SIGN_OUTS = 10
"""Sign-outs after which a session that is still listed counts as hung: about 20 minutes."""


WAIT_FOR_THE_SPARED = timedelta(hours=12)
"""So long after their deadline a host waits for people who have been signed out before; then it is left alone."""


class DrainPlan(Struct, frozen=True):
    """What to do now for the people on a draining host, what to remember of them, and when to look again.

    `overdue` lists active sessions whose grace period has ended and that are not signed out in this plan: the policy
    says to wait or to skip the host, or something forbids the sign-out at the moment. `hopeless` says why the host will
    not become empty whatever is done, in half a sentence; "" as long as it may.
    """

    sessions: dict[str, SessionProgress]
    steps: tuple[NotifySessions | SignOutSessions, ...]
    overdue: tuple[str, ...]
    wake_at: datetime | None
    hopeless: str = ""


def plan_drain(
    host: SessionHost,
    progress: HostProgress,
    policy: PoolPolicy,
    now: datetime,
    *,
    may_sign_out: bool,
    signed_out: Collection[str] = (),
) -> DrainPlan:
    """Plan the next messages and sign-outs on a draining host.

    As long as its people are not asked to leave (`progress.asked`), only disconnected sessions are dealt with.

    Each session has its own deadline, `grace` after it was first seen on the draining host: somebody who arrives late
    gets the same notice as everybody. Disconnected sessions are ended after `disconnected_grace` without a message,
    as nobody would read it. Active sessions past their deadline are signed out when `on_timeout` is `sign_out` and
    `may_sign_out` holds (room elsewhere, window open if required). One message goes out for each stage and session.
    People among those `signed_out` before (see mark_of) are asked like everybody, and not signed out a second time.
    """
    if not progress.asked:
        idle = tuple(session for session in host.sessions if session.is_disconnected)
        host = structs.replace(host, sessions=idle, session_count=len(idle))
    known = {
        session.id: _seen(session, progress.sessions.get(session.id), policy.drain, now, signed_out)
        for session in host.sessions
    }
    disconnected = [
        session.id
        for session in host.sessions
        if session.is_disconnected and _disconnected_until(known[session.id], policy.drain) <= now
    ]
    overdue = [
        session.id
        for session in host.sessions
        if not session.is_disconnected and known[session.id].deadline <= now and not known[session.id].spared
    ]
    forced = overdue if policy.drain.on_timeout == "sign_out" and may_sign_out else []
    told = {
        session.id: stage
        for session in host.sessions
        if not session.is_disconnected
        and known[session.id].deadline > now
        and (stage := stages_reached(known[session.id].deadline, policy.drain, now)) > known[session.id].notices
    }
    steps: list[NotifySessions | SignOutSessions] = _notices(host, known, told, policy, now)
    if ending := disconnected + forced:
        steps.append(_sign_out(host, ending, len(forced)))
    remembered = {
        id: structs.replace(progress, notices=told.get(id, progress.notices)) for id, progress in known.items()
    }
    if host.load > len(host.sessions):
        remembered[UNLISTED] = progress.sessions.get(UNLISTED) or SessionProgress(deadline=now + policy.drain.grace)
    return DrainPlan(
        sessions=remembered,
        steps=tuple(steps),
        overdue=tuple(id for id in overdue if id not in forced),
        wake_at=_next_look(host, remembered, policy.drain, now),
        hopeless=_hopeless(remembered, ending, now),
    )


def is_anybody_due(progress: HostProgress, policy: DrainPolicy, now: datetime) -> bool:
    """Somebody known on this draining host is to be told something or signed out by now, or was signed out just now."""
    return any(_is_due(told, policy, now, asked=progress.asked) for told in progress.sessions.values())


def _is_due(told: SessionProgress, policy: DrainPolicy, now: datetime, *, asked: bool) -> bool:
    if told.sign_outs or told.deadline <= now:
        return True
    if told.disconnected_since is not None:
        return _disconnected_until(told, policy) <= now
    return asked and stages_reached(told.deadline, policy, now) > told.notices


def mark_of(user: str) -> str:
    """A short hash by which a rollout remembers whom it has signed out: names do not belong into histories and logs.

    Two people in a pool of ten thousand share one with a chance of one in three hundred; the second is then spared too.
    """
    return hashlib.sha256(user.lower().encode()).hexdigest()[:8]


def stages_reached(deadline: datetime, policy: DrainPolicy, now: datetime) -> int:
    """How many messages a person should have had by now: the first at once, then one for each reminder reached."""
    return 1 + sum(deadline - now <= reminder for reminder in policy.reminders)


def deadline_text(deadline: datetime, zone: str, now: datetime) -> str:
    """The deadline as people read it, in the pool's zone: "17:30", or "Tue 24 Nov 17:30" when it is another day."""
    local, today = deadline.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%a} {local.day} {local:%b %H:%M}"


def minutes_left(deadline: datetime, now: datetime) -> int:
    """Whole minutes until the deadline, rounded up, never negative."""
    return max(0, math.ceil((deadline - now) / timedelta(minutes=1)))


def withdrawn_notice(host: SessionHost, progress: HostProgress, policy: PoolPolicy) -> NotifySessions | None:
    """The message to those who were told to leave a host that is given back; None when nobody was told."""
    told = tuple(s.id for s in host.sessions if s.id in progress.sessions and progress.sessions[s.id].notices)
    if not told:
        return None
    text = policy.drain.notice
    return NotifySessions(
        host=host.name,
        registration=host.registration,
        sessions=told,
        title=text.withdrawn_title.replace("{pool}", policy.name),
        body=text.withdrawn_body.replace("{pool}", policy.name),
        reason=f"{_people(len(told))} on {host.name} may stay: the host is given back",
    )


def _hopeless(known: dict[str, SessionProgress], ending: list[str], now: datetime) -> str:
    if any(told.spared and now - told.deadline >= WAIT_FOR_THE_SPARED for told in known.values()):
        return "somebody on it stays who has been signed out before"
    if any(known[id].sign_outs >= MAX_SIGN_OUTS for id in ending):
        return f"a session on it does not end, though it was signed out {MAX_SIGN_OUTS} times"
    if UNLISTED in known and known[UNLISTED].deadline <= now:
        return "it counts a session that Azure does not list"
    return ""


def _seen(
    session: UserSession,
    before: SessionProgress | None,
    policy: DrainPolicy,
    now: datetime,
    signed_out: Collection[str],
) -> SessionProgress:
    # Whoever has a session here that is not known yet, and was signed out before, was so on another host.
    known = before or SessionProgress(deadline=now + policy.grace, spared=mark_of(session.user) in signed_out)
    is_disconnected = session.is_disconnected
    if not is_disconnected and known.notices == 0:
        # Nobody has been told yet: who was disconnected until now has had no notice that could have begun to run.
        known = structs.replace(known, deadline=now + policy.grace)
    since = (known.disconnected_since or now) if is_disconnected else None
    return structs.replace(known, disconnected_since=since)


def _disconnected_until(session: SessionProgress, policy: DrainPolicy) -> datetime:
    since = session.disconnected_since or session.deadline
    return min(since + policy.disconnected_grace, session.deadline)


def _notices(
    host: SessionHost, known: dict[str, SessionProgress], told: dict[str, int], policy: PoolPolicy, now: datetime
) -> list[NotifySessions | SignOutSessions]:
    by_deadline: dict[datetime, list[str]] = {}
    for id in told:
        by_deadline.setdefault(known[id].deadline, []).append(id)
    return [
        _notice(host, ids, deadline, policy, now, first=any(known[id].notices == 0 for id in ids))
        for deadline, ids in by_deadline.items()
    ]


def _notice(
    host: SessionHost, ids: list[str], deadline: datetime, policy: PoolPolicy, now: datetime, *, first: bool
) -> NotifySessions:
    words = {
        "{deadline}": deadline_text(deadline, policy.zone, now),
        "{minutes}": str(minutes_left(deadline, now)),
        "{pool}": policy.name,
    }
    title, body, verb = policy.drain.notice.title, policy.drain.notice.body, "told" if first else "reminded"
    for placeholder, value in words.items():
        title, body = title.replace(placeholder, value), body.replace(placeholder, value)
    return NotifySessions(
        host=host.name,
        registration=host.registration,
        sessions=tuple(ids),
        title=title,
        body=body,
        reason=f"{verb} {_people(len(ids))} on {host.name} to sign out before {words['{deadline}']}",
    )


def _sign_out(host: SessionHost, ids: list[str], forced: int) -> SignOutSessions:
    parts = [f"{_people(forced)} whose grace period has ended"] if forced else []
    parts += [count_of(len(ids) - forced, "disconnected session")] if len(ids) > forced else []
    return SignOutSessions(
        host=host.name,
        registration=host.registration,
        sessions=tuple(ids),
        forced=forced,
        reason=f"signed out {' and '.join(parts)} on {host.name}",
    )


def _next_look(
    host: SessionHost, known: dict[str, SessionProgress], policy: DrainPolicy, now: datetime
) -> datetime | None:
    moments = []
    for session in host.sessions:
        progress = known[session.id]
        if session.is_disconnected:
            moments.append(_disconnected_until(progress, policy))
        moments += [progress.deadline, *(progress.deadline - reminder for reminder in policy.reminders)]
    return min((moment for moment in moments if moment > now), default=None)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
