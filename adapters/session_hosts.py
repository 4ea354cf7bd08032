"""Host pools and their session hosts, sessions and registration tokens: reads and single verbs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters import resource_ids
from adapters.connect import KeptSecret, connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.reads import large_pages, pages, read
from adapters.wire import Json, at, flag, items, moment, number, text
from rollout.model import HostPool, UserSession
from rollout.steps import StepError

API_VERSION = "2024-04-03"

POOL_API_VERSION = "2026-04-01-preview"
"""Only previews tell a pool's management type, and a pool that Azure itself updates must be left alone."""

_NO_SUCH_API_VERSION = frozenset(
    {"BadRequest", "InvalidApiVersionParameter", "InvalidResourceType", "NoRegisteredProviderFound"}
)

TOKEN_LIFETIME = timedelta(hours=2)
"""Azure takes one hour to 30 days "from now": two hours leave room for differing clocks and slow installations."""

TOKEN_REST = timedelta(minutes=45)
"""A token that is valid at least this long is used again: a new one might end those that other hosts register with."""

TOKEN_KEPT = timedelta(minutes=30)
"""How long a token that was read is taken from memory: for the hosts of one wave, but not for so long that one which
somebody has revoked meanwhile would spoil the next."""

_token_lock = threading.Lock()

FATAL_CHECKS = frozenset({"DomainJoinedCheck", "DomainTrustCheck", "SxSStackListenerCheck"})
"""Health checks without which nobody can sign in. The others only make a host NeedsAssistance."""


def read_pool(pool_id: str) -> HostPool:
    """A host pool's own properties. Raises StepFailed: ResourceNotFound when it does not exist.

    Where a cloud does not have the preview, the management type stays "": there is no native update either.
    """
    try:
        return host_pool(read(pool_id, POOL_API_VERSION))
    except StepFailed as failed:
        if failed.error.code not in _NO_SUCH_API_VERSION:
            raise
    return host_pool(read(pool_id, API_VERSION))


def list_hosts(pool_id: str) -> list[Json]:
    """The JSON of every session host of a pool. Raises StepFailed."""
    return list(large_pages(f"{pool_id}/sessionHosts", API_VERSION))


def list_pool_sessions(pool_id: str) -> dict[str, tuple[UserSession, ...]]:
    """All sessions of a pool: registered host name (lower case) -> its sessions. Raises StepFailed."""
    sessions: dict[str, tuple[UserSession, ...]] = {}
    for body in large_pages(f"{pool_id}/userSessions", API_VERSION):
        host = host_of_session(body)
        sessions[host] = (*sessions.get(host, ()), user_session(body))
    return sessions


def list_sessions(registration: str) -> tuple[UserSession, ...]:
    """The sessions of one host now; none when the registration does not exist. Raises StepFailed."""
    try:
        return tuple(user_session(body) for body in pages(f"{registration}/userSessions", API_VERSION))
    except StepFailed as failed:
        if is_missing(failed):
            return ()
        raise


def set_drain_mode(registration: str, *, on: bool) -> None:
    """Turn drain mode on or off. A registration that no longer exists is left at that. Raises StepFailed."""
    from azure.core.exceptions import DeserializationError

    pool, host = _pool_and_host(registration)
    hosts = connection().desktop_virtualization(pool.subscription).session_hosts
    # The change was made even if the library cannot read the host that comes back.
    with _missing_is_fine(), translated(), suppress(DeserializationError):
        body: Any = {"properties": {"allowNewSession": not on}}
        hosts.update(pool.group, pool.name, host, session_host=body)


def send_message(registration: str, session: str, title: str, body: str) -> None:
    """Show a message in a session. A session that has ended is left at that. Raises StepFailed."""
    pool, host = _pool_and_host(registration)
    sessions = connection().desktop_virtualization(pool.subscription).user_sessions
    message: Any = {"messageTitle": title, "messageBody": body}
    with _missing_is_fine(), translated():
        sessions.send_message(pool.group, pool.name, host, session, send_message=message)


def sign_out(registration: str, session: str) -> None:
    """End a session, whatever its programs say. One that has ended already is fine. Raises StepFailed."""
    pool, host = _pool_and_host(registration)
    sessions = connection().desktop_virtualization(pool.subscription).user_sessions
    with _missing_is_fine(), translated():
        sessions.delete(pool.group, pool.name, host, session, force=True)


def sessions_left(registration: str) -> int:
    """Read drain mode and sessions of a host again: how many sessions it counts; 0 when it has no registration.

    Raises StepFailed, with code HostInUse when the host accepts new sessions.
    """
    try:
        host = read(registration, API_VERSION)
    except StepFailed as failed:
        if is_missing(failed):
            return 0
        raise
    if at(host, "properties", "allowNewSession") is not False:
        raise in_use(f"{resource_ids.last(registration)} accepts new sessions")
    return number(host, "properties", "sessions")


def require_unused(registration: str) -> None:
    """Raise StepFailed with code HostInUse when a host accepts new sessions or has sessions at this moment."""
    if sessions := sessions_left(registration):
        raise in_use(f"{resource_ids.last(registration)} has {sessions} session{'s' if sessions > 1 else ''}")


def vm_of(registration: str) -> str:
    """The id of the VM behind a session host as it was when it registered, "" when it says of none.

    A registration that does not exist has none. Raises StepFailed.
    """
    try:
        return text(read(registration, API_VERSION), "properties", "resourceId")
    except StepFailed as failed:
        if is_missing(failed):
            return ""
        raise


def delete_registration(registration: str, *, force: bool = False) -> None:
    """Take a host out of its pool. Gone already is fine.

    Without `force` Azure refuses while it lists a session; with it the sessions are dropped, which is right only when
    the VM is switched off. Raises StepFailed, with code HostInUse when Azure refuses.
    """
    pool, host = _pool_and_host(registration)
    hosts = connection().desktop_virtualization(pool.subscription).session_hosts
    try:
        with _missing_is_fine(), translated():
            hosts.delete(pool.group, pool.name, host, force=force)
    except StepFailed as failed:
        if failed.error.code == "BadRequest":
            raise in_use(failed.error.message) from None
        raise


def find_registration(pool_id: str, vm_id: str) -> str:
    """The registration id of a VM in a pool, "" when it has not registered. Raises StepFailed."""
    for body in list_hosts(pool_id):
        if resource_ids.same(text(body, "properties", "resourceId"), vm_id):
            return registration_of(pool_id, body)
    return ""


def registration_token(pool_id: str, now: datetime) -> str:
    """A token with which a host may register for at least an hour; a new one is made when there is none.

    Hosts that are made together share one reading of it, kept in memory and nowhere else. Never log or return it
    further: whoever has it can add a host to the pool. Raises StepFailed.
    """
    kept = connection().kept_tokens
    with _token_lock:
        if (known := kept.get(pool_id)) is None or not known.read_at <= now < known.read_at + TOKEN_KEPT:
            # Whatever was kept has had an hour and TOKEN_KEPT to go at least: what is handed out has its hour still.
            known = kept[pool_id] = KeptSecret(_read_or_make_token(pool_id, now), now)
    return known.value


def _read_or_make_token(pool_id: str, now: datetime) -> str:
    pool = resource_ids.parse(pool_id)
    pools = connection().desktop_virtualization(pool.subscription).host_pools
    if token := _existing_token(pool, now):
        return token
    with translated():
        expires = (now + TOKEN_LIFETIME).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        body: Any = {
            "properties": {"registrationInfo": {"expirationTime": expires, "registrationTokenOperation": "Update"}}
        }
        pools.update(pool.group, pool.name, host_pool=body)
        token = _valid_token(pools.retrieve_registration_token(pool.group, pool.name), now)
    if not token:
        raise StepFailed(StepError("NoRegistrationToken", f"host pool {pool.name} gave no registration token"))
    return token


# ------------------------------------------------------------------------------------------------- reading the bodies


def host_pool(body: Json) -> HostPool:
    """A host pool from its JSON."""
    return HostPool(
        id=text(body, "id"),
        name=resource_ids.last(text(body, "name")).lower(),
        location=text(body, "location"),
        pool_type=text(body, "properties", "hostPoolType"),
        load_balancer=text(body, "properties", "loadBalancerType"),
        max_session_limit=number(body, "properties", "maxSessionLimit"),
        management_type=text(body, "properties", "managementType"),
    )


def user_session(body: Json) -> UserSession:
    """A session from its JSON; its id is the last segment of `pool/host/id`, unique on its host."""
    return UserSession(
        id=resource_ids.last(text(body, "name") or text(body, "id")),
        user=text(body, "properties", "userPrincipalName"),
        state=text(body, "properties", "sessionState") or "Unknown",
        began=moment(body, "properties", "createTime"),
    )


def host_of_session(body: Json) -> str:
    """The registered name, lower case, of the host a session is on; its id ends in `/sessionHosts/h/userSessions/3`."""
    parts = text(body, "id").lower().split("/")
    return parts[-3] if len(parts) > 3 else ""


def registration_of(pool_id: str, body: Json) -> str:
    """The id of a session host, made from its name should Azure leave it out."""
    return text(body, "id") or f"{pool_id}/sessionHosts/{resource_ids.last(text(body, 'name'))}"


def failed_checks(body: Json) -> tuple[str, ...]:
    """The health checks without which nobody can sign in and that have failed, in Azure's order."""
    return tuple(
        text(check, "healthCheckName")
        for check in items(body, "properties", "sessionHostHealthCheckResults")
        if text(check, "healthCheckResult") == "HealthCheckFailed" and text(check, "healthCheckName") in FATAL_CHECKS
    )


def allows_new_sessions(body: Json) -> bool:
    """Drain mode is off."""
    return flag(body, "properties", "allowNewSession")


def last_heartbeat(body: Json) -> datetime | None:
    """When the agent was last heard of."""
    return moment(body, "properties", "lastHeartBeat")


# ---------------------------------------------------------------------------------------------------------- the calls


def _pool_and_host(registration: str) -> tuple[resource_ids.ResourceId, str]:
    parsed = resource_ids.parse(registration)
    pool, host = parsed.names
    return resource_ids.ResourceId(parsed.subscription, parsed.group, (pool,)), host


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    """Whatever was to be changed or removed no longer exists: there is nothing left to do."""
    try:
        yield
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def _existing_token(pool: resource_ids.ResourceId, now: datetime) -> str:
    pools = connection().desktop_virtualization(pool.subscription).host_pools
    try:
        with translated():
            return _valid_token(pools.retrieve_registration_token(pool.group, pool.name), now)
    except StepFailed as failed:
        # A pool for which nobody has ever made a token. Should it be the pool that is missing, making one says so.
        if is_missing(failed):
            return ""
        raise


def _valid_token(info: Any, now: datetime) -> str:
    expires = getattr(info, "expiration_time", None)
    if not info or not info.token or expires is None or expires - now < TOKEN_REST + TOKEN_KEPT:
        return ""
    return str(info.token)


def in_use(message: str) -> StepFailed:
    """The failure of a step that must not be taken because the host is in use."""
    return StepFailed(StepError("HostInUse", message))
