"""Ready-made estates: one office with a gallery, a host pool, running hosts and people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from simulator import ids
from simulator.estate import Estate
from simulator.host_pools import HostPool, LoadBalancing, PoolType
from simulator.images import GOOD, Flaws, ImageVersion, Takes
from simulator.machines import MachineSpec
from simulator.people import Person
from simulator.scaling_plans import Schedule
from simulator.workload import OFFICE, Workload

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
MONDAY_MORNING = datetime.fromisoformat("2026-11-23T07:00:00+00:00")


@dataclass(slots=True)
class Office:
    """What `office_pool` has built: the ids to ask the estate with, and the objects to look at."""

    estate: Estate
    subscription: str
    group: str
    region: str
    pool: HostPool
    definition_id: str
    people: list[Person]
    spec: MachineSpec

    @property
    def pool_id(self) -> str:
        """The id of the host pool."""
        return self.pool.id

    def version_id(self, name: str) -> str:
        """The id of a version of the office's image definition, published or not."""
        return f"{self.definition_id}/versions/{name}"

    def machine_id(self, name: str) -> str:
        """The id of a machine in the pool's resource group."""
        return ids.machine_id(self.subscription, self.group, name)

    def publish(
        self,
        name: str,
        regions: Sequence[str] | None = None,
        *,
        takes: dict[str, Takes] | None = None,
        flaws: Flaws = GOOD,
        exclude_from_latest: bool = False,
        announced: bool = True,
        replicas: int = 1,
    ) -> ImageVersion:
        """Publish a version to the regions (the office's own by default), one replica each unless there are more."""
        return self.estate.galleries.publish(
            self.version_id(name),
            dict.fromkeys(regions or (self.region,), replicas),
            takes=takes,
            flaws=flaws,
            exclude_from_latest=exclude_from_latest,
            location=self.region,
            announced=announced,
        )

    def publish_replicated(self, name: str, flaws: Flaws = GOOD, replicas: int = 1) -> ImageVersion:
        """Publish a version that has arrived in the office's region the moment it is there."""
        version = self.publish(name, takes={self.region: Takes(timedelta(0))}, flaws=flaws, replicas=replicas)
        self.estate.now()
        return version

    def spec_for(self, name: str, version: str, zone: str = "1") -> MachineSpec:
        """What a new host of this office is made of."""
        return replace(
            self.spec,
            image_id=self.version_id(version),
            zone=zone,
            computer_name=name,
            interface_name=f"{name}-nic",
            disk_name=f"{name}-os",
        )


def office_pool(
    estate: Estate,
    hosts: int = 12,
    people: int | None = None,
    *,
    name: str = "office",
    subscription: str = SUBSCRIPTION,
    group: str | None = None,
    region: str = "westeurope",
    other_regions: Sequence[str] = (),
    image_of: Office | None = None,
    zones: Sequence[str] = ("1", "2", "3"),
    size: str = "Standard_D4as_v5",
    max_session_limit: int = 10,
    load: float = 0.6,
    workload: Workload | Sequence[Workload] = OFFICE,
    load_balancing: LoadBalancing = LoadBalancing.BREADTH_FIRST,
    pool_type: PoolType = PoolType.POOLED,
    management_type: str = "Standard",
    start_vm_on_connect: bool = False,
    powered_off: int = 0,
    drained_by_somebody: int = 0,
    spare_hosts: int | None = None,
    disconnected_limit: timedelta | None = None,
    exclusion_tag: str = "excludeFromScaling",
    scaling_schedules: Sequence[Schedule] = (),
    scaling_zone: str = "UTC",
    current_version: str = "1.0.0",
    host_prefix: str = "avd",
    domain: str = "",
    ephemeral: bool = False,
    delete_attachments: bool = True,
    gallery_subscription: str | None = None,
    tags: dict[str, str] | None = None,
) -> Office:
    """Build a pool of `hosts` running session hosts on `current_version`, spread over `zones`, and the people who use
    it.

    `people` defaults to `load` times the session slots of the running hosts; several workloads share them evenly. The
    last `powered_off` hosts are deallocated; the `drained_by_somebody` before them are in drain mode. `spare_hosts`
    limits the regional quota to the hosts plus as many more; None leaves it endless. Sign-ins of the build are not
    counted. A scaling plan with `exclusion_tag` is always there; it acts when `scaling_schedules` says what it does.
    """
    group = group or f"rg-{name}"
    gallery_home = gallery_subscription or subscription
    estate.add_group(subscription, group)
    estate.add_group(gallery_home, "rg-images")
    pool_id = ids.pool_id(subscription, group, f"hp-{name}")
    with estate.acting_as("builder"):
        if image_of is not None:
            definition_id = image_of.definition_id
        else:
            definition_id = _gallery(estate, gallery_home, name, region, (region, *other_regions), current_version)
        pool = estate.pools.create(
            pool_id,
            region,
            pool_type=pool_type,
            load_balancing=LoadBalancing.PERSISTENT if pool_type is PoolType.PERSONAL else load_balancing,
            max_session_limit=max_session_limit,
            management_type=management_type,
            start_vm_on_connect=start_vm_on_connect,
            disconnected_limit=disconnected_limit,
        )
        if exclusion_tag:
            plan_id = (
                f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{ids.DESKTOP}/scalingPlans/sp-{name}"
            )
            plan = estate.pools.add_scaling_plan(plan_id, region, exclusion_tag, [pool_id])
            if scaling_schedules:
                estate.autoscale.follow(plan, scaling_schedules, scaling_zone)
        spec = MachineSpec(
            ids.normalise_region(region),
            f"{definition_id}/versions/{current_version}",
            size,
            tags=tags or {"environment": "production"},
            delete_interface=delete_attachments,
            delete_disk=delete_attachments,
            ephemeral=ephemeral,
            identity=not domain,
        )
        office = Office(estate, subscription, group, ids.normalise_region(region), pool, definition_id, [], spec)
        for index in range(hosts):
            _host(
                office, f"{host_prefix}-{index:03}", current_version, zones, index, domain, index < hosts - powered_off
            )
        _drain(office, hosts - powered_off, drained_by_somebody)
        _crowd(office, people, load, (hosts - powered_off) * pool.slots_per_host, workload, name)
    if spare_hosts is not None:
        used = estate.quota.usages(subscription, region)[0][1]
        per_host = used // hosts if hosts else 0
        estate.quota.set_limit(subscription, region, used + spare_hosts * per_host)
    estate.start_counting()
    return office


def _gallery(estate: Estate, subscription: str, name: str, region: str, regions: Sequence[str], version: str) -> str:
    gallery_id = ids.gallery_id(subscription, "rg-images", f"gal_{name}")
    definition_id = f"{gallery_id}/images/win11-{name}"
    estate.galleries.create_gallery(gallery_id, region)
    estate.galleries.create_definition(definition_id, region, sku=f"win11-{name}")
    takes = dict.fromkeys(regions, Takes(timedelta(0)))
    published = estate.galleries.publish(
        f"{definition_id}/versions/{version}", dict.fromkeys(regions, 1), takes=takes, announced=False
    )
    estate.now()
    published.published_at -= timedelta(days=30)
    return definition_id


def _host(
    office: Office, name: str, version: str, zones: Sequence[str], index: int, domain: str, running: bool
) -> None:
    spec = office.spec_for(name, version, zones[index % len(zones)] if zones else "")
    machine = office.estate.machines.place(office.machine_id(name), spec, running=running)
    office.estate.hosts.place(machine, office.pool, joined_as=f"{name}.{domain}" if domain else name)


def _drain(office: Office, running: int, count: int) -> None:
    with office.estate.acting_as("somebody"):
        for host in list(office.pool.hosts.values())[running - count : running]:
            office.estate.hosts.update(office.pool_id, host.name, allow_new_session=False)


def _crowd(
    office: Office, people: int | None, load: float, slots: int, workload: Workload | Sequence[Workload], name: str
) -> None:
    workloads = [workload] if isinstance(workload, Workload) else list(workload)
    wanted = round(load * slots) if people is None else people
    for index, kind in enumerate(workloads):
        share = wanted // len(workloads) + (1 if index < wanted % len(workloads) else 0)
        prefix = name if len(workloads) == 1 else f"{name}-{kind.pattern}-{index}"
        office.people += office.estate.people.add(office.pool_id, share, kind, prefix)
