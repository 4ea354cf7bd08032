"""A run that retires image versions, as it travels: what it is started with, what an activity gets, what it reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, structs

from rollout.model import count_of
from rollout.policy import ImagePolicy, Policy
from rollout.retention import ChangeVersion, DeleteVersion, RetentionPlan, RetentionStep, VersionPlan
from rollout.steps import StepError

LONGEST_DETAIL = 300
MOST_TOLD = 50
"""Versions of which a run says why they stay."""

_SUBSCRIPTION = re.compile(r"^/subscriptions/([^/]+)/", re.IGNORECASE)


class Retirement(Struct, frozen=True, omit_defaults=True):
    """Plan what becomes of an image's versions and, with `apply`, do it. Everything is pinned at the start.

    `subscriptions` are where users of the image are looked for. `by` and `why` say who asked and for what reason.
    `notified` are the sinks that are told what has come of it.
    """

    image: ImagePolicy
    subscriptions: tuple[str, ...]
    apply: bool = False
    by: str = ""
    why: str = ""
    notified: tuple[str, ...] = ()


class RetirementOrder(Struct, frozen=True, omit_defaults=True):
    """What an activity needs to plan at `now`, and the step to carry out if the plan still has it.

    `running` and `unreadable` are what Durable tells of rollouts; see RetentionSnapshot.
    """

    image: ImagePolicy
    subscriptions: tuple[str, ...]
    now: datetime
    running: dict[str, str] = {}
    unreadable: tuple[str, ...] = ()
    step: RetentionStep | None = None


class RunningRollouts(Struct, frozen=True, omit_defaults=True):
    """The versions of one definition that are being rolled out: number -> rollout; and what could not be told."""

    running: dict[str, str] = {}
    unreadable: tuple[str, ...] = ()


class StepAnswer(Struct, frozen=True, omit_defaults=True):
    """What an activity says of its step. `skipped` says why the step was not due any more; "" when it is done."""

    error: StepError | None = None
    skipped: str = ""


class StepResult(Struct, frozen=True, omit_defaults=True):
    """What became of one step. `outcome`: done, skipped (no longer due) or failed; `detail` says why for the latter."""

    version: str
    told: str
    outcome: str
    detail: str = ""


class RetirementReport(Struct, frozen=True, omit_defaults=True):
    """How a run has ended: one sentence, and what became of each step. Without `apply` no step was carried out."""

    image: str
    message: str
    apply: bool = False
    by: str = ""
    why: str = ""
    results: tuple[StepResult, ...] = ()


def retirement_of(
    policy: Policy, image: ImagePolicy, *, apply: bool, by: str, why: str = "", notified: tuple[str, ...] = ()
) -> Retirement:
    """The run for one image definition of the policy."""
    return Retirement(image, subscriptions_of(policy), apply, by, why, notified)


def subscriptions_of(policy: Policy) -> tuple[str, ...]:
    """Every subscription that an id of the policy lies in, or that it names as one whose VMs may use an image."""
    ids = [image.definition_id or image.version_id for image in policy.images]
    named = [subscription for image in policy.images for subscription in image.retention.subscriptions]
    for pool in policy.host_pools:
        template = pool.session_host
        ids += [pool.host_pool_id, template.subnet_id, template.resource_group_id]
    named += [match[1] for id in ids if (match := _SUBSCRIPTION.match(id))]
    return tuple(sorted({subscription.lower() for subscription in named}))


def actions_of(entry: VersionPlan) -> tuple[str, ...]:
    """What happens to a version, in words for machines; `keep` when nothing does."""
    step = entry.step
    if isinstance(step, DeleteVersion):
        return ("delete",)
    if isinstance(step, ChangeVersion):
        words = [
            ("mark_as_retired", step.retired_at is not None),
            ("exclude_from_latest", step.exclude),
            ("set_end_of_life", step.end_of_life is not None),
            ("cut_replicas", bool(step.drop_regions)),
        ]
        return tuple(word for word, wanted in words if wanted)
    return ("keep",)


def worth_telling(plan: RetentionPlan) -> RetentionPlan:
    """The plan as it travels through Durable: of the versions those that are due or were, but for a reason, due."""
    due = [entry for entry in plan.versions if entry.step is not None and not entry.put_off]
    stay = [entry for entry in plan.versions if entry.step is None and entry.is_overtaken][:MOST_TOLD]
    kept = {entry.version for entry in (*due, *stay)}
    versions = tuple(entry for entry in plan.versions if entry.version in kept)
    return structs.replace(plan, versions=versions)


def summary(plan: RetentionPlan) -> str:
    """The plan in one sentence."""
    if plan.held:
        return plan.held
    deletions = sum(isinstance(step, DeleteVersion) for step in plan.steps)
    changes = len(plan.steps) - deletions
    later = sum(entry.put_off for entry in plan.versions)
    parts = [(changes, "to change"), (deletions, "to delete"), (later, "left for a later run")]
    told = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{count_of(changes + deletions + later, 'version')}: {told}" if told else "there is nothing to retire"


def summary_of_results(results: Iterable[StepResult]) -> str:
    """What a run has done, in one sentence."""
    results = tuple(results)
    done = [result for result in results if result.outcome == "done"]
    deleted = sum(result.told == "deleted" for result in done)
    parts = [
        (len(done) - deleted, "changed"),
        (deleted, "deleted"),
        (sum(result.outcome == "skipped" for result in results), "no longer due"),
        (sum(result.outcome == "failed" for result in results), "failed"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{count_of(len(results), 'version')}: {told}" if told else "there is nothing to retire"
