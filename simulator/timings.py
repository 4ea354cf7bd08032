"""How long Azure takes for things, in seconds, as ranges that can be changed for a run."""

from __future__ import annotations

import random
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Timings:
    """Each field is a range (shortest, longest) in seconds; a duration is drawn evenly from it."""

    create_machine: Range = (90, 240)
    delete_machine: Range = (60, 180)
    start_machine: Range = (40, 90)
    stop_machine: Range = (40, 120)
    allocation_refusal: Range = (15, 60)
    join: Range = (60, 150)
    install_agent: Range = (180, 420)
    other_extension: Range = (20, 90)
    remove_extension: Range = (20, 60)
    run_command: Range = (10, 60)
    register: Range = (30, 90)
    agent_update: Range = (45, 180)
    agent_back_after_start: Range = (45, 120)
    notice_of_absence: Range = (60, 120)
    heartbeat_lost_after: Range = (1500, 2100)
    replicate: Range = (900, 2700)
    delete_version: Range = (30, 120)
    announce: Range = (5, 40)


def draw(rng: random.Random, span: Range, factor: float = 1.0) -> float:
    """A duration in seconds from `span`, multiplied by `factor`."""
    low, high = span
    return (low + (high - low) * rng.random()) * factor
