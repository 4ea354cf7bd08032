"""What has changed between two plans: of the same image at two times, under two policies, or of two versions."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from forecast.plan import Limits, PoolPlan, RolloutPlan
from forecast.runs import PoolForecast
from rollout.model import count_of

_WORTH_TELLING = 0.1
"""A forecast that differs by less than a tenth is the same: the next minute's would differ by as much."""

_MOST_NAMED = 5


def compare(before: RolloutPlan, after: RolloutPlan) -> tuple[str, ...]:
    """The differences in sentences, none when the plans say the same. What only the time of making them changes (when
    a ring starts, by how much more or less a forecast is within a tenth) is no difference."""
    return tuple(_differences(before, after))


def _differences(before: RolloutPlan, after: RolloutPlan) -> Iterator[str]:
    if (before.image, before.version) != (after.image, after.version):
        yield f"version {before.version} of {before.image} has become {after.version} of {after.image}"
    for region in sorted(before.regions.keys() | after.regions.keys()):
        was, is_now = before.regions.get(region, "not needed"), after.regions.get(region, "not needed")
        if was != is_now:
            yield f"region {region}: {was} has become {is_now}"
    for shortage in before.replicas:
        if shortage not in after.replicas:
            yield f"no longer: {shortage}"
    for shortage in after.replicas:
        if shortage not in before.replicas:
            yield f"new: {shortage}"
    if before.checked and after.checked:
        past, present = ([f"{one.subject}: {one.found}" for one in plan.findings] for plan in (before, after))
        yield from (f"no longer: {one}" for one in past if one not in present)
        yield from (f"new: {one}" for one in present if one not in past)
    old, new = {pool.pool: pool for pool in before.pools}, {pool.pool: pool for pool in after.pools}
    for name in old.keys() - new.keys():
        yield f"{name}: is no longer in the plan"
    for name, pool in new.items():
        if name in old:
            yield from _of_pool(old[name], pool)
        else:
            yield f"{name}: is new in the plan; {pool.message}"


def _of_pool(before: PoolPlan, after: PoolPlan) -> Iterator[str]:
    name = after.pool
    if (before.verdict, before.reason) != (after.verdict, after.reason):
        yield f"{name}: {before.verdict} has become {after.verdict}: {after.message}"
    if before.ring != after.ring:
        yield f"{name}: ring {before.ring or '(none)'} has become {after.ring or '(none)'}"
    if before.limits and after.limits:
        yield from (f"{name}: {difference}" for difference in _of_limits(before.limits, after.limits))
    old = {host.host: host for host in before.hosts}
    new = {host.host: host for host in after.hosts}
    yield from _named(name, "has", "have", "gone", [host for host in old if host not in new])
    yield from _named(name, "is", "are", "new", [host for host in new if host not in old])
    both = [host for host in new if host in old]
    yield from _named(name, "would", "would", "now be replaced", [h for h in both if new[h].order and not old[h].order])
    yield from _named(
        name, "would", "would", "no longer be replaced", [h for h in both if old[h].order and not new[h].order]
    )
    going = [[h for h in plan if h in old and h in new and old[h].order and new[h].order] for plan in (old, new)]
    if going[0] != going[1]:
        yield f"{name}: the hosts would go in another order, {going[1][0]} first"
    if before.forecast and after.forecast:
        yield from (f"{name}: {difference}" for difference in _of_forecasts(before.forecast, after.forecast))


def _of_limits(before: Limits, after: Limits) -> Iterator[str]:
    for field in ("surge", "max_unavailable", "at_a_time", "max_wave", "reserve"):
        was, is_now = structs.asdict(before)[field], structs.asdict(after)[field]
        if was != is_now:
            yield f"{field} {was} has become {is_now}"


def _of_forecasts(before: PoolForecast, after: PoolForecast) -> Iterator[str]:
    if before.ends != after.ends:
        yield f"of {after.runs} runs {_ends(after)}; before, {_ends(before)}"
    if before.duration and after.duration and _differ(before.duration.p50, after.duration.p50):
        yield f"it would take {_hours(after.duration.p50)} instead of {_hours(before.duration.p50)}"
    was, is_now = before.forced_sign_outs.p50, after.forced_sign_outs.p50
    if _differ(was, is_now) and abs(was - is_now) >= 1:
        yield f"{is_now:.0f} people would be signed out instead of {was:.0f}"


def _ends(forecast: PoolForecast) -> str:
    return ", ".join(f"{count} end as {how}" for how, count in forecast.ends.items())


def _differ(was: float, is_now: float) -> bool:
    return abs(was - is_now) > _WORTH_TELLING * max(was, is_now)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours"


def _named(pool: str, one: str, many: str, what: str, hosts: list[str]) -> Iterator[str]:
    if hosts:
        named = ", ".join(hosts[:_MOST_NAMED])
        rest = f" and {count_of(len(hosts) - _MOST_NAMED, 'more host')}" if len(hosts) > _MOST_NAMED else ""
        yield f"{pool}: {named}{rest} {one if len(hosts) == 1 else many} {what}"
