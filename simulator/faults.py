"""Faults of Azure's interface and of its machinery: seeded by chance, or scripted one by one."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from simulator.errors import AzureError, ConnectionLost

R = TypeVar("R")


class Site(StrEnum):
    """Where a fault can strike."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    LOST_REQUEST = "lost_request"
    LOST_RESPONSE = "lost_response"
    STALE_LIST = "stale_list"
    ALLOCATION_FAILED = "allocation_failed"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Chance:
    """The two stages: the probability that the site is on in a run, then that it fires each time it is passed.

    Rare branches so get long-lived bad luck in some runs instead of a thin drizzle in all of them.
    """

    on: float
    fires: float


FLAKY: Mapping[Site, Chance] = {
    Site.THROTTLED: Chance(0.5, 0.04),
    Site.SERVER_ERROR: Chance(0.5, 0.03),
    Site.LOST_REQUEST: Chance(0.3, 0.02),
    Site.LOST_RESPONSE: Chance(0.5, 0.03),
    Site.STALE_LIST: Chance(0.3, 0.05),
    Site.ALLOCATION_FAILED: Chance(0.4, 0.1),
    Site.SLOW: Chance(0.4, 0.1),
}
"""A bad week."""

AWFUL: Mapping[Site, Chance] = {site: Chance(0.8, 0.15) for site in Site}
"""Much worse than Azure ever is, for finding what a bad week hides."""


@dataclass(slots=True)
class _Scripted:
    method: str
    path: re.Pattern[str]
    times: int
    outcome: Site | AzureError


class Faults:
    """Decides, per run and per call, what goes wrong.

    `call` wraps a request in direct use; the ARM layer wraps its own. The estate asks `fires` for what goes wrong
    inside Azure (allocation, slowness). `counts` tells how often each kind struck. `stop` ends all chance: the quiet
    phase.
    """

    def __init__(self, seed: int = 0, chances: Mapping[Site, Chance] | None = None) -> None:
        self._rng = random.Random(f"{seed}/faults")
        chosen = {site: (chances or {}).get(site) for site in Site}
        self._probability = {
            site: chance.fires for site, chance in chosen.items() if chance and self._rng.random() < chance.on
        }
        self._scripted: list[_Scripted] = []
        self._last_lists: dict[str, object] = {}
        self.counts: Counter[Site] = Counter()
        self.listener: Callable[[str, str], None] = lambda kind, subject: None

    @property
    def sites_on(self) -> tuple[Site, ...]:
        """The sites that can fire by chance in this run."""
        return tuple(self._probability)

    def stop(self) -> None:
        """Nothing goes wrong by chance or by script any more."""
        self._probability.clear()
        self._scripted.clear()

    def fail_next(self, method: str, path: str, outcome: Site | AzureError, times: int = 1) -> None:
        """Let the next `times` requests with this method ("*" for any) whose path matches the regular expression fail.

        `outcome` is a site, or the very error to answer with. `ALLOCATION_FAILED` and `SLOW` strike inside Azure: their
        method is "*" and their path is matched against the machine's id.
        """
        self._scripted.append(_Scripted(method.upper(), re.compile(path, re.IGNORECASE), times, outcome))

    def call(self, method: str, path: str, act: Callable[[], R]) -> R:
        """Run `act`, unless the request fails first; or run it and lose the answer.

        Raises AzureError or ConnectionLost. The method "LIST" stands for a GET of a list; when its answer is stale,
        what the list returned last time is returned again, so `act` must return a value that does not change
        afterwards.
        """
        scripted = self._take_script(method, path)
        if isinstance(scripted, AzureError):
            self._strike(Site.THROTTLED if scripted.status == 429 else Site.SERVER_ERROR, path)
            raise scripted
        if not self._probability and not self._scripted and scripted is None:
            return act()
        if scripted is Site.THROTTLED or self.fires(Site.THROTTLED, path):
            raise self._throttled(method, path, scripted)
        if scripted is Site.SERVER_ERROR or self.fires(Site.SERVER_ERROR, path):
            raise self._server_error(path, scripted)
        if scripted is Site.LOST_REQUEST or self.fires(Site.LOST_REQUEST, path):
            self._count_script(scripted, path)
            raise ConnectionLost(f"the connection broke before {method} {path} was sent")
        result = self._listed(path, act, scripted) if method == "LIST" else act()
        reads = method in ("GET", "LIST")  # a read that is lost on the way back is as good as one lost on the way there
        if scripted is Site.LOST_RESPONSE or (not reads and self.fires(Site.LOST_RESPONSE, path)):
            self._count_script(scripted, path)
            raise ConnectionLost(f"the connection broke before {method} {path} was answered")
        return result

    def fires(self, site: Site, subject: str) -> bool:
        """Whether a fault strikes at this site now; counted and journalled when it does."""
        if self._scripted and site in (Site.ALLOCATION_FAILED, Site.SLOW):
            for script in self._scripted:
                if script.outcome is site and script.path.search(subject):
                    self._use_up(script)
                    self._strike(site, subject)
                    return True
        probability = self._probability.get(site)
        if probability is None or self._rng.random() >= probability:
            return False
        self._strike(site, subject)
        return True

    def slowness(self, subject: str) -> float:
        """The factor by which an operation on `subject` takes longer: 1, or 3 to 10 when the fault strikes."""
        return 3 + 7 * self._rng.random() if self.fires(Site.SLOW, subject) else 1.0

    def _listed(self, path: str, act: Callable[[], R], scripted: Site | AzureError | None) -> R:
        if path in self._last_lists and (scripted is Site.STALE_LIST or self.fires(Site.STALE_LIST, path)):
            self._count_script(scripted, path)
            return self._last_lists[path]  # type: ignore[return-value]  # stored below from the same `act`
        result = act()
        if Site.STALE_LIST in self._probability or any(script.outcome is Site.STALE_LIST for script in self._scripted):
            self._last_lists[path] = result
        return result

    def _throttled(self, method: str, path: str, scripted: object) -> AzureError:
        self._count_script(scripted, path)
        seconds = self._rng.choice((5, 12, 30, 60, 120))
        if "/providers/microsoft.compute/" in path.lower():
            return compute_throttled(compute_policy(method, path), seconds)
        return AzureError(
            429,
            "TooManyRequests",
            "The request is being throttled as the limit has been reached for operation type. "
            "For more information, see - https://aka.ms/srpthrottlinglimits",
            retry_after=seconds,
        )

    def _server_error(self, path: str, scripted: object) -> AzureError:
        self._count_script(scripted, path)
        if self._rng.random() < 0.5:
            return AzureError(503, "ServiceUnavailable", "The service is unavailable. Please try again later.")
        return AzureError(500, "InternalServerError", "An internal server error occurred. Please try again later.")

    def _take_script(self, method: str, path: str) -> Site | AzureError | None:
        for script in self._scripted:
            inside_azure = script.outcome in (Site.ALLOCATION_FAILED, Site.SLOW)
            stale_too_early = script.outcome is Site.STALE_LIST and path not in self._last_lists
            if inside_azure or stale_too_early:
                continue
            verb = "GET" if method == "LIST" else method
            if script.method in ("*", verb, method) and script.path.search(path):
                self._use_up(script)
                return script.outcome
        return None

    def _use_up(self, script: _Scripted) -> None:
        script.times -= 1
        if script.times <= 0:
            self._scripted.remove(script)

    def _count_script(self, scripted: object, path: str) -> None:
        if isinstance(scripted, Site):
            self._strike(scripted, path)

    def _strike(self, site: Site, subject: str) -> None:
        self.counts[site] += 1
        self.listener(site, subject)


def compute_policy(method: str, path: str) -> str:
    """The name of Compute's throttling policy that a request counts against (facts 4.7)."""
    lowered = path.lower().split("?")[0].rstrip("/")
    if "/operations/" in lowered or "/capsoperations/" in lowered:
        return "GetOperation"
    if method == "LIST":
        return "HighCostGet"
    if method == "GET":
        return "LowCostGet"
    if method == "DELETE" or lowered.endswith("/deallocate"):
        return "DeleteVM"
    if method == "PUT" and "/extensions/" not in lowered:
        return "PutVM"
    return "UpdateVM"


def compute_throttled(policy: str, retry_after: int) -> AzureError:
    """Compute's 429, with the documented headers and without an `error` object around it (facts 4.6)."""
    detail = f'{{"operationGroup":"{policy}","allowedRequestCount":300,"measuredRequestCount":1238}}'
    return AzureError(
        429,
        "OperationNotAllowed",
        "The server rejected the request because too many requests have been received for this subscription.",
        retry_after=retry_after,
        headers={"x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{policy};0", "x-ms-request-charge": "1"},
        details=[{"code": "TooManyRequests", "target": policy, "message": detail}],
        wrapped=False,
    )
