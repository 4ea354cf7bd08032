"""What values of a policy must be to each other, so that a rollout can finish and people get what they are promised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from rollout.pace import REMOVAL
from rollout.policy import ActiveDirectoryJoin, Amount, DrainPolicy, PoolPolicy, Window
from rollout.windows import closes_at, next_opening

OPENINGS_LOOKED_AT = 100
"""Windows that together are long enough now and then are found among so many openings: two years of weekly ones."""

_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Conflict(NamedTuple):
    """Values that do not go together: `key` is where to say so, `others` are the keys that it disagrees with."""

    key: str
    others: tuple[str, ...]
    message: str


def conflicts_of(pool: PoolPolicy) -> Iterator[Conflict]:
    """Every conflict in one pool's policy. Keys are paths below the pool, such as `drain.reminders.0`."""
    yield from _amounts(pool)
    yield from _drain(pool.drain)
    yield from _windows(pool)
    if pool.health.settle >= pool.health.ready_within:
        yield Conflict(
            "health.settle",
            ("health.ready_within",),
            f"must be shorter than ready_within ({iso(pool.health.ready_within)}), or no host is ever good in time",
        )
    if isinstance(pool.session_host.join, ActiveDirectoryJoin):
        yield from _key_vault(pool.session_host.join)


def iso(duration: timedelta) -> str:
    """A duration as people write it in the file: PT8H10M."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    text = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if count)
    return f"PT{text or '0S'}"


def _amounts(pool: PoolPolicy) -> Iterator[Conflict]:
    if pool.strategy == "surge" and _is_nothing(pool.surge):
        yield Conflict(
            "surge", ("strategy",), "must allow at least one extra host with strategy surge, or use strategy in_place"
        )
    if _is_nothing(pool.max_wave):
        yield Conflict("max_wave", (), "must allow at least one host, or nothing is ever replaced")
    if _is_nothing(pool.max_creating):
        yield Conflict("max_creating", (), "must allow at least one host, or no new one is ever made")
    if pool.finish_by and pool.finish_within is not None:
        yield Conflict("finish_by", ("finish_within",), "only one of finish_by and finish_within can say when")
    if pool.reserve == 100:
        yield Conflict("reserve", (), "must be below 100, or no host may ever be drained")


def _is_nothing(amount: Amount) -> bool:
    return amount in (0, "0%")


def _drain(drain: DrainPolicy) -> Iterator[Conflict]:
    """Defaults that do not fit a short grace period are harmless: what is due earlier is part of the first notice."""
    if drain.reminders != DrainPolicy().reminders:
        for index, reminder in enumerate(drain.reminders):
            if reminder > drain.grace:
                yield Conflict(
                    f"drain.reminders.{index}",
                    ("drain.grace",),
                    f"{iso(reminder)} before the deadline is before the first notice: grace is {iso(drain.grace)}",
                )
    if drain.disconnected_grace > drain.grace and drain.disconnected_grace != DrainPolicy().disconnected_grace:
        yield Conflict(
            "drain.disconnected_grace",
            ("drain.grace",),
            f"must not be longer than grace ({iso(drain.grace)}), which ends every session",
        )


def _windows(pool: PoolPolicy) -> Iterator[Conflict]:
    """No host is started that cannot finish before the window closes, so the longest window must be long enough."""
    if not pool.windows:
        return
    longest = _longest_opening(pool.windows)
    at_most = f"the windows are open for {iso(longest)} at most"
    waits, provisioning = pool.drain.on_timeout == "wait", pool.expected_provisioning
    needed, takes, keys = REMOVAL, f"{iso(REMOVAL)} to remove it", ["strategy", "drain.on_timeout"]
    if not waits:
        needed, takes = needed + pool.drain.grace, f"{iso(pool.drain.grace)} of grace and {takes}"
        keys.append("drain.grace")
    if pool.strategy == "in_place":
        needed, takes = needed + provisioning, f"{takes} and {iso(provisioning)} to provision its successor"
        keys.append("expected_provisioning")
    if longest < needed:
        advice = "" if waits else ", or drain.grace shorter, or set drain.on_timeout to wait"
        message = f"no host with people could ever be started: that takes {takes}, and {at_most}"
        yield Conflict("windows", tuple(keys), f"{message}; make a window longer{advice}")
    if longest < provisioning:
        message = f"no host could ever be provisioned: that takes {iso(provisioning)}, and {at_most}"
        yield Conflict("windows", ("expected_provisioning",), f"{message}; make a window longer")


@lru_cache(maxsize=256)
def _longest_opening(windows: tuple[Window, ...]) -> timedelta:
    """How long the windows, together where they touch, stay open at most."""
    longest, moment = timedelta(0), _SOME_TIME
    for _ in range(OPENINGS_LOOKED_AT):
        opening = next_opening(windows, moment)
        if opening is None:
            # Either no window can be read, or they touch each other for ever.
            return max(longest, (closes_at(windows, moment) or moment) - moment)
        moment = closes_at(windows, opening) or opening
        longest = max(longest, moment - opening)
    return longest


def _key_vault(join: ActiveDirectoryJoin) -> Iterator[Conflict]:
    host = urlsplit(join.password_secret_url).hostname or ""
    vault = join.key_vault_id.rsplit("/", 1)[-1]
    if host.split(".")[0].lower() != vault.lower():
        yield Conflict(
            "session_host.join.password_secret_url",
            ("session_host.join.key_vault_id",),
            f"the secret is in {host}, but key_vault_id names the vault {vault}",
        )
