"""Writes on image versions whether they are excluded from latest, and what was found out about them."""

from __future__ import annotations

from typing import Any

from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.resource_ids import parse
from adapters.wire import Json, at, flag, tags
from rollout.ring_steps import MarkVersion
from rollout.verdicts import finding_of, is_good, with_finding

_READ_ONLY = ("publishedDate",)


def mark(version_id: str, wanted: MarkVersion) -> None:
    """Let the version carry what is wanted, if it does not yet. Every other tag and property stays as it is.

    A version that is good already is not held back: it has earned its place. One that is gone is left at that. Raises
    StepFailed, also while Azure is at work on the version (Conflict).
    """
    subscription, group, (gallery, image, version) = parse(version_id)
    try:
        with translated():
            versions = connection().compute(subscription).gallery_image_versions
            found = versions.get(group, gallery, image, version).as_dict()
            body = _change(found, wanted)
            if body is not None:
                versions.begin_update(group, gallery, image, version, body, polling=False)
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def _change(found: Json, wanted: MarkVersion) -> Any:
    """The body of the update, None when there is nothing to change."""
    before = tags(found)
    if wanted.kind == "hold_back" and is_good(before):
        return None
    after = before
    if wanted.finding is not None and not _says(before, wanted):
        after = with_finding(before, wanted.finding)
    publishing = at(found, "properties", "publishingProfile")
    publishing = dict(publishing) if isinstance(publishing, dict) else {}
    if after == before and flag(publishing, "excludeFromLatest") == wanted.excluded:
        return None
    kept = {key: value for key, value in publishing.items() if key not in _READ_ONLY}
    # The profile is sent whole, as it was read: whether Azure keeps what an update leaves out is not documented. Its
    # specification demands a storage profile, and its own example of an update sends an empty one.
    properties = {"publishingProfile": {**kept, "excludeFromLatest": wanted.excluded}, "storageProfile": {}}
    return {"tags": after, "properties": properties}


def _says(before: dict[str, str], wanted: MarkVersion) -> bool:
    """The tags tell the same verdict, by whom and why; when it was first found stays."""
    if wanted.finding is None:
        return True
    told = finding_of(before)
    return (told.verdict, told.by, told.reason) == (wanted.finding.verdict, wanted.finding.by, wanted.finding.reason)
