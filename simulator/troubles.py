"""What others do to a pool while it is rolled: one function each, listed at the end.

A trouble acts at its moment (see Situation.troubles) on the scene as it is then; one that finds nothing to act on does
nothing. To add one, write the function and add it to the list.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from rollout.commands import Command
from rollout.model import Stage
from simulator.errors import AzureError
from simulator.session_hosts import FATAL_CHECKS
from simulator.world import ADMINISTRATOR, AUTOSCALE

if TYPE_CHECKING:
    from simulator.host_pools import SessionHost
    from simulator.scene import Scene


def somebody_deletes_an_idle_host(scene: Scene) -> None:
    """A host that the rollout has not in hand disappears, its record too."""
    _delete(scene, _pick(scene, lambda host: host.name not in scene.state.in_hand))


def somebody_deletes_a_draining_host(scene: Scene) -> None:
    """A host that people are leaving disappears under the rollout's hands."""
    _delete(scene, _pick(scene, lambda host: _stage(scene, host.name) in (Stage.DRAINING, Stage.REMOVING)))


def somebody_deletes_a_new_host(scene: Scene) -> None:
    """A VM that the rollout is making disappears, registered or not."""
    new = [name for name in scene.state.in_hand if _stage(scene, name) in (Stage.PROVISIONING, Stage.JOINING)]
    new += [name for name in scene.state.in_hand if _stage(scene, name) is Stage.VERIFYING]
    if new:
        name = scene.rng.choice(new)
        scene.estate.machines.delete(scene.office.machine_id(name))
        if name in scene.pool.hosts:
            scene.estate.hosts.delete(scene.pool.id, name, force=True)


def somebody_deletes_a_machine_and_leaves_its_record(scene: Scene) -> None:
    """The pool keeps a registration whose VM is gone."""
    host = _pick(scene, lambda host: True)
    if host is not None and host.machine is not None:
        scene.estate.machines.delete(host.machine.id)


def somebody_adds_a_host(scene: Scene) -> None:
    """A host on the old version joins the pool, made by hand."""
    scene.add_host(f"manual-{scene.rng.randrange(100, 999)}")


def autoscale_flips_drain_modes(scene: Scene) -> None:
    """Autoscale flips the drain mode of half of the hosts that do not carry its exclusion tag."""
    moment = scene.estate.now() + timedelta(seconds=1)
    scene.estate.interference.autoscale_flips_drain_mode(moment, scene.pool.id)


def somebody_drains_a_host(scene: Scene) -> None:
    """An administrator takes a host out of service for reasons of their own."""
    host = _pick(scene, lambda host: host.allow_new_session)
    if host is not None:
        scene.estate.hosts.update(scene.pool.id, host.name, allow_new_session=False)


def somebody_ends_a_drain(scene: Scene) -> None:
    """An administrator turns drain mode off, also on a host that the rollout drains."""
    host = _pick(scene, lambda host: not host.allow_new_session)
    if host is not None:
        scene.estate.hosts.update(scene.pool.id, host.name, allow_new_session=True)


def somebody_switches_a_host_off(scene: Scene) -> None:
    """An administrator deallocates a host that the rollout has not in hand."""
    host = _pick(scene, lambda host: host.name not in scene.state.in_hand and not host.sessions)
    if host is not None and host.machine is not None:
        _attempt(lambda: scene.estate.machines.deallocate(host.machine_id))


def somebody_switches_a_host_on(scene: Scene) -> None:
    """An administrator starts a host that was switched off."""
    host = _pick(scene, lambda host: host.machine is not None and not host.machine.running)
    if host is not None:
        _attempt(lambda: scene.estate.machines.start(host.machine_id))


def the_quota_is_too_small_for_a_while(scene: Scene) -> None:
    """The region's quota falls to what is in use, and is raised again three hours later."""
    region, subscription = scene.office.region, scene.office.subscription
    used = scene.estate.quota.usages(subscription, region)[0][1]
    scene.estate.quota.set_limit(subscription, region, used)
    raised = scene.estate.now() + timedelta(hours=3)
    scene.estate.interference.set_quota(raised, subscription, region, 1_000_000)


def the_stock_runs_out_for_a_while(scene: Scene) -> None:
    """No zone has room for another VM of the pool's size for an hour."""
    quota, region, size = scene.estate.quota, scene.office.region, scene.office.spec.size

    def set_stock(machines: int | None) -> None:
        for zone in ("", "1", "2", "3"):
            quota.set_stock(region, size, zone, machines)

    set_stock(0)
    scene.estate.at(scene.estate.now() + timedelta(hours=1), lambda: set_stock(None))


def somebody_deletes_the_version(scene: Scene) -> None:
    """The image version that is being rolled out is deleted from the gallery."""
    scene.estate.galleries.delete_version(scene.target)


def somebody_deletes_the_pool(scene: Scene) -> None:
    """The whole host pool is deleted; its machines stay."""
    scene.estate.pools.delete(scene.pool.id, force=True)


def a_newer_version_is_published(scene: Scene) -> None:
    """A newer version waits for the pool: the rollout is told to make way."""
    scene.superseded_by = scene.office.version_id("1.3.0")


def an_operator_pauses_for_a_while(scene: Scene) -> None:
    """Somebody tells the rollout to stand still, and hours later to go on."""

    def resume() -> None:
        scene.command = None if scene.command is pause else scene.command

    if scene.command is None:
        scene.command = pause = Command("pause", "an operator")
        scene.estate.at(scene.estate.now() + timedelta(hours=scene.rng.uniform(0.2, 6)), resume, by=ADMINISTRATOR)


def an_operator_aborts(scene: Scene) -> None:
    """Somebody ends the rollout for good."""
    scene.command = Command("abort", "an operator")


def an_operator_skips_a_host(scene: Scene) -> None:
    """Somebody wants a host to be left alone, whatever the rollout is doing with it."""
    host = _pick(scene, lambda host: True)
    if host is not None:
        scene.tell("skip", host.name)


def an_operator_retries_a_host(scene: Scene) -> None:
    """Somebody has mended a host that was set aside, if there is one, and wants another attempt; or another host."""
    aside = [*scene.state.skipped, *scene.state.quarantined]
    host = scene.rng.choice(aside) if aside else None
    picked = _pick(scene, lambda host: True)
    if host or picked:
        scene.tell("retry", host or (picked.name if picked else ""))


def an_operator_retries_all(scene: Scene) -> None:
    """Somebody does not want the rollout to wait for its next attempts."""
    scene.tell("retry")


def a_host_falls_ill(scene: Scene) -> None:
    """A host's health check fails, and recovers an hour later."""
    host = _pick(scene, lambda host: True)
    if host is not None:
        name, hosts = host.name, scene.estate.hosts
        hosts.set_health(scene.pool.id, name, FATAL_CHECKS[-1], "it stopped working")
        later = scene.estate.now() + timedelta(hours=1)
        scene.estate.at(later, lambda: _attempt(lambda: hosts.set_health(scene.pool.id, name, FATAL_CHECKS[-1], None)))


def everybody_comes_at_once(scene: Scene) -> None:
    """A third more people than usual sign in within minutes and stay for hours."""
    crowd = max(1, round(0.3 * scene.situation.max_session_limit * len(scene.pool.hosts)))
    scene.rush(crowd)


def the_session_limit_is_lowered(scene: Scene) -> None:
    """Hosts may carry fewer sessions than some of them do."""
    scene.estate.pools.set_limit(scene.pool.id, max(1, scene.pool.max_session_limit // 2))


TROUBLES: dict[str, tuple[Callable[[Scene], None], str]] = {
    trouble.__name__: (trouble, by)
    for trouble, by in (
        (somebody_deletes_an_idle_host, ADMINISTRATOR),
        (somebody_deletes_a_draining_host, ADMINISTRATOR),
        (somebody_deletes_a_new_host, ADMINISTRATOR),
        (somebody_deletes_a_machine_and_leaves_its_record, ADMINISTRATOR),
        (somebody_adds_a_host, ADMINISTRATOR),
        (autoscale_flips_drain_modes, AUTOSCALE),
        (somebody_drains_a_host, ADMINISTRATOR),
        (somebody_ends_a_drain, ADMINISTRATOR),
        (somebody_switches_a_host_off, ADMINISTRATOR),
        (somebody_switches_a_host_on, ADMINISTRATOR),
        (the_quota_is_too_small_for_a_while, ADMINISTRATOR),
        (the_stock_runs_out_for_a_while, ADMINISTRATOR),
        (somebody_deletes_the_version, ADMINISTRATOR),
        (somebody_deletes_the_pool, ADMINISTRATOR),
        (a_newer_version_is_published, ADMINISTRATOR),
        (an_operator_pauses_for_a_while, ADMINISTRATOR),
        (an_operator_aborts, ADMINISTRATOR),
        (a_host_falls_ill, ADMINISTRATOR),
        (everybody_comes_at_once, ADMINISTRATOR),
        (the_session_limit_is_lowered, ADMINISTRATOR),
    )
}
"""Every trouble by its name, with whom the journal shall blame."""


COMMANDS: dict[str, tuple[Callable[[Scene], None], str]] = {
    trouble.__name__: (trouble, ADMINISTRATOR)
    for trouble in (an_operator_skips_a_host, an_operator_retries_a_host, an_operator_retries_all)
}
"""The same of what operators tell the rollout about hosts, drawn beside the troubles."""


def _pick(scene: Scene, fits: Callable[[SessionHost], bool]) -> SessionHost | None:
    """One host of the pool that has a machine and fits, by chance."""
    hosts = [host for host in scene.pool.hosts.values() if host.machine is not None and fits(host)]
    return scene.rng.choice(hosts) if hosts else None


def _stage(scene: Scene, name: str) -> Stage | None:
    progress = scene.state.in_hand.get(name)
    return progress.stage if progress else None


def _delete(scene: Scene, host: SessionHost | None) -> None:
    if host is not None:
        scene.estate.machines.delete(host.machine_id)
        scene.estate.hosts.delete(scene.pool.id, host.name, force=True)


def _attempt(act: Callable[[], object]) -> None:
    """Whoever is refused, because somebody works on the machine or the pool is gone, gives up."""
    try:
        act()
    except AzureError:
        return
