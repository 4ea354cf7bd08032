"""What a test or a demo may do to a running simulated Azure that Azure itself would not offer, under `/simulator/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

from simulator.arm import Arm
from simulator.builders import Office
from simulator.errors import AzureError
from simulator.faults import Site
from simulator.galleries import WRITE
from simulator.images import Flaws, Takes
from simulator.quota import REGIONAL, cores_of
from simulator.summary import summary
from simulator.wire import Answer, Json, invalid

_DISTURBANCES = (
    "delete_host",
    "delete_machine",
    "drain_host",
    "undrain_host",
    "stop_host",
    "fail_health",
    "autoscale_flips_drain_mode",
    "delete_pool",
)
_ENTRIES_AT_ONCE = 1000


class Control:
    """The control routes of one office. Bodies are small JSON objects; what makes no sense is ARM's 400."""

    def __init__(self, office: Office, arm: Arm) -> None:
        self._office = office
        self._arm = arm
        self._routes: dict[tuple[str, str], Callable[[Json], Json]] = {
            ("GET", "state"): self.state,
            ("GET", "journal"): self.journal,
            ("POST", "versions"): self.publish,
            ("POST", "announcements"): self.announce_again,
            ("POST", "quota"): self.set_quota,
            ("POST", "disturbances"): self.disturb,
            ("POST", "faults"): self.fail_next,
            ("DELETE", "faults"): self.stop_faults,
        }

    def handle(self, method: str, path: str, body: Json) -> Answer:
        """Answer one request to `/simulator/<path>`; query parameters come in the body of a GET."""
        route = self._routes.get((method, path.strip("/")))
        if route is None:
            raise AzureError(404, "NotFound", f"There is no {method} /simulator/{path}.")
        return Answer(200, route(body))

    def state(self, body: Json) -> Json:
        """Everything there is now; `tags` is the prefix of the tags to report."""
        return summary(self._office, self._arm, str(body.get("tags", "goldroll-")))

    def journal(self, body: Json) -> Json:
        """Up to 1,000 entries of the journal from number `after`; `next` is what to ask for then."""
        self._office.estate.now()
        after = _whole(body.get("after", 0), "after")
        entries = self._office.estate.journal.entries[after : after + _ENTRIES_AT_ONCE]
        shown = [
            {
                "at": entry.at.isoformat(),
                "kind": entry.kind,
                "subject": entry.subject,
                "detail": entry.detail,
                "by": entry.by,
            }
            for entry in entries
        ]
        return {"entries": shown, "next": after + len(entries)}

    def publish(self, body: Json) -> Json:
        """Publish a version: `name`, and optionally `regions`, `takes` (region to minutes, or to null for never, or to
        {"minutes", "fails"}), `flaws` (field to value; `degrades_after` in minutes), `exclude_from_latest`, and
        `announced` (false: its event is lost).
        """
        version = self._office.publish(
            str(body.get("name", "")),
            body.get("regions"),
            takes={region: _takes(how) for region, how in (body.get("takes") or {}).items()},
            flaws=_flaws(body.get("flaws") or {}),
            exclude_from_latest=body.get("exclude_from_latest") is True,
            announced=body.get("announced") is not False,
        )
        return {"id": version.id}

    def announce_again(self, body: Json) -> Json:
        """Let Event Grid tell once more that the version `name` was written."""
        version = self._office.estate.galleries.version(self._office.version_id(str(body.get("name", ""))))
        self._office.estate.galleries.announce(version.id, WRITE, "PUT")
        return {"id": version.id}

    def set_quota(self, body: Json) -> Json:
        """Set the regional quota to `cores`, or to what is used plus `hosts` more hosts."""
        office = self._office
        used = office.estate.quota.usages(office.subscription, office.region)[0][1]
        more = _whole(body.get("hosts", 0), "hosts") * cores_of(office.spec.size)
        cores = _whole(body["cores"], "cores") if "cores" in body else used + more
        office.estate.quota.set_limit(office.subscription, office.region, cores)
        return {"quota": REGIONAL, "used": used, "limit": cores}

    def disturb(self, body: Json) -> Json:
        """Disturb in `after_minutes` (0): `kind` is a method of `Interference`, `host` the host it is for."""
        kind = body.get("kind")
        if kind not in _DISTURBANCES:
            raise invalid(f"The disturbances are {', '.join(_DISTURBANCES)}.", "kind")
        when = self._office.estate.now() + timedelta(minutes=float(body.get("after_minutes", 0)))
        arguments: list[Any] = [when, self._office.pool_id]
        if body.get("host") is not None:
            arguments.append(str(body["host"]))
        getattr(self._office.estate.interference, kind)(*arguments)
        self._office.estate.now()
        return {"at": when.isoformat()}

    def fail_next(self, body: Json) -> Json:
        """Let the next `times` (1) requests with `method` ("*") and a matching `path` (".") fail as `site` says."""
        try:
            site = Site(str(body.get("site", "")))
        except ValueError:
            raise invalid(f"The sites are {', '.join(Site)}.", "site") from None
        times = _whole(body.get("times", 1), "times")
        self._office.estate.faults.fail_next(str(body.get("method", "*")), str(body.get("path", ".")), site, times)
        return {"site": site, "times": times}

    def stop_faults(self, body: Json) -> Json:
        """Nothing goes wrong by chance or by script any more."""
        self._office.estate.faults.stop()
        return {}


def _whole(value: object, target: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise invalid(f"'{value}' is not a whole number.", target) from None


def _takes(how: object) -> Takes:
    if how is None:
        return Takes(None)
    if isinstance(how, dict):
        return Takes(timedelta(minutes=float(how.get("minutes", 0))), how.get("fails"))
    return Takes(timedelta(minutes=_whole(how, "takes")))


def _flaws(named: Json) -> Flaws:
    unknown = named.keys() - {one.name for one in fields(Flaws)}
    if unknown:
        raise invalid(f"There is no flaw {min(unknown)}.", "flaws")
    values = dict(named)
    if values.get("degrades_after") is not None:
        values["degrades_after"] = timedelta(minutes=float(values["degrades_after"]))
    return Flaws(**values)
