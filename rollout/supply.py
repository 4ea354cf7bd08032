"""What a rollout does about replicas, as a memory and pure functions: raise them before pools start, put them back.

The orchestration carries out one ReplicaOrder at a time and records what became of it. See replicas.py for the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct, structs

from rollout.assignments import ReplicaOrder
from rollout.model import ImageVersion, count_of
from rollout.policy import PoolPolicy, ReplicationPolicy
from rollout.replicas import Footprint, RegionSupply, after, largest_wave, limited, raised, shortages, supply
from rollout.steps import StepError

PUT_BACK_ATTEMPTS = 5
PUT_BACK_PAUSE = timedelta(minutes=2)
"""Azure refuses a change of a version while it is at work on another one."""


class SupplyState(Struct, frozen=True, omit_defaults=True):
    """What a rollout remembers of replicas.

    `before` is what the regions had that it has raised, `asked` what it has raised them to. `refused` are regions where
    it may not, or where somebody else has changed them. `supplies` are the replicas as its pools find them. `attempts`
    counts failed attempts to put back; the next one is due at `retry_at`. `told` is what has been said.
    """

    before: dict[str, int] = {}
    asked: dict[str, int] = {}
    refused: tuple[str, ...] = ()
    supplies: tuple[RegionSupply, ...] = ()
    attempts: int = 0
    retry_at: datetime | None = None
    told: tuple[str, ...] = ()


class SupplyTurn(Struct, frozen=True):
    """What to remember, what to tell, and the change to ask Azure for now; None when there is none to ask for (yet)."""

    state: SupplyState
    order: ReplicaOrder | None = None
    story: tuple[str, ...] = ()


def prepare(
    state: SupplyState,
    version: ImageVersion,
    together: Iterable[Footprint],
    policy: ReplicationPolicy,
    pools_at_once: int | None = None,
) -> SupplyTurn:
    """See to it that the replicas carry the largest wave of these pools, so many of which may run at the same time.

    An order comes while replicas may be raised; record its outcome and ask again until there is none. What is short
    then is told, and `policy_of` makes fewer VMs at once. May be asked again when more pools are known: replicas are
    only ever raised further.
    """
    seen = supply(version, largest_wave(together, pools_at_once), policy.vms_per_replica)
    # The version may have been read before the last order was carried out.
    supplies = after(seen, {region: max(count, _of(seen, region)) for region, count in state.asked.items()})
    wanted = raised(version, supplies) if policy.raise_replicas else {}
    wanted = {region: count for region, count in wanted.items() if region not in state.refused}
    if wanted:
        have = {one.region: one.replicas for one in supplies}
        only_if = {region: have[region] for region in wanted}
        return SupplyTurn(structs.replace(state, supplies=supplies), ReplicaOrder(version.id, wanted, only_if))
    short = tuple(
        f"{shortage}; so fewer are made at once" for shortage in shortages(version, supplies, policy.vms_per_replica)
    )
    story = tuple(sentence for sentence in short if sentence not in state.told)
    return SupplyTurn(structs.replace(state, supplies=supplies, told=(*state.told, *story)), None, story)


def record_raise(state: SupplyState, order: ReplicaOrder, outcome: dict[str, int] | StepError) -> SupplyTurn:
    """What became of an order of `prepare`: what each changed region had before, or why nothing was changed."""
    if isinstance(outcome, StepError):
        refused = (*state.refused, *order.replicas)
        return SupplyTurn(
            structs.replace(state, refused=refused), None, (f"the replicas cannot be raised: {outcome.message}",)
        )
    vms = {one.region: one.vms for one in state.supplies}
    story = tuple(
        f"{region} gets {count_of(order.replicas[region], 'replica')} instead of {count}, because "
        f"{vms.get(region, 0)} VMs may be made at once"
        for region, count in outcome.items()
    )
    return SupplyTurn(
        structs.replace(
            state,
            before={**outcome, **state.before},
            asked={**state.asked, **{region: order.replicas[region] for region in outcome}},
            refused=(*state.refused, *(region for region in order.replicas if region not in outcome)),
        ),
        None,
        story,
    )


def put_back(state: SupplyState, version_id: str, now: datetime) -> SupplyTurn:
    """Give back what was raised, where nobody else has changed it since. Without an order and with `retry_at` set,
    ask again then; without either all is done."""
    if not state.before or (state.retry_at is not None and now < state.retry_at):
        return SupplyTurn(state)
    return SupplyTurn(state, ReplicaOrder(version_id, state.before, state.asked))


def record_put_back(state: SupplyState, outcome: dict[str, int] | StepError, now: datetime) -> SupplyTurn:
    """What became of an order of `put_back`. Azure's refusals are tried again a few times, then the rest stays."""
    if not isinstance(outcome, StepError):
        story = tuple(
            f"{region} has {count_of(count, 'replica')} again"
            if region in outcome
            else f"somebody has changed the replicas in {region}: they stay as they are"
            for region, count in state.before.items()
        )
        return SupplyTurn(structs.replace(state, before={}, asked={}, retry_at=None), None, story)
    attempts = state.attempts + 1
    if outcome.retriable and attempts < PUT_BACK_ATTEMPTS:
        pause = max(PUT_BACK_PAUSE, timedelta(seconds=outcome.retry_after))
        return SupplyTurn(structs.replace(state, attempts=attempts, retry_at=now + pause))
    regions = ", ".join(state.before)
    sentence = f"the replicas in {regions} stay raised, Azure does not put them back: {outcome.message}"
    return SupplyTurn(structs.replace(state, before={}, retry_at=None), None, (sentence,))


def policy_of(state: SupplyState, footprint: Footprint, policy: ReplicationPolicy) -> PoolPolicy:
    """The pool's policy, with fewer VMs at once where the replicas of its regions carry no more."""
    return limited(footprint, state.supplies, policy.vms_per_replica)


def _of(supplies: Iterable[RegionSupply], region: str) -> int:
    return next((one.replicas for one in supplies if one.region == region), 0)
