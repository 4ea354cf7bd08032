"""The policy file `goldroll.yaml`: its model. See policy_file.py for reading and validating one.

Durations are ISO 8601 ("PT30M"), recurrences RFC 5545 ("FREQ=WEEKLY;BYDAY=SA"), zones IANA ("Europe/Zurich").
Amounts of hosts are a count (3) or a percentage of the pool's hosts ("25%").
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from rollout.model import definition_of, version_of
from rollout.presets import PresetName

Amount = Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=r"^(100|[1-9]?[0-9])%$")]
Percent = Annotated[int, Meta(ge=0, le=100)]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
VersionNumber = Annotated[str, Meta(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
Subscription = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")]
HostPrefix = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,10}$")]
OnMissing = Literal["wait", "go_on", "halt"]
UrnPart = Annotated[str, Meta(pattern=r"^[^/:\s]+$")]
ResourceId = Annotated[str, Meta(pattern=r"^/[^/]+/[^/]+/")]  # in any case; the types are checked in policy_shapes.py
OptionalResourceId = Annotated[str, Meta(pattern=r"^(/[^/]+/[^/]+/|$)")]


def hours(count: float) -> timedelta:
    """A duration of so many hours."""
    return timedelta(hours=count)


def minutes(count: float) -> timedelta:
    """A duration of so many minutes."""
    return timedelta(minutes=count)


class _Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every part of the policy file: unknown keys are errors."""


class CanaryPolicy(_Model, frozen=True):
    """The first hosts on the new version; nothing else is touched before they have been in service for `bake`."""

    hosts: Annotated[int, Meta(ge=1)] = 1
    bake: timedelta = minutes(30)


class NoticeText(_Model, frozen=True):
    """What people read. `{deadline}` is a time in the pool's zone, `{minutes}` what is left, `{pool}` its name."""

    title: str = "Please save your work"
    body: str = (
        "This desktop will be replaced. Please save your work and sign out before {deadline} ({minutes} minutes from "
        "now); signing in again takes you to an updated desktop."
    )
    withdrawn_title: str = "You can keep working"
    withdrawn_body: str = "The replacement of this desktop has been put off. You do not need to sign out."


class DrainPolicy(_Model, frozen=True):
    """How people are asked to leave, and what happens to those who do not."""

    grace: timedelta = hours(8)
    reminders: tuple[timedelta, ...] = (minutes(60), minutes(15), minutes(5))
    disconnected_grace: timedelta = minutes(15)
    on_timeout: Literal["sign_out", "wait", "skip"] = "sign_out"
    sign_out_in_window_only: bool = False
    notice: NoticeText = NoticeText()


class HealthPolicy(_Model, frozen=True):
    """When a host on the new version counts as good, and how much failure halts the rollout."""

    settle: timedelta = minutes(5)
    ready_within: timedelta = minutes(45)
    heartbeat_within: timedelta = minutes(10)
    allow_needs_assistance: bool = False
    max_failed_hosts: Annotated[int, Meta(ge=0)] = 1
    max_unhealthy_percent: Percent = 20
    max_unhealthy_current_percent: Percent = 20


class Window(_Model, frozen=True):
    """A span in which work may start: `duration` from each occurrence of `recurrence` at `start` in `zone`."""

    zone: str
    recurrence: str
    start: TimeOfDay
    duration: timedelta


class EntraJoin(_Model, frozen=True, tag="entra", tag_field="type"):
    """Join new hosts to Microsoft Entra ID, optionally enrolling them in Intune."""

    intune: bool = False


class ActiveDirectoryJoin(_Model, frozen=True, tag="active_directory", tag_field="type"):
    """Join new hosts to an Active Directory domain. The password stays in Key Vault: the VM fetches it from there."""

    domain: str
    user: str
    password_secret_url: Annotated[str, Meta(pattern=r"^https://[^/]+/secrets/.+")]
    key_vault_id: ResourceId
    organizational_unit: str = ""


class SessionHostTemplate(_Model, frozen=True):
    """How new VMs are made. What is left empty is taken from the host that is replaced."""

    name_prefix: HostPrefix
    subnet_id: ResourceId
    join: EntraJoin | ActiveDirectoryJoin
    resource_group_id: str = ""
    vm_size: str = ""
    os_disk_type: str = ""
    ephemeral_placement: Literal["", "CacheDisk", "ResourceDisk", "NvmeDisk"] = ""
    security_type: str = ""
    license_type: str = ""
    accelerated_networking: bool = True
    admin_username: str = "goldroll"
    agent_package_url: str = (
        "https://wvdportalstorageblob.blob.core.windows.net/galleryartifacts/Configuration_1.0.03519.1433.zip"
    )
    tags: dict[str, str] = {}


class ReplicationPolicy(_Model, frozen=True):
    """How long a version may take to reach a region, and regions it must reach besides those of the pools.

    A replica carries `vms_per_replica` VMs that are created at once. Where the largest wave of a rollout wants more
    replicas than the version has, `raise_replicas` lets the rollout raise their number, and puts it back at the end;
    without it fewer VMs are created at once. With `add_regions` the version is copied to the regions of a ring's host
    pools when the ring's turn comes, and to `regions` when the first ring has passed: see geography.py.

    `on_missing` decides about a region that has failed, is late or is none of the `approved_regions` (an empty list
    approves of every region): `wait` for it as long as it takes, `go_on` without the pools there, or `halt`, so that
    no further pool is started. `on_missing_in` says otherwise for single regions.
    """

    deadline: timedelta = hours(6)
    regions: tuple[str, ...] = ()
    on_missing: OnMissing = "go_on"
    on_missing_in: dict[str, OnMissing] = {}
    approved_regions: tuple[str, ...] = ()
    vms_per_replica: Annotated[int, Meta(ge=1, le=1000)] = 20
    raise_replicas: bool = False
    add_regions: bool = False


class SchedulePolicy(_Model, frozen=True):
    """When versions of an image are rolled out: on each day of `recurrence`, or so many days after Patch Tuesday.

    At `start` in `zone` the newest version that is at least `min_age` old by then is rolled out, unless it has been.
    Publishing a version starts nothing by itself, unless `also_on_publish`. `missed` says what becomes of runs that
    nobody was there to start: one rollout for all of them, or none.
    """

    zone: str
    start: TimeOfDay
    recurrence: str = ""
    days_after_patch_tuesday: Annotated[int, Meta(ge=0, le=27)] | None = None
    min_age: timedelta = timedelta(0)
    missed: Literal["catch_up", "skip"] = "catch_up"
    also_on_publish: bool = False


class MarketplaceImage(_Model, frozen=True):
    """An image of Azure's marketplace: its newest version, or the one that is named."""

    publisher: UrnPart
    offer: UrnPart
    sku: UrnPart
    version: str = "latest"

    @property
    def definition(self) -> str:
        """Publisher, offer and SKU as Azure's tools write them together."""
        return f"{self.publisher}:{self.offer}:{self.sku}"


class RetentionPolicy(_Model, frozen=True):
    """What becomes of image versions that newer ones have overtaken; see retention.py for what is protected.

    `mode` plan only says what would happen, apply does it, once a day. A version is overtaken when `keep` newer ones
    are good; its end of life is `end_of_life_after` its publication and never before the day it is set, and it is
    deleted `delete_after` its end of life, at most `max_deletions` in a run. Its replicas outside `rollback_regions`
    and its home region are removed; no list leaves them all. `pinned` versions are never touched. VMs and scale sets
    that may use the image are looked up in the subscriptions that the policy's ids name, and in `subscriptions`.
    """

    mode: Literal["plan", "apply"] = "plan"
    keep: Annotated[int, Meta(ge=1, le=100)] = 3
    end_of_life_after: timedelta = timedelta(days=90)
    delete_after: timedelta = timedelta(days=30)
    max_deletions: Annotated[int, Meta(ge=1, le=20)] = 5
    rollback_regions: tuple[str, ...] = ()
    pinned: tuple[VersionNumber, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class RingStart(_Model, frozen=True):
    """When a ring may start: `after` its turn has come, and only while one of `windows` is open (no list: always).

    Its turn comes when the ring before it has passed its gates; that of the first ring when the rollout starts.
    """

    after: timedelta = timedelta(0)
    windows: tuple[Window, ...] = ()


class ApprovalGate(_Model, frozen=True):
    """A person's yes, asked for when the ring's host pools are done; `deadline` counts from then.

    `roles` (in any case of letters) may answer; with `other_than_starter` not who has started the rollout.
    """

    deadline: timedelta = timedelta(days=3)
    on_timeout: Literal["wait", "reject", "approve"] = "wait"
    roles: tuple[str, ...] = ("Approver",)
    other_than_starter: bool = False


class HealthGate(_Model, frozen=True):
    """The ring's hosts on the new version, judged by each pool's `health` when the other gates hold.

    Too many unhealthy ones, or none that could be judged, have `within` to get better.
    """

    max_unhealthy_percent: Percent = 0
    within: timedelta = hours(2)


class SmokeTestGate(_Model, frozen=True):
    """A PowerShell script that runs in the guest of one host of each pool; exit code 0 means that it can serve.

    Azure ends it after `timeout`. A pool has `within` to have a host that can run it.
    """

    script: Annotated[str, Meta(max_length=4000)]
    timeout: timedelta = minutes(15)
    within: timedelta = hours(2)


class QueryGate(_Model, frozen=True):
    """A Log Analytics query, asked when smoke test, soak and approval hold: one number, at most or at least so much.

    The number is the first column of the first row of the first table; everything else is left aside. It looks at the
    last `timespan`, or at all since the ring's first host pool was started. A number that does not hold yet has
    `within` to do so, and is asked for `every` so often. No row, an empty cell or a number that is not finite is no
    data; `on_no_data` says what becomes of a ring that still has none after `within`. A query that Log Analytics
    cannot understand, or whose answer is no number, fails the ring at once, except with `wait`; one that is not
    answered within `within` fails it too. Neither ever passes.
    """

    workspace_id: str
    query: Annotated[str, Meta(max_length=4000)]
    at_most: float | None = None
    at_least: float | None = None
    timespan: timedelta | None = None
    within: timedelta = hours(2)
    every: timedelta = minutes(15)
    on_no_data: Literal["fail", "pass", "wait"] = "fail"


class SignInFailuresGate(_Model, frozen=True):
    """A ready-made query: percent of the sign-ins to the ring's host pools that have failed since they were done.

    Fewer than `least_sign_ins` are no data: that nobody has failed to sign in says little when nobody has tried.
    """

    workspace_id: str
    at_most_percent: Percent = 5
    least_sign_ins: Annotated[int, Meta(ge=1)] = 20
    within: timedelta = hours(10)
    every: timedelta = hours(1)
    on_no_data: Literal["fail", "pass", "wait"] = "fail"


class GatesPolicy(_Model, frozen=True):
    """What must hold, besides its host pools' success, before a ring counts as passed. All of it."""

    soak: timedelta = timedelta(0)
    smoke_test: SmokeTestGate | None = None
    approval: ApprovalGate | None = None
    health: HealthGate | None = None
    sign_in_failures: SignInFailuresGate | None = None
    queries: dict[str, QueryGate] = {}


class RingPolicy(_Model, frozen=True):
    """Host pools that get a version together, after the rings before this one have passed.

    At most `concurrency` of them are rolled at the same time, all at once when it is not set.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    host_pools: tuple[str, ...]
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    start: RingStart = RingStart()
    gates: GatesPolicy = GatesPolicy()


class ImagePolicy(_Model, frozen=True):
    """An image whose new versions are rolled out, as they are published or on a `schedule`.

    One of three says which: a gallery image definition, one `version_id` of such a definition, or a marketplace image.

    `include_excluded` also rolls out versions that are excluded from latest. The regular sweep starts a version whose
    event was lost if it was published at most `sweep_lookback` ago. `rings` say in which order host pools get a
    version; without them all of them get it at once. With `latest` "earned" a version is excluded from latest until it
    has passed its last ring, and versions that are excluded are rolled out as well.
    """

    name: str
    definition_id: OptionalResourceId = ""
    version_id: OptionalResourceId = ""
    marketplace: MarketplaceImage | None = None
    include_excluded: bool = False
    replication: ReplicationPolicy = ReplicationPolicy()
    sweep_lookback: timedelta = timedelta(days=3)
    retention: RetentionPolicy = RetentionPolicy()
    latest: Literal["as_published", "earned"] = "as_published"
    rings: tuple[RingPolicy, ...] = ()
    schedule: SchedulePolicy | None = None

    @property
    def definition(self) -> str:
        """What its versions are versions of: a gallery image definition's id, or publisher:offer:sku."""
        if self.marketplace is not None:
            return self.marketplace.definition
        return self.definition_id or definition_of(self.version_id)

    @property
    def only_version(self) -> str:
        """The id of the one version that the policy names, "" when it follows what is published."""
        if self.marketplace is not None:
            fixed = self.marketplace.version
            return "" if fixed == "latest" else version_of(self.marketplace.definition, fixed)
        return self.version_id


class PeoplePolicy(_Model, frozen=True):
    """What a plan's forecast assumes about the people of a pool; a rollout itself goes by what it sees.

    `begins` and `ends` are when they come and leave on a working day, in the pool's zone, ignored where they work
    around the clock: there a session lasts `session`. `usual_load` is how many of the session slots are in use on a
    working day, where the plan is made at another time. The others are shares of the people in percent.
    """

    work: Literal["office", "around_the_clock"] = "office"
    begins: TimeOfDay = "08:30"
    ends: TimeOfDay = "17:00"
    session: timedelta = hours(8)
    usual_load: Percent = 55
    weekend: Percent = 5
    heed_notice: Percent = 40
    stay_signed_in: Percent = 15


class PoolPolicy(_Model, frozen=True):
    """One host pool and how it is rolled. Every key but the first four has a default, settable under `defaults`.

    `surge` hosts may exist beyond the pool's size, `max_unavailable` may be missing from it (in place at least one),
    so that `surge` + `max_unavailable` hosts are replaced at a time; session slots (`reserve`) bound both.
    `finish_within` (of the start) and `finish_by` (the first such time of day in `zone` at least twelve hours after it)
    say when the rollout shall be over: people are asked to leave as late as that allows, at once when neither is set.
    With `on_failure` "roll_back" a pool whose hosts fail goes back to the version that it had, instead of only halting.
    Hosts that are replaced are kept, switched off, for `retain_outdated`, so that a roll back has them back in minutes.
    The values of a `preset` fill in what the file does not say; in a policy that was read they are in the other keys.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    host_pool_id: ResourceId
    image: str
    session_host: SessionHostTemplate
    zone: str = "UTC"
    preset: PresetName = ""
    strategy: Literal["surge", "in_place"] = "surge"
    surge: Amount = "5%"
    max_unavailable: Amount = 0
    reserve: Percent = 15
    max_wave: Amount = "25%"
    max_creating: Amount = 20
    finish_within: timedelta | None = None
    finish_by: Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")] = ""
    expected_provisioning: timedelta = minutes(25)
    on_newer_version: Literal["supersede", "wait"] = "supersede"
    on_failure: Literal["halt", "roll_back"] = "halt"
    retain_outdated: timedelta = timedelta(0)
    scaling_exclusion_tag: str = ""
    canary: CanaryPolicy = CanaryPolicy()
    drain: DrainPolicy = DrainPolicy()
    health: HealthPolicy = HealthPolicy()
    windows: tuple[Window, ...] = ()
    people: PeoplePolicy = PeoplePolicy()


class Policy(_Model, frozen=True):
    """The whole file, defaults already merged into each pool."""

    images: tuple[ImagePolicy, ...]
    host_pools: tuple[PoolPolicy, ...]


def hosts_of(amount: Amount, pool_size: int, *, at_least: int = 1) -> int:
    """An amount as a number of hosts. Percentages round up: 5 % of 12 hosts is 1, 25 % of 10 hosts is 3."""
    count = amount if isinstance(amount, int) else math.ceil(pool_size * int(amount[:-1]) / 100)
    return max(at_least, count)


def surge_of(policy: PoolPolicy, pool_size: int) -> int:
    """Hosts that may exist beyond the pool's size: none in place, else enough for the canary."""
    return 0 if policy.strategy == "in_place" else max(hosts_of(policy.surge, pool_size), policy.canary.hosts)


def unavailable_of(policy: PoolPolicy, pool_size: int) -> int:
    """Hosts that may be missing from the pool's size at a time: in place at least one."""
    return hosts_of(policy.max_unavailable, pool_size, at_least=1 if policy.strategy == "in_place" else 0)


def hosts_at_a_time(policy: PoolPolicy, pool_size: int) -> int:
    """Hosts that are replaced at a time when nothing else holds them up; so many VMs are created at once at most."""
    creating = hosts_of(policy.max_creating, pool_size)
    return max(1, min(surge_of(policy, pool_size) + unavailable_of(policy, pool_size), creating))
