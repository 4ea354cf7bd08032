"""Session hosts, pools, policies and states for tests: say what matters in a situation, the rest is ordinary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from rollout.model import (
    AGENT_EXTENSION,
    JOIN_EXTENSION,
    ROLLOUT_TAG,
    HostPool,
    HostProgress,
    HostShape,
    ImageVersion,
    PoolSnapshot,
    RolloutState,
    SessionHost,
    SessionProgress,
    Stage,
    UserSession,
)
from rollout.policy import (
    CanaryPolicy,
    DrainPolicy,
    EntraJoin,
    HealthPolicy,
    PoolPolicy,
    SessionHostTemplate,
    Window,
    hours,
    minutes,
)
from rollout.pool import start

MORNING = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
"""A Friday; the clock of every test starts here."""

ROLLOUT = "rollout-2.0.0"
"""The rollout under test: its id, as it stands in tags."""

POOL_ID = "/subscriptions/s1/resourceGroups/desktops/providers/Microsoft.DesktopVirtualization/hostPools/office"
NEXT = "2.0.0"
"""The version that is rolled out, unless a test says otherwise; hosts run 1.0.0."""

SHAPE = HostShape(location="westeurope", vm_size="Standard_D8s_v5", os_disk_type="Premium_LRS")


def version_id(number: str) -> str:
    """The resource id of a version of the office image."""
    gallery = "/subscriptions/s1/resourceGroups/images/providers/Microsoft.Compute/galleries/desktops"
    return f"{gallery}/images/office/versions/{number}"


def vm_id(name: str) -> str:
    """The resource id of a VM of this name."""
    return f"/subscriptions/s1/resourceGroups/desktops/providers/Microsoft.Compute/virtualMachines/{name}"


def registration_of(name: str) -> str:
    """The resource id of a session host's registration."""
    return f"{POOL_ID}/sessionHosts/{name}"


def a_host(
    name: str = "avd-001",
    version: str = "1.0.0",
    *,
    sessions: int = 0,
    disconnected: int = 0,
    drained: bool = False,
    held_by: str = "",
    powered_off: bool = False,
    **fields: Any,
) -> SessionHost:
    """A healthy host in service. `drained` alone: by somebody else; with `held_by`: by that rollout."""
    people = [UserSession(f"{name}/{n}", f"{name}-person-{n}") for n in range(1, sessions + 1)]
    gone = range(sessions + 1, sessions + disconnected + 1)
    people += [UserSession(f"{name}/{n}", f"{name}-person-{n}", "Disconnected") for n in gone]
    host = SessionHost(
        name=name,
        vm_id=vm_id(name),
        registration=registration_of(name),
        image_version_id=version_id(version),
        shape=SHAPE,
        tags={ROLLOUT_TAG: held_by} if held_by else {},
        provisioning="Succeeded",
        power="deallocated" if powered_off else "running",
        extensions={JOIN_EXTENSION: "Succeeded", AGENT_EXTENSION: "Succeeded"},
        status="Shutdown" if powered_off else "Available",
        allows_new_sessions=not drained,
        last_heartbeat=MORNING,
        sessions=tuple(people),
        session_count=len(people),
    )
    return structs.replace(host, **fields)


def a_draining_host(name: str = "avd-001", *, sessions: int = 0, disconnected: int = 0, **fields: Any) -> SessionHost:
    """A host that the rollout under test has drained."""
    return a_host(name, sessions=sessions, disconnected=disconnected, drained=True, held_by=ROLLOUT, **fields)


def steered_hosts(count: int, *, first: int = 1, sessions: int = 0, **fields: Any) -> list[SessionHost]:
    """So many outdated hosts, numbered from `first`, that the rollout under test keeps new sign-ins off."""
    return [a_draining_host(f"avd-{n:03}", sessions=sessions, **fields) for n in range(first, first + count)]


def hosts_named(count: int, *, first: int = 1, **fields: Any) -> list[SessionHost]:
    """So many hosts alike, numbered from `first`."""
    return [a_host(f"avd-{number:03}", **fields) for number in range(first, first + count)]


def a_pool(
    hosts: list[SessionHost] | None = None,
    *,
    outdated: int = 12,
    current: int = 0,
    session_limit: int = 10,
    target: str | None = NEXT,
    at: datetime = MORNING,
    **fields: Any,
) -> PoolSnapshot:
    """A pooled host pool of these hosts, or of so many outdated and current ones. `target=None`: its image is gone."""
    if hosts is None:
        hosts = hosts_named(outdated) + hosts_named(current, first=outdated + 1, version=NEXT)
    pool = HostPool(
        id=POOL_ID,
        name="office",
        location="westeurope",
        load_balancer="BreadthFirst",
        max_session_limit=session_limit,
        management_type="Standard",
    )
    return PoolSnapshot(
        pool=structs.replace(pool, **fields),
        observed_at=at,
        hosts=tuple(sorted(hosts, key=lambda host: host.name)),
        names_in_use=tuple(sorted(host.name for host in hosts)),
        image=None if target is None else ImageVersion(id=version_id(target), location="westeurope"),
    )


def a_policy(**overrides: Any) -> PoolPolicy:
    """A policy with short periods: a bake of 30 minutes, a grace period of one hour. Overrides win.

    `canary`, `drain` and `health` may be given as dicts of what differs from the ordinary.
    """
    parts: dict[str, Any] = {
        "canary": structs.replace(CanaryPolicy(), **overrides.pop("canary", {})),
        "drain": structs.replace(DrainPolicy(grace=hours(1), reminders=(minutes(15),)), **overrides.pop("drain", {})),
        "health": structs.replace(HealthPolicy(), **overrides.pop("health", {})),
    }
    fields: dict[str, Any] = {
        "name": "office",
        "host_pool_id": POOL_ID,
        "image": "office",
        "session_host": SessionHostTemplate(
            name_prefix="avd",
            subnet_id="/subscriptions/s1/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/v/subnets/d",
            join=EntraJoin(),
        ),
        "zone": "Europe/Zurich",
        "surge": 1,
    }
    return PoolPolicy(**{**fields, **parts, **overrides})


def a_window(start: str, duration: timedelta, *, recurrence: str = "FREQ=DAILY", zone: str = "UTC") -> Window:
    """A window, daily and in UTC unless said otherwise."""
    return Window(zone=zone, recurrence=recurrence, start=start, duration=duration)


def a_state(target: str = NEXT, *, at: datetime = MORNING, **fields: Any) -> RolloutState:
    """A rollout; before its first turn unless `fields` say more."""
    return structs.replace(start(ROLLOUT, POOL_ID, version_id(target), at), **fields)


def a_rolling_state(pool: PoolSnapshot, in_hand: dict[str, HostProgress] | None = None, **fields: Any) -> RolloutState:
    """A rollout in its waves on this pool: the canary has passed, these hosts are in hand."""
    in_hand = in_hand or {}
    settled = sum(host.name not in in_hand for host in pool.hosts)
    known: dict[str, Any] = {"desired": len(pool.hosts), "settled": settled, "shapes": (SHAPE,)}
    return a_state(**{**known, "canary_passed": True, "in_hand": in_hand, **fields})


def a_drain(
    *, since: datetime = MORNING, told: dict[str, datetime] | None = None, notices: int = 1, **fields: Any
) -> HostProgress:
    """A host whose people are asked to leave; `told` maps the sessions that know of it to their deadlines."""
    sessions = {id: SessionProgress(deadline=deadline, notices=notices) for id, deadline in (told or {}).items()}
    return structs.replace(HostProgress(stage=Stage.DRAINING, since=since, asked=True, sessions=sessions), **fields)
