"""How far an image version has been replicated: which regions can use it, which to wait for, which to give up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from rollout.model import ImageVersion, RegionReplica, is_marketplace, normalise_region, short_version
from rollout.policy import ReplicationPolicy

RegionState = Literal["ready", "replicating", "failed", "missing", "late", "unapproved"]


class RegionReport(Struct, frozen=True, omit_defaults=True):
    """One region. `progress` is percent, `message` one sentence; `given_up`: this rollout waits for it no longer."""

    region: str
    state: RegionState
    message: str
    progress: int = 0
    given_up: bool = False


class ReplicationReport(Struct, frozen=True, omit_defaults=True):
    """All regions that a rollout needs, in the order in which they were asked for, and one sentence for all of them.

    `version_gone`: Azure no longer has the version, or is deleting it; every region is given up.
    """

    regions: tuple[RegionReport, ...]
    message: str
    version_gone: bool = False

    @property
    def ready(self) -> tuple[str, ...]:
        """Regions in which VMs can be created from the version."""
        return tuple(region.region for region in self.regions if region.state == "ready")

    @property
    def waiting(self) -> tuple[str, ...]:
        """Regions that may become ready before the deadline."""
        return tuple(r.region for r in self.regions if r.state != "ready" and not r.given_up)

    @property
    def given_up(self) -> tuple[tuple[str, str], ...]:
        """Regions that this rollout does without, each with the reason."""
        return tuple((region.region, region.message) for region in self.regions if region.given_up)


class RegionDecision(Struct, frozen=True, omit_defaults=True):
    """The report as the policy wants it read, and why the rollout halts, "" when it does not."""

    report: ReplicationReport
    halted_because: str = ""


def decide_regions(report: ReplicationReport, version_id: str, policy: ReplicationPolicy) -> RegionDecision:
    """What the policy says about each region that the version has not reached and should have, or must not be in.

    A region outside the approved ones counts as given up even when the version is there: no host of it may be made.
    A given-up region is waited for after all (`wait`), stays given up (`go_on`), or halts the whole rollout (`halt`).
    A version that no longer exists is given up whatever the policy says.
    """
    if report.version_gone:
        return RegionDecision(report)
    approved = {normalise_region(region) for region in policy.approved_regions}
    decisions = {normalise_region(region): decision for region, decision in policy.on_missing_in.items()}
    regions, halted_because = [], ""
    for region in report.regions:
        if approved and region.region not in approved:
            message = f"{region.region} is none of the approved regions"
            region = structs.replace(region, state="unapproved", message=message, given_up=True)  # noqa: PLW2901
        decision = decisions.get(region.region, policy.on_missing)
        if region.given_up and decision == "wait":
            message = f"{region.message}, and the policy waits for it"
            region = structs.replace(region, message=message, given_up=False)  # noqa: PLW2901
        if region.given_up and decision == "halt" and not halted_because:
            halted_because = f"{region.message}, and the policy halts the rollout for it"
        regions.append(region)
    if tuple(regions) == report.regions:
        return RegionDecision(report, halted_because)
    message = _overall(f"version {short_version(version_id)}", tuple(regions))
    return RegionDecision(ReplicationReport(tuple(regions), message), halted_because)


def assess(
    version: ImageVersion | None, regions: Iterable[str], started_at: datetime, deadline: timedelta, now: datetime
) -> ReplicationReport:
    """Judge each region by its own replica: others may lag behind. `version` is None when Azure has no such version.

    A region is ready once its replica is complete, whatever the version as a whole says: one region's failure makes
    the whole version Failed. A region that failed is given up at once, and so are all of a version that failed and has
    arrived nowhere; any other one that is not ready, `deadline` after `started_at`. Until then a region that is not
    among the version's targets, or is excluded from latest there, may still be added; words of Azure that are not known
    here mean that it is not ready yet. A version of a marketplace image is ready everywhere.
    """
    wanted = tuple(dict.fromkeys(normalise_region(region) for region in regions))
    if version is not None and is_marketplace(version.id):
        reports = tuple(RegionReport(region, "ready", f"{region} is ready", 100) for region in wanted)
        return ReplicationReport(reports, f"{_name(version)} is in the marketplace of every region")
    if version is None or version.provisioning.lower() == "deleting":
        message = "the image version no longer exists" if version is None else f"{_name(version)} is being deleted"
        return ReplicationReport(_all_given_up(wanted, message), message, version_gone=True)
    replicas = {normalise_region(name): replica for name, replica in version.regions.items()}
    if version.provisioning.lower() == "failed" and not version.has_arrived_somewhere:
        message = f"{_name(version)} could not be created: its provisioning failed"
        return ReplicationReport(_all_given_up(wanted, message), message)
    is_late = now - started_at >= deadline
    reports = tuple(_judge(region, replicas.get(region), deadline, is_late=is_late) for region in wanted)
    return ReplicationReport(reports, _overall(_name(version), reports))


def _all_given_up(regions: tuple[str, ...], message: str) -> tuple[RegionReport, ...]:
    return tuple(RegionReport(region, "failed", message, given_up=True) for region in regions)


def _judge(region: str, replica: RegionReplica | None, deadline: timedelta, *, is_late: bool) -> RegionReport:
    after = f" after {_spoken(deadline)}" if is_late else ""
    if replica is None:
        message = f"{region} is not among the version's target regions{after}"
        return RegionReport(region, "missing", message, given_up=is_late)
    if replica.excluded:
        message = f"in {region} the version is excluded from latest{after}"
        return RegionReport(region, "missing", message, replica.progress, given_up=is_late)
    state = replica.state.lower()
    if state == "completed":
        return RegionReport(region, "ready", f"{region} is ready", 100)
    if state == "failed":
        details = f": {replica.details}" if replica.details else ""
        return RegionReport(
            region, "failed", f"replication to {region} failed{details}", replica.progress, given_up=True
        )
    if is_late:
        message = f"{region} is late: {replica.progress} %{after}"
        return RegionReport(region, "late", message, replica.progress, given_up=True)
    return RegionReport(region, "replicating", f"{region} is at {replica.progress} %", replica.progress)


def _overall(name: str, reports: tuple[RegionReport, ...]) -> str:
    if not reports:
        return f"{name} is needed in no region"
    ready = sum(report.state == "ready" for report in reports)
    if ready == len(reports):
        return f"{name} is ready in {'its region' if ready == 1 else f'all {ready} regions'}"
    others = "; ".join(report.message for report in reports if report.state != "ready")
    return f"{name} is ready in {ready} of {len(reports)} regions: {others}"


def _name(version: ImageVersion) -> str:
    return f"version {short_version(version.id)}"


def _spoken(duration: timedelta) -> str:
    """The duration in hours and minutes: "6 h", "1 h 30 min"."""
    hours, minutes = divmod(int(duration.total_seconds()) // 60, 60)
    parts = [f"{hours} h"] if hours else []
    return " ".join([*parts, f"{minutes} min"] if minutes or not hours else parts)
