"""Plays a scenario: the real app on a local host in virtual time, against a simulated Azure in the same process."""

from __future__ import annotations

import base64
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import structs

from adapters import connect
from demo.access import least_privilege
from demo.result import Result, RolloutEnd, pool_end
from demo.scenario import Answer, Scenario, Stage
from demo.sight import Sight, look_at
from demo.story import IMAGE, Line, Story
from demo.watching import InvariantWatch
from localhost import ActivityCall, Host, HostCrashed, LogLine, VirtualClock
from localhost.events import EpisodeFinished, HostEvent
from localhost.faults import ActivityFaults, Fault, Moment
from localhost.store import Instance
from rollout.instance_ids import ROLL_BACK_IMAGE, ROLL_OUT_IMAGE, image_instance
from rollout.model import short_version
from rollout.policy import Policy
from rollout.policy_file import PolicyError, read_policy
from simulator import event_grid
from simulator.arm import Arm
from simulator.errors import AzureError
from simulator.estate import Estate
from simulator.faults import Faults
from simulator.galleries import Announcement
from simulator.images import ImageVersion
from simulator.receivers import Receiver
from simulator.tables import Tables
from simulator.transport import MANAGEMENT, TABLE_SERVICE, AnyoneCredential, transport_to

APP = Path(__file__).resolve().parent.parent
"""Where function_app.py and host.json are."""

EVENTS_LIVE_FOR = timedelta(hours=12)
"""As the subscription in infra/ has it."""

Pause = Callable[[datetime, datetime], Any]


class Audience:
    """Whoever watches a run. Override what shall be seen; `looks` says that `look` is worth preparing a sight for."""

    looks = False

    def begin(self, run: Run) -> None:
        """The estate stands and the host is about to start."""

    def hear(self, line: Line) -> None:
        """The story goes on."""

    def look(self, sight: Sight) -> None:
        """A simulated minute has passed."""

    def end(self, result: Result) -> None:
        """The run is over."""


class Run:
    """One play of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 1,
        *,
        audience: Audience | None = None,
        pause: Pause | None = None,
        activity_faults: ActivityFaults | None = None,
        store: str | Path = ":memory:",
        record: str = TABLE_SERVICE,
        receivers: Mapping[str, Receiver] | None = None,
    ) -> None:
        """Set the stage. `pause` is awaited before virtual time moves from one moment to another.

        `activity_faults` and `store` are for tests: what goes wrong around activities, and the file that outlives a
        host that is made to crash. A crashed host is started again at once. `record` is the table service that keeps
        the record: the simulated one, or one that listens on this machine. `receivers` get its notifications: each with
        the setting that names its address.
        """
        self.scenario = scenario
        self.seed = seed
        self.policy: Policy = read_policy(scenario.policy)
        self.clock = VirtualClock(scenario.begins)
        self.clock.before_advance = pause
        self.estate = Estate(self.clock.now, seed, faults=Faults(seed, scenario.faults))
        self.tables = Tables()
        self.stage = Stage(self.estate, scenario.begins)
        scenario.set_the_stage(self.stage)
        self.policy = _with_later_pools(self.policy, self.stage)
        self.access = least_privilege(self.policy)
        self.arm = Arm(self.estate, access=self.access)
        self.estate.start_counting()
        pool_names = {office.pool.name: name for name, office in self.stage.offices.items()}
        self._hosts_before = {name: len(office.pool.hosts) for name, office in self.stage.offices.items()}
        self._audience = audience or Audience()
        self.watch = InvariantWatch(self.stage, self.policy)
        self.story = Story(self.estate, pool_names, self._audience.hear)
        self._activity_faults = activity_faults
        self._store = store
        self._record = record
        self._receivers = dict(receivers or {})
        self._host: Host | None = None
        self._client: aiohttp.ClientSession | None = None
        self.event_grid = event_grid.Subscription(time_to_live=EVENTS_LIVE_FOR, seed=seed)
        self._announced: list[Announcement] = []
        self._errors: list[str] = []
        self._over = False
        self._has_moved = False
        self.crashes = 0

    async def play(self) -> Result:
        """Play to the end and say how it was. Never raises for what goes wrong in the story; it is in the result."""
        started = time.perf_counter()
        self._audience.begin(self)
        with self._connected(), _policy_file(self.scenario.policy) as policy_file:
            settings = self._settings(policy_file)
            self._begin(policy_file)
            result = None
            while result is None:
                try:
                    async with self._running_host(settings) as host:
                        ended = await host.run_until(lambda: self._over, limit=self._latest_end)
                        self.estate.now()
                        result = self._result(host, time.perf_counter() - started, ended=ended)
                except HostCrashed:
                    self.crashes += 1
        self._audience.end(result)
        return result

    @asynccontextmanager
    async def opened(self, **settings: str) -> AsyncIterator[Host]:
        """The app on its host, for visitors: time moves in `host.run_until` only. `settings` go over the run's own."""
        with self._connected(), _policy_file(self.scenario.policy) as policy_file:
            self._begin(policy_file)
            async with self._running_host(self._settings(policy_file) | settings) as host:
                yield host

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """The app's adapters talk to this simulated Azure, through the real SDK clients and without a socket."""
        transport = transport_to(self.arm, tables=self.tables, receivers=self._receivers.values())
        connect.use(connect.Connection(MANAGEMENT, AnyoneCredential(), transport))
        try:
            yield
        finally:
            connect.use(None)

    def _settings(self, policy_file: Path) -> dict[str, str]:
        return {
            "GOLDROLL_POLICY": str(policy_file),
            "GOLDROLL_RECORD": self._record,
            **{setting: receiver.address for setting, receiver in self._receivers.items()},
            "GOLDROLL_SWEEP_SCHEDULE": self.scenario.sweep,
            "GOLDROLL_RETIREMENT_SCHEDULE": self.scenario.retirement,
            "WEBSITE_AUTH_ENABLED": "True",
        }

    def _begin(self, policy_file: Path) -> None:
        self._deliver_events()
        self._deliver_answers()
        self._edit_policy(policy_file)
        self.clock.call_at(self.clock.now(), self._tick)

    @property
    def _latest_end(self) -> datetime:
        return self.scenario.begins + self.scenario.lasts_at_most

    @asynccontextmanager
    async def _running_host(self, settings: Mapping[str, str]) -> AsyncIterator[Host]:
        goldroll = logging.getLogger("goldroll")
        level = goldroll.level
        goldroll.setLevel(logging.INFO)
        host = Host(APP, self.clock, self._store, 0, settings=settings, faults=self._around_activity)
        host.subscribe(self._hear)
        try:
            async with host, aiohttp.ClientSession(host.base_url) as client:
                self._host, self._client = host, client
                self._has_moved = True  # a host that crashed may have committed an episode and told nobody
                yield host
        finally:
            goldroll.setLevel(level)

    def _around_activity(self, moment: Moment, call: ActivityCall) -> Fault | None:
        if moment == "before":
            self.watch.begins(call)
        return self._activity_faults(moment, call) if self._activity_faults else None

    def _hear(self, event: HostEvent) -> None:
        if isinstance(event, LogLine):
            self.story.hear(event)
            # The host, too, logs each function that failed; what the app thinks of it counts.
            if event.level in ("ERROR", "CRITICAL") and event.logger.startswith("goldroll"):
                self._errors.append(event.message.splitlines()[0])
        elif isinstance(event, EpisodeFinished):
            self._has_moved = True
        self.watch.hear(event)

    # ------------------------------------------------------------------------------------------------- passing the day

    def _tick(self) -> None:
        """Let Azure's own doings of the last minute happen, look around, and come back soon."""
        now, host = self.clock.now(), self._host
        self.clock.call_at(now + self.scenario.tick, self._tick)
        if host is None:
            return
        self.estate.now()
        if self._audience.looks:
            self._audience.look(look_at(self.stage, self.policy, host, now))
        script_is_over = self.stage.last_act is None or now > self.stage.last_act
        if script_is_over and self._has_moved:
            self._has_moved = False  # most minutes of a month pass without an episode, and reading rollouts costs
            rollouts = _image_rollouts(host)
            enough = len(rollouts) >= self.scenario.outcome.rollouts
            self._over = enough and all(instance.is_finished for instance in rollouts)

    def _deliver_events(self) -> None:
        """Let Event Grid post every event to the host's webhook until it is taken or given up, and send the last one
        again where the script says."""

        async def deliver() -> None:
            for delivery in self.event_grid.due(self.clock.now()):
                self.event_grid.answered(delivery, await self._answer_to(delivery), self.clock.now())
            plan()

        def plan() -> None:
            if (due := self.event_grid.next_due()) is not None:
                self.clock.call_at(due, deliver)

        def send(announcement: Announcement) -> None:
            self.event_grid.announce(announcement)
            plan()

        def announce(announcement: Announcement) -> None:
            self._announced.append(announcement)
            send(announcement)

        self.estate.galleries.on_announcement(announce)
        for moment in self.stage.repeated_events:
            self.clock.call_at(moment, lambda: send(self._announced[-1]))

    async def _answer_to(self, delivery: event_grid.Delivery) -> int:
        """The status that Event Grid gets for an event: the app's, or what the script says instead; 0 for none."""
        now = self.clock.now()
        for outage in self.stage.event_outages:
            if outage.begins <= now < outage.ends:
                return outage.status
        if self._client is None:
            return 0
        path = "/runtime/webhooks/eventgrid?functionName=image_published"
        async with self._client.post(path, json=delivery.body, headers=delivery.headers) as answer:
            if answer.status >= 300:
                self._errors.append(f"the app answered {answer.status} to an Event Grid event")
            return answer.status

    def _deliver_answers(self) -> None:
        """Send people's answers to the app as they would: over HTTP, signed in through App Service."""

        async def post(given: Answer) -> None:
            if self._client is None:
                return
            named = {"ring": given.ring, "pool": given.pool, "host": given.host}
            body = {"reason": given.reason} | {key: name for key, name in named.items() if name}
            path = f"/api/rollouts/{image_instance(given.version_id)}/{given.decision}"
            async with self._client.post(path, json=body, headers=_signed_in(given.by, given.roles)) as answer:
                if answer.status >= 300:
                    problem = json.loads(await answer.read())
                    refused = f"{given.by} wants to {given.decision}, and the app answers {answer.status}"
                    self.story.add(self.clock.now(), IMAGE, f"{refused}: {problem['detail']}")

        for answered in self.stage.answers:
            self.clock.call_at(answered.at, partial(post, answered))

    def _edit_policy(self, policy_file: Path) -> None:
        """Let the policy file be edited, or deleted, as the script says."""

        def write(text: str | None) -> None:
            if text is None:
                policy_file.unlink()
            else:
                policy_file.write_text(text, encoding="utf-8")

        for moment, text in self.stage.policy_edits:
            self.clock.call_at(moment, partial(write, text))

    # --------------------------------------------------------------------------------------------------- how it ended

    def _result(self, host: Host, seconds: float, *, ended: bool) -> Result:
        rollouts = tuple(_rollout_end(instance) for instance in _image_rollouts(host))
        statuses = _pool_statuses(host)
        target = self.stage.published[-1] if self.stage.published else ""
        result = Result(
            scenario=self.scenario.name,
            seed=self.seed,
            rollouts=rollouts,
            pools=tuple(
                pool_end(name, office, self._hosts_before[name], target, statuses.get(name, {}))
                for name, office in self.stage.offices.items()
            ),
            ledger=self.estate.ledger.as_dict(),
            people=len(self.estate.people.all()),
            arm_calls=self.arm.calls.total(),
            simulated=self.clock.now() - self.scenario.begins,
            real_seconds=seconds,
            story=tuple(self.story.lines),
            journal=tuple(self.estate.journal.entries),
            violations=tuple(self.watch.violations),
            last_version=self._version(target),
            host={
                "episodes": host.stats.episodes,
                "activities": host.stats.activities,
                "longest_history": host.stats.max_history,
                "replay_seconds": round(host.stats.replay_seconds, 2),
            },
            replicas=_replicas_of(self.estate, target),
        )
        return replace(result, problems=tuple(self._problems(result, ended=ended)))

    def _version(self, version_id: str) -> ImageVersion | None:
        definition = version_id.rpartition("/versions/")[0]
        return (
            self.estate.galleries.definition(definition).versions.get(short_version(version_id)) if definition else None
        )

    def _problems(self, result: Result, *, ended: bool) -> Iterator[str]:
        wanted = self.scenario.outcome
        if not ended:
            yield f"it has not ended after {self.scenario.lasts_at_most}"
        if result.phase != wanted.phase:
            yield f"the phase is {result.phase} instead of {wanted.phase}"
        for pool in result.pools:
            if pool.phase != wanted.pools.get(pool.name):
                yield f"pool {pool.name} is {pool.phase or 'untouched'} instead of {wanted.pools.get(pool.name)}"
            marked = [name for name in pool.tagged if name not in pool.quarantined]
            # Of a pool that somebody has deleted, the rollout can no longer tell which VMs were in it.
            if marked and not pool.is_deleted:
                yield f"still tagged by the rollout: {', '.join(marked)}"
        if len(result.rollouts) != wanted.rollouts:
            yield f"{len(result.rollouts)} rollouts were started instead of {wanted.rollouts}"
        yield from (f"rollout {one.instance} is {one.status}" for one in result.rollouts if one.status != "Completed")
        yield from (f"left without its VM: {orphan.name}" for orphan in self.estate.orphans())
        yield from (f"two VMs are named {name}" for name in self.estate.duplicates())
        yield from (f"the app logged an error: {error}" for error in self._errors)
        yield from (f"no role has {action}, needed at {scope}" for action, scope in self.access.denied)
        yield from (problem for check in wanted.checks if (problem := check(result)))


async def play(
    scenario: Scenario, seed: int = 1, *, audience: Audience | None = None, pause: Pause | None = None
) -> Result:
    """Play a scenario to its end."""
    return await Run(scenario, seed, audience=audience, pause=pause).play()


def _signed_in(name: str, roles: Sequence[str]) -> dict[str, str]:
    """The header by which App Service authentication tells an app who calls."""
    claims = [{"typ": "preferred_username", "val": name}, *({"typ": "roles", "val": role} for role in roles)]
    principal = json.dumps({"auth_typ": "aad", "claims": claims}).encode()
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(principal).decode()}


@contextmanager
def _policy_file(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="goldroll-") as folder:
        path = Path(folder) / "goldroll.yaml"
        path.write_text(text, encoding="utf-8")
        yield path


def _with_later_pools(policy: Policy, stage: Stage) -> Policy:
    """The policy with the pools that a later edit brings, so that they are watched as well."""
    pools = {pool.name: pool for pool in policy.host_pools}
    for _, text in stage.policy_edits:
        with suppress(PolicyError):
            pools = {pool.name: pool for pool in read_policy(text or "").host_pools} | pools
    return structs.replace(policy, host_pools=tuple(pools.values()))


def _image_rollouts(host: Host) -> list[Instance]:
    found = [*host.instances("image-"), *host.instances("back-")]
    return sorted((one for one in found if one.name in (ROLL_OUT_IMAGE, ROLL_BACK_IMAGE)), key=lambda one: one.created)


def _rollout_end(instance: Instance) -> RolloutEnd:
    shown = json.loads(instance.output) or {}
    shown = shown if isinstance(shown, dict) else {"message": str(shown)}
    return RolloutEnd(
        instance=instance.id,
        version=str(shown.get("version", "")),
        status=instance.status,
        phase=str(shown.get("phase", "")),
        message=str(shown.get("message", "")),
    )


def _replicas_of(estate: Estate, version_id: str) -> dict[str, int]:
    """How many replicas the version has in each region; none when it is gone."""
    try:
        version = estate.galleries.version(version_id)
    except (AzureError, ValueError):
        return {}
    return {region: replica.count for region, replica in version.replicas.items()}


def _pool_statuses(host: Host) -> dict[str, dict[str, Any]]:
    """Each pool's final status in the last rollout."""
    last = _image_rollouts(host)[-1:]
    output = json.loads(last[0].output) if last else None
    pools = output.get("pools", []) if isinstance(output, dict) else []
    return {pool["pool"]: pool for pool in pools}
