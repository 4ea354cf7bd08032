"""What a group of people does all day, as parameters, with presets for the usual kinds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pattern(StrEnum):
    """The shapes of a working day."""

    OFFICE = "office"
    NIGHT = "night"
    SHIFTS = "shifts"
    LONG = "long"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Workload:
    """Hours are local hours of the day in `zone`, spreads are standard deviations in hours, minutes are ranges.

    Of those who see a message a share of `reads` reads it. Of these, `obeys` sign out by themselves `obeys_after`
    minutes later (and come back after `back_after` minutes when they still have work to do: `comes_back`), `walks_away`
    only disconnect, and the rest keep working. `forgets` is the share that leaves for the day without signing out.
    """

    pattern: Pattern = Pattern.OFFICE
    zone: str = "UTC"
    arrives: float = 8.5
    arrives_spread: float = 0.5
    leaves: float = 17.0
    leaves_spread: float = 0.6
    lunch: float = 12.25
    lunch_spread: float = 0.3
    lunch_minutes: tuple[float, float] = (25, 50)
    lunch_disconnects: float = 0.6
    attendance: float = 0.92
    weekend_attendance: float = 0.03
    forgets: float = 0.12
    reads: float = 0.85
    reads_within: tuple[float, float] = (0, 4)
    obeys: float = 0.5
    obeys_after: tuple[float, float] = (2, 20)
    walks_away: float = 0.08
    comes_back: float = 0.9
    back_after: tuple[float, float] = (1, 8)
    returns_after_force: tuple[float, float] = (2, 7)
    retries_after: tuple[float, float] = (2, 6)
    session_minutes: tuple[float, float] = (60, 180)
    pause_minutes: tuple[float, float] = (20, 90)


OFFICE = Workload()
NIGHT = Workload(pattern=Pattern.NIGHT, arrives=22.0, leaves=30.0, lunch=26.0)
SHIFTS = Workload(
    pattern=Pattern.SHIFTS, arrives_spread=0.1, leaves_spread=0.1, weekend_attendance=0.92, lunch_disconnects=0.3
)
LONG_SESSIONS = Workload(pattern=Pattern.LONG, arrives=8.0, leaves=18.5, weekend_attendance=0.5, obeys=0.3, forgets=1.0)
CONSTANT = Workload(pattern=Pattern.CONSTANT, attendance=1.0)
STUBBORN = Workload(pattern=Pattern.CONSTANT, attendance=1.0, reads=0.0, session_minutes=(100_000, 200_000))

PRESETS = {
    "office": OFFICE,
    "night": NIGHT,
    "shifts": SHIFTS,
    "long_sessions": LONG_SESSIONS,
    "constant": CONSTANT,
    "stubborn": STUBBORN,
}
"""The presets by name."""
