"""What must hold at the end of a scenario: each check returns what is wrong in one sentence, or "" when all is well."""

from __future__ import annotations

from collections.abc import Callable

from demo.result import Result
from simulator.journal import Kind

ROLLOUT = "rollout"
"""Who the journal says has done what the app asked of Azure."""


def hosts_are_current(expected: int) -> Callable[[Result], str]:
    """So many hosts run the version published last."""

    def check(result: Result) -> str:
        return "" if result.current == expected else f"{result.current} hosts are current instead of {expected}"

    return check


def hosts_are_quarantined(expected: int) -> Callable[[Result], str]:
    """So many hosts are kept for investigation, in drain mode."""

    def check(result: Result) -> str:
        kept = [name for pool in result.pools for name in pool.quarantined]
        accepting = [name for pool in result.pools for name in pool.quarantined if name not in pool.drained]
        if accepting:
            return f"quarantined but accepting people: {', '.join(accepting)}"
        return "" if len(kept) == expected else f"{len(kept)} hosts are quarantined instead of {expected}"

    return check


def story_tells(words: str) -> Callable[[Result], str]:
    """Some line of the story has these words."""

    def check(result: Result) -> str:
        return "" if any(words in line.sentence for line in result.story) else f"the story never says {words!r}"

    return check


def pool_keeps_its_size(result: Result) -> str:
    """Each pool has as many hosts as before."""
    changed = [f"{pool.name} had {pool.hosts_before} and has {pool.hosts}" for pool in result.pools]
    return "; ".join(text for text, pool in zip(changed, result.pools, strict=True) if pool.hosts != pool.hosts_before)


def made_at_once(*, at_least: int = 0, at_most: int = 10_000) -> Callable[[Result], str]:
    """So many VMs were being made at the same time, at the busiest moment."""

    def check(result: Result) -> str:
        making, most = set[str](), 0
        for entry in result.journal:
            if entry.kind is Kind.MACHINE_REQUESTED:
                making.add(entry.subject)
            elif entry.kind in (Kind.MACHINE_CREATED, Kind.MACHINE_FAILED, Kind.MACHINE_DELETING):
                making.discard(entry.subject)
            most = max(most, len(making))
        return "" if at_least <= most <= at_most else f"{most} VMs were made at once"

    return check


def replicas_were_enough(result: Result) -> str:
    """No VM was made more slowly because the image had too few replicas."""
    crowded = sum(entry.kind is Kind.REPLICAS_CROWDED for entry in result.journal)
    return f"{crowded} VMs were made more slowly for want of replicas" if crowded else ""


def replicas_are(expected: int) -> Callable[[Result], str]:
    """The version published last has so many replicas in each of its regions."""

    def check(result: Result) -> str:
        wrong = {region: count for region, count in result.replicas.items() if count != expected}
        return f"the replicas are {wrong} instead of {expected}" if wrong or not result.replicas else ""

    return check


def nobody_was_signed_out(result: Result) -> str:
    """Nobody was forced out of an active session."""
    forced = result.ledger["forced_sign_outs"]
    return f"{forced} people were signed out" if forced else ""


everybody_left_by_themselves = nobody_was_signed_out


def some_were_signed_out(result: Result) -> str:
    """Some people were forced out of an active session."""
    return "" if result.ledger["forced_sign_outs"] else "nobody was signed out"


def only_the_canary_was_touched(result: Result) -> str:
    """The rollout has created one VM and changed nothing of any other."""
    created = {entry.subject for entry in result.journal if _is_ours(entry.kind, entry.by, Kind.MACHINE_REQUESTED)}
    touched = {
        entry.subject.rsplit("/", 1)[-1]
        for entry in result.journal
        if _is_ours(entry.kind, entry.by, *_CHANGES) and not entry.subject.startswith(tuple(created))
    } - {machine.rsplit("/", 1)[-1] for machine in created}
    if len(created) != 1:
        return f"{len(created)} VMs were created instead of the canary alone"
    return f"touched besides the canary: {', '.join(sorted(touched))}" if touched else ""


_CHANGES = (
    Kind.MACHINE_TAGGED,
    Kind.MACHINE_DELETING,
    Kind.MACHINE_STOPPING,
    Kind.EXTENSION_REQUESTED,
    Kind.HOST_DRAINED,
    Kind.HOST_UNDRAINED,
    Kind.HOST_REMOVED,
    Kind.FORCED_OUT,
    Kind.DISCONNECTED_OUT,
    Kind.MESSAGE_SENT,
)


def _is_ours(kind: Kind, by: str, *kinds: Kind) -> bool:
    return by == ROLLOUT and kind in kinds
