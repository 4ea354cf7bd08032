"""Which image versions to exclude from latest, to cut back, to give an end of life or to delete, and which to protect.

One rule comes before all others: what is protected is not touched at all, and as long as anything that protects cannot
be read, nothing is. A version is deleted in steps that lie days apart: first it is marked as retired and everybody is
told its end of life, and only some time after both it goes. So a version that a host was replaced on an hour ago, and
that a roll back may need, is there for all that time, however long ago its publisher has let its life end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct, structs

from rollout.model import ImageVersion, count_of, normalise_region, short_version, version_number
from rollout.policy import RetentionPolicy
from rollout.verdicts import BAD, Verdict, finding_of, verdict_of

RETIRED_TAG = "goldroll-retired-at"
"""Tag of an image version: when it was found overtaken, needed by nobody, as ISO 8601 in UTC."""

MOST_CHANGES = 10
"""Versions that are changed, rather than deleted, in one run at most. Each is read again, and so are its users, before
its replicas are removed."""

MOST_NAMED = 3
"""Users of a version that are named in a sentence; the others are counted."""

_AT_WORK = frozenset({"Creating", "Updating", "Migrating"})
"""Provisioning states in which Azure is at work on a version: it is left alone until that is over."""

Number = tuple[int, int, int]


class VersionUsers(Struct, frozen=True, omit_defaults=True):
    """Who uses one image version: how many VMs (those of scale sets too), how many scale sets, some of their names."""

    machines: int = 0
    scale_sets: int = 0
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For example: 2 VMs and 1 scale set (avd-001, avd-002, vmss-web)."""
        counts = [(self.machines, "VM"), (self.scale_sets, "scale set")]
        told = " and ".join(count_of(count, thing) for count, thing in counts if count)
        more = ", ..." if self.machines + self.scale_sets > len(self.names) else ""
        return f"{told} ({', '.join(self.names)}{more})" if self.names else told


class RetentionSnapshot(Struct, frozen=True, omit_defaults=True):
    """An image definition's versions as Azure showed them at `observed_at`, and who uses them.

    `users` and `running` have the versions' numbers as keys ("1.2.3"); `running` names the rollout that is under way.
    `followers` are scale sets that name no version: what they make next in their region (the key) is the latest one.
    `unreadable` says, in a sentence for each, what of that could not be read. `restorable_days`: so long a deleted
    version can be restored, 0 when the gallery has no soft delete. `shared`: others whom the app cannot see may use it.
    """

    definition_id: str
    observed_at: datetime
    versions: tuple[ImageVersion, ...] = ()
    users: dict[str, VersionUsers] = {}
    followers: dict[str, VersionUsers] = {}
    running: dict[str, str] = {}
    unreadable: tuple[str, ...] = ()
    restorable_days: int = 0
    shared: bool = False


class ChangeVersion(Struct, frozen=True, tag=True, omit_defaults=True):
    """Mark a version as retired, exclude it from latest, set its end of life, remove its replicas in `drop_regions`.

    What is not set stays as it is. `published_at` tells the version from another one that is published under its number
    later.
    """

    version: str
    version_id: str
    reason: str
    published_at: datetime | None = None
    retired_at: datetime | None = None
    exclude: bool = False
    end_of_life: datetime | None = None
    drop_regions: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What is done, for people."""
        parts = [
            "retired" if self.retired_at else "",
            "excluded from latest" if self.exclude else "",
            f"end of life {self.end_of_life:%Y-%m-%d}" if self.end_of_life else "",
            f"replicas removed from {', '.join(self.drop_regions)}" if self.drop_regions else "",
        ]
        return ", ".join(part for part in parts if part)


class DeleteVersion(Struct, frozen=True, tag=True, omit_defaults=True):
    """Delete a version."""

    version: str
    version_id: str
    reason: str
    published_at: datetime | None = None

    @property
    def told(self) -> str:
        """What is done, for people."""
        return "deleted"


RetentionStep = ChangeVersion | DeleteVersion


class VersionPlan(Struct, frozen=True, omit_defaults=True):
    """What happens to one version and why, in one sentence. No `step`: it stays as it is.

    `is_overtaken`: it is bad, or enough newer versions are good; it stays for the reason that is given only. `put_off`:
    the step waits for a later run, as this one has enough of them.
    """

    version: str
    verdict: Verdict
    reason: str
    is_protected: bool = False
    is_overtaken: bool = False
    step: RetentionStep | None = None
    put_off: bool = False


class RetentionPlan(Struct, frozen=True, omit_defaults=True):
    """The plan of one run: every version, the newest first. `held` says why nothing at all is retired, "" otherwise.

    `is_blind`: it is held because something could not be read, which may be better in a while. `notes` are sentences
    that concern all versions.
    """

    observed_at: datetime
    versions: tuple[VersionPlan, ...] = ()
    held: str = ""
    is_blind: bool = False
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[RetentionStep, ...]:
        """The steps of this run in their order: changes first, bad versions before old ones, then deletions."""
        due = [plan.step for plan in reversed(self.versions) if plan.step is not None and not plan.put_off]
        bad = {plan.version for plan in self.versions if plan.verdict in BAD}
        return tuple(sorted(due, key=lambda step: _urgency(step, bad)))

    def of(self, version: str) -> VersionPlan | None:
        """What the plan says of a version, None when there is no such version."""
        return next((plan for plan in self.versions if plan.version == version), None)


def plan_retention(snapshot: RetentionSnapshot, policy: RetentionPolicy, now: datetime) -> RetentionPlan:
    """What becomes of every version of the definition at `now`.

    Carrying the steps out and planning again plans none of them again; with the same input the plan is the same.
    """
    planner = _Planner(snapshot, policy, now)
    plans = tuple(planner.plan(version) for version in planner.newest_first)
    return RetentionPlan(
        snapshot.observed_at, _bounded(plans, policy), planner.held, bool(snapshot.unreadable), tuple(planner.notes())
    )


def retired_at(tags: Mapping[str, str]) -> datetime | None:
    """When a version was marked as retired, None when it is not, or by something that is no time."""
    text = next((value for name, value in tags.items() if name.lower() == RETIRED_TAG), "")
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read.replace(tzinfo=UTC) if read.tzinfo is None else read).astimezone(UTC)


def as_retired(tags: Mapping[str, str], at: datetime) -> dict[str, str]:
    """The tags of a version that is marked as retired at `at`; every other tag stays."""
    others = {name: value for name, value in tags.items() if name.lower() != RETIRED_TAG}
    return others | {RETIRED_TAG: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def same_step(one: RetentionStep, other: RetentionStep | None) -> bool:
    """Both do the same to the same version, whatever sentence goes with it."""
    return other is not None and structs.replace(one, reason="") == structs.replace(other, reason="")


def is_carried_out(step: RetentionStep, version: ImageVersion | None) -> bool:
    """Nothing is left to do: an earlier attempt, whose answer was lost, has done it."""
    if isinstance(step, DeleteVersion):
        return version is None or version.provisioning == "Deleting"
    return (
        version is not None
        and (step.retired_at is None or retired_at(version.tags) is not None)
        and (version.exclude_from_latest or not step.exclude)
        and (step.end_of_life is None or version.end_of_life == step.end_of_life)
        and not set(step.drop_regions) & set(version.regions)
    )


class _Planner:
    """The rules, for one snapshot."""

    def __init__(self, snapshot: RetentionSnapshot, policy: RetentionPolicy, now: datetime) -> None:
        self._snapshot = snapshot
        self._policy = policy
        self._now = now
        numbered = [version for version in snapshot.versions if version_number(version.id) is not None]
        self.newest_first = sorted(numbered, key=_number, reverse=True)
        self._good = [version for version in self.newest_first if verdict_of(version.tags) is Verdict.GOOD]
        self._rollback = self._rollback_targets()
        self._latest = self._latest_of_all()
        self.held = self._why_held()

    def _why_held(self) -> str:
        if self._snapshot.unreadable:
            return "nothing is changed, because who uses the versions is not fully known: " + "; ".join(
                self._snapshot.unreadable
            )
        return "" if self._good else "nothing is retired, because no version has been proven good yet"

    def notes(self) -> Iterator[str]:
        if self._snapshot.shared:
            yield "the gallery is shared with others, whose VMs and scale sets are not known here"
        if self._snapshot.restorable_days:
            days = count_of(self._snapshot.restorable_days, "day")
            yield f"the gallery has soft delete: what is deleted can be restored for {days}"

    def plan(self, version: ImageVersion) -> VersionPlan:
        """What becomes of one version."""
        protections = list(self._protections(version))
        if protections:
            return self._kept(version, ", and ".join(protections), is_protected=True)
        if version.provisioning == "Deleting":
            return self._kept(version, "it is being deleted")
        if version.provisioning in _AT_WORK:
            return self._kept(version, f"Azure is at work on it ({version.provisioning})")
        why = self._why_retired(version)
        if not why:
            return self._kept(version, f"fewer than {count_of(self._policy.keep, 'good version')} are newer")
        if not self._good:
            exclusion = self._exclusion(version, why)
            return self._planned(version, exclusion) if exclusion else self._kept(version, f"{why}, but {self.held}")
        step = self._deletion(version, why) or self._change(version, why)
        if step is None:
            return self._kept(version, f"{why}; {self._what_is_next(version)}")
        return self._planned(version, step)

    def _planned(self, version: ImageVersion, step: RetentionStep) -> VersionPlan:
        if self._snapshot.unreadable:
            return self._kept(version, f"{step.reason} is what would follow, but {self.held}")
        return VersionPlan(step.version, verdict_of(version.tags), step.reason, is_overtaken=True, step=step)

    def _kept(self, version: ImageVersion, reason: str, *, is_protected: bool = False) -> VersionPlan:
        is_overtaken = bool(self._why_retired(version))
        return VersionPlan(short_version(version.id), verdict_of(version.tags), reason, is_protected, is_overtaken)

    # --------------------------------------------------------------------------------------------- what is protected

    def _protections(self, version: ImageVersion) -> Iterator[str]:
        """Why the version must not be touched, a part of a sentence for each reason."""
        number, verdict = short_version(version.id), verdict_of(version.tags)
        if number in self._policy.pinned:
            yield "the policy pins it"
        if users := self._snapshot.users.get(number):
            yield f"it is used by {users}"
        if rollout := self._snapshot.running.get(number):
            yield f"{rollout} is rolling it out"
        if verdict is Verdict.UNREADABLE:
            yield "its verdict cannot be read"
        if self._good and version is self._good[0]:
            yield "it is the last good version"
        elif version in self._good[: self._policy.keep]:
            yield f"it is one of the last {self._policy.keep} good versions"
        if of := self._rollback.get(number):
            yield f"it is what {of} would be rolled back to"
        if verdict is Verdict.UNPROVEN and self._is_newer_than_good(version):
            yield "it may yet be proven good"
        if number in self._latest:
            yield f"it is what latest means{self._latest[number]}"

    def _is_newer_than_good(self, version: ImageVersion) -> bool:
        return not self._good or _number(version) > _number(self._good[0])

    def _rollback_targets(self) -> dict[str, str]:
        """The good versions right below the last good one and below what is being rolled out -> that version."""
        tops = [short_version(version.id) for version in self._good[:1]] + sorted(self._snapshot.running)
        targets: dict[str, str] = {}
        for top in tops:
            below = [version for version in self._good if _number(version) < _parsed(top)]
            if below:
                targets.setdefault(short_version(below[0].id), top)
        return targets

    def _latest_of_all(self) -> dict[str, str]:
        """The versions that `latest` means: of the definition, and in each region where scale sets go by it."""
        found = dict.fromkeys(self._latest_in(""), "")
        for region, followers in sorted(self._snapshot.followers.items()):
            for number in self._latest_in(region):
                found[number] = f"{found.get(number, '')} in {region} for {followers}"
        return found

    def _latest_in(self, region: str) -> Iterator[str]:
        """The latest version of a region, of all regions when there is none given; bad ones are on their way out of it.

        Lists do not tell how far a version has been copied, so one that Azure is not done with shares the place with
        the next below it.
        """
        for version in self.newest_first:
            replica = version.regions.get(region)
            if version.exclude_from_latest or (region and (replica is None or replica.excluded)):
                continue
            if verdict_of(version.tags) in BAD or version.provisioning == "Deleting":
                continue
            yield short_version(version.id)
            if version.provisioning == "Succeeded":
                return

    # ------------------------------------------------------------------------------------------- what becomes of others

    def _why_retired(self, version: ImageVersion) -> str:
        """Why the version is overtaken, "" when it is not."""
        verdict = verdict_of(version.tags)
        if verdict in BAD:
            told = finding_of(version.tags).reason
            word = "it has failed" if verdict is Verdict.FAILED else "it was vetoed"
            return f"{word} ({told.rstrip('.')})" if told else word
        newer = sum(_number(good) > _number(version) for good in self._good)
        return (
            f"{count_of(newer, 'newer version')} {'is' if newer == 1 else 'are'} good"
            if newer >= self._policy.keep
            else ""
        )

    def _deletion(self, version: ImageVersion, why: str) -> DeleteVersion | None:
        due = self._deletion_due(version)
        if due is None or self._now < due:
            return None
        end = version.end_of_life or due
        reason = f"{why}, and its end of life was {end:%Y-%m-%d}: deleted"
        return DeleteVersion(short_version(version.id), version.id, reason, version.published_at)

    def _deletion_due(self, version: ImageVersion) -> datetime | None:
        """When the version goes: an age after its end of life and after it was marked; None while either is missing."""
        end, marked = version.end_of_life, retired_at(version.tags)
        return None if end is None or marked is None else max(end, marked) + self._policy.delete_after

    def _exclusion(self, version: ImageVersion, why: str) -> ChangeVersion | None:
        """Nothing else has to be known of a bad version to keep it out of latest, and it can be taken back."""
        if version.exclude_from_latest:
            return None
        return _change(version, why, exclude=True)

    def _change(self, version: ImageVersion, why: str) -> ChangeVersion | None:
        end_of_life = None if version.end_of_life else self._end_of_life(version)
        dropped = () if version.keeps_regions else self._surplus_regions(version)
        marked = self._now if retired_at(version.tags) is None else None
        exclude = not version.exclude_from_latest
        if not (marked or exclude or end_of_life or dropped):
            return None
        return _change(version, why, marked=marked, exclude=exclude, end_of_life=end_of_life, dropped=dropped)

    def _end_of_life(self, version: ImageVersion) -> datetime:
        published = version.published_at or self._now
        return max(published + self._policy.end_of_life_after, self._now)

    def _surplus_regions(self, version: ImageVersion) -> tuple[str, ...]:
        if not self._policy.rollback_regions:
            return ()
        kept = {normalise_region(region) for region in self._policy.rollback_regions} | {version.location}
        return tuple(sorted(region for region in version.regions if region not in kept))

    def _what_is_next(self, version: ImageVersion) -> str:
        """Of a version that is marked and has its end of life, which have not long enough passed."""
        end, due = version.end_of_life or self._now, self._deletion_due(version) or self._now
        block = ", until which Azure blocks its deletion" if version.blocks_early_deletion and self._now < end else ""
        kept = version.keeps_regions and self._surplus_regions(version)
        return (
            f"its end of life {'was' if end <= self._now else 'is'} {end:%Y-%m-%d}{block}, "
            f"and it is deleted from {due:%Y-%m-%d} on"
            + ("; Azure keeps it in all its regions until then" if kept else "")
        )


def _change(
    version: ImageVersion,
    why: str,
    *,
    marked: datetime | None = None,
    exclude: bool = False,
    end_of_life: datetime | None = None,
    dropped: tuple[str, ...] = (),
) -> ChangeVersion:
    number = short_version(version.id)
    step = ChangeVersion(number, version.id, why, version.published_at, marked, exclude, end_of_life, dropped)
    return structs.replace(step, reason=f"{why}: {step.told}")


def _bounded(plans: tuple[VersionPlan, ...], policy: RetentionPolicy) -> tuple[VersionPlan, ...]:
    """The plans with the steps put off for which one run has no room: bad versions come first, then the oldest."""
    bad = {plan.version for plan in plans if plan.verdict in BAD}
    steps = [plan.step for plan in reversed(plans) if plan.step is not None]
    due: set[str] = set()
    for kind, most in ((ChangeVersion, MOST_CHANGES), (DeleteVersion, policy.max_deletions)):
        of_kind = sorted((step for step in steps if isinstance(step, kind)), key=lambda step: _urgency(step, bad))
        due |= {step.version for step in of_kind[:most]}
    return tuple(
        structs.replace(plan, put_off=True, reason=f"{plan.reason} (in a later run, this one has enough to do)")
        if plan.step is not None and plan.version not in due
        else plan
        for plan in plans
    )


def _urgency(step: RetentionStep, bad: set[str]) -> tuple[bool, bool]:
    return isinstance(step, DeleteVersion), step.version not in bad


def _number(version: ImageVersion) -> Number:
    return version_number(version.id) or (0, 0, 0)


def _parsed(number: str) -> Number:
    major, minor, patch = (int(part) for part in number.split("."))
    return major, minor, patch
