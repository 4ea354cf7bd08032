"""Where the policy comes from: a file in the app's package, or a blob, looked at anew each time.

A blob that has not changed is not sent again (ETag). An edit that cannot be used is refused, loudly: the last good
policy stays in use as long as this process lives. A process that has never seen a good one uses none.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from urllib.parse import urlsplit

from adapters.connect import connection
from adapters.errors import StepFailed, translated
from adapters.settings import Settings, SettingsError, read_settings
from rollout.policy import Policy

BLOB_API_VERSION = "2021-12-02"

LARGEST_BLOB = 2 * 1024 * 1024

_log = logging.getLogger("goldroll.policy")


class PolicyUnusable(Exception):
    """There is no valid policy; the text names the file and every problem in it."""


class _Seen:
    """What is known of one source: what a blob held last, the last good policy and its text, the last problem told."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.blob = ""
        self.etag = ""
        self.good: Policy | None = None
        self.good_text = ""
        self.problem = ""


class _Kept:
    lock = threading.Lock()
    seen = _Seen("")


def current_policy() -> Policy:
    """The policy as it is now, or the last good one when it cannot be used. Raises PolicyUnusable when there is none.

    A problem is logged as an error when it is first met, and that it is over when it is. See also `policy_problem`.
    """
    try:
        settings = read_settings()
    except SettingsError as error:
        raise PolicyUnusable(str(error)) from error
    source = settings.policy_url or str(settings.policy_file)
    with _Kept.lock:
        if _Kept.seen.source != source:
            _Kept.seen = _Seen(source)
        return _looked_at(_Kept.seen, settings)


def policy_problem() -> str:
    """Why the last good policy stands in for what its file or blob holds, as of the last look; "" when it does not."""
    with _Kept.lock:
        return _Kept.seen.problem


def _looked_at(seen: _Seen, settings: Settings) -> Policy:
    # PyYAML is loaded for the first event or request, not when the app starts.
    from rollout.policy_file import PolicyError, read_policy

    name = urlsplit(settings.policy_url).path.lstrip("/") or settings.policy_file.name
    try:
        text = _blob(settings.policy_url, seen) if settings.policy_url else _file(settings.policy_file)
        if seen.good is None or text != seen.good_text:
            seen.good, seen.good_text = read_policy(text), text
    except (PolicyError, OSError, UnicodeDecodeError, StepFailed) as error:
        problem = f"{name}: {error}"
        if seen.good is None:
            raise PolicyUnusable(problem) from error
        if problem != seen.problem:
            _log.error("the policy cannot be used, and the last good one stays in use: %s", problem)
            seen.problem = problem
        return seen.good
    if seen.problem:
        _log.warning("the policy can be used again: %s", name)
        seen.problem = ""
    return seen.good


def _file(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _blob(url: str, seen: _Seen) -> str:
    """The text of a blob; the one that was read last when it has not changed since."""
    from azure.core.exceptions import HttpResponseError
    from azure.core.rest import HttpRequest

    headers = {"x-ms-version": BLOB_API_VERSION}
    if seen.etag:
        headers["If-None-Match"] = seen.etag
    with translated():
        response = connection().storage().send_request(HttpRequest("GET", url, headers=headers))
        if response.status_code == 304 and seen.etag:
            return seen.blob
        if response.status_code != 200:
            raise HttpResponseError(response=response)
    if len(response.content) > LARGEST_BLOB:
        raise OSError(f"is larger than {LARGEST_BLOB // 1024} kB")
    seen.blob, seen.etag = response.content.decode("utf-8"), response.headers.get("ETag") or ""
    return seen.blob
