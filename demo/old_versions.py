"""Twelve versions of the office image, one for every fate that retention knows, and the scenario that retires them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from demo.outcomes import story_tells
from demo.policies import REGION, policy_text
from demo.result import Result
from demo.scenario import MORNING, Outcome, Scenario, Stage
from rollout.retention import as_retired
from rollout.verdicts import Finding, Verdict, with_finding
from simulator import ids
from simulator.builders import Office
from simulator.galleries import Takes
from simulator.images import ImageVersion
from simulator.journal import Kind


class Kept(NamedTuple):
    """A version as it lies in the gallery: judged how; published, at its end of life, marked so many days from now."""

    verdict: Verdict | None
    published: float
    end_of_life: float | None = None
    retired: float | None = None
    reason: str = ""


GALLERY: Mapping[str, Kept] = {
    "1.0.0": Kept(Verdict.GOOD, -400, -40, -100),
    "1.1.0": Kept(Verdict.GOOD, -370, -40, None),
    "1.2.0": Kept(Verdict.GOOD, -340, -40, -100),
    "1.3.0": Kept(Verdict.GOOD, -310, -40, -100),
    "1.4.0": Kept(Verdict.FAILED, -280, -40, -130, "the canary never got ready"),
    "1.5.0": Kept(Verdict.GOOD, -250, 60, -10),
    "1.6.0": Kept(Verdict.GOOD, -220),
    "1.7.0": Kept(Verdict.VETOED, -190, None, None, "printing is broken"),
    "1.8.0": Kept(Verdict.GOOD, -160),
    "1.9.0": Kept(None, -130),
    "2.0.0": Kept(Verdict.GOOD, -100),
    "2.1.0": Kept(Verdict.GOOD, -70),
}
"""Of the old ones 1.1.0 is used by a VM of a lab, 1.2.0 by a scale set, 1.3.0 is pinned, and 1.5.0 blocked by Azure."""

CURRENT, PINNED = "2.1.0", "1.3.0"
LAB, WEB = "lab-1", "web"

FATES: Mapping[str, str] = {
    "1.0.0": "delete",
    "1.1.0": "keep",
    "1.2.0": "keep",
    "1.3.0": "keep",
    "1.4.0": "delete",
    "1.5.0": "keep",
    "1.6.0": "change",
    "1.7.0": "change",
    "1.8.0": "keep",
    "1.9.0": "keep",
    "2.0.0": "keep",
    "2.1.0": "keep",
}
"""What a run that keeps three good versions does to each."""


def fill_gallery(office: Office, now: datetime, *, regions: tuple[str, ...] = ()) -> None:
    """Publish the twelve versions, let the lab and a scale set use theirs; the office's hosts are on CURRENT already.

    Versions have a copy in the office's region and, before an end of life was set, in `regions`.
    """
    for number, kept in GALLERY.items():
        if number == CURRENT:
            version = office.estate.galleries.version(office.version_id(number))
        else:
            wanted = (office.region, *(regions if kept.end_of_life is None else ()))
            at_once = dict.fromkeys(wanted, Takes(timedelta(0)))
            version = office.publish(number, wanted, takes=at_once, announced=False)
        _as_it_lies(version, kept, now)
    office.estate.now()
    machines, scale_sets = office.estate.machines, office.estate.scale_sets
    machines.place(office.machine_id(LAB), office.spec_for(LAB, "1.1.0"))
    scale_set_id = ids.scale_set_id(office.subscription, office.group, WEB)
    scale_sets.place(scale_set_id, office.region, office.version_id("1.2.0"))


def _as_it_lies(version: ImageVersion, kept: Kept, now: datetime) -> None:
    version.published_at = now + timedelta(days=kept.published)
    if kept.end_of_life is not None:
        version.end_of_life = now + timedelta(days=kept.end_of_life)
        version.exclude_from_latest = True
        version.block_deletion_before_end_of_life = True
    if kept.verdict is not None:
        finding = Finding(kept.verdict, kept.reason, version.published_at + timedelta(days=3), "image-gal")
        version.tags = with_finding({"owner": "image team"}, finding)
    if kept.retired is not None:
        version.tags = as_retired(version.tags, now + timedelta(days=kept.retired))


# ------------------------------------------------------------------------------------------------------- the scenario


def _set_retire(stage: Stage) -> None:
    office = stage.office(hosts=4, current_version=CURRENT)
    stage.published.append(office.version_id(CURRENT))
    fill_gallery(office, MORNING, regions=("northeurope",))
    stage.at("10:00", lambda: stage.estate.machines.delete(office.machine_id(LAB)), day=1)
    stage.moment("04:00", day=2)


def _deleted(*numbers: str) -> Callable[[Result], str]:
    """Exactly these versions are gone."""

    def check(result: Result) -> str:
        gone = sorted(
            entry.subject.rsplit("/", 1)[-1] for entry in result.journal if entry.kind is Kind.VERSION_DELETED
        )
        return "" if gone == sorted(numbers) else f"{', '.join(gone) or 'nothing'} was deleted"

    return check


def _changed(*numbers: str) -> Callable[[Result], str]:
    """Exactly these versions were changed, each once."""

    def check(result: Result) -> str:
        changes = [entry for entry in result.journal if entry.kind is Kind.VERSION_CHANGED and entry.by == "rollout"]
        changed = sorted(entry.subject.rsplit("/", 1)[-1] for entry in changes)
        return "" if changed == sorted(numbers) else f"{', '.join(changed) or 'nothing'} was changed"

    return check


RETIRE = Scenario(
    name="retire",
    title="Twelve versions, of which three are kept",
    about=(
        "The gallery holds a year of versions. At half past three in the night the old ones are retired: a good one "
        "and a failed one that are long past their end of life are deleted, a vetoed one and one that three good ones "
        "have overtaken get an end of life and lose their copies in the other region. A VM of a lab, a scale set, the "
        "policy and Azure itself each keep one. On the second day the lab deletes its VM: the night after, the version "
        "that it was made from is retired, and a month later it would go too."
    ),
    policy=policy_text("office", retention={"mode": "apply", "pinned": [PINNED], "rollback_regions": [REGION]}),
    set_the_stage=_set_retire,
    outcome=Outcome(
        "NotStarted",
        {"office": ""},
        rollouts=0,
        checks=(
            _deleted("1.0.0", "1.4.0"),
            _changed("1.1.0", "1.6.0", "1.7.0"),
            story_tells("used by 1 VM (lab-1)"),
            story_tells("used by 1 scale set (web)"),
            story_tells("the policy pins it"),
            story_tells("until which Azure blocks its deletion"),
        ),
    ),
    lasts_at_most=timedelta(hours=48),
)
