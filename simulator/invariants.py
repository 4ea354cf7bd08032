"""What must hold in every rollout, whatever happens: checkers that watch a run from outside.

Each checker is a class with one rule in its docstring, fed by the journal, by every decision and by the outcome of each
step; it recomputes what it checks from the estate or from what the decision was shown, never with the core's own
arithmetic. The codes (S1, L1, ...) are those of facts on rollout controllers: S safety, L liveness, D determinism.
To add one, write the class and add it to CHECKERS.
"""

from __future__ import annotations

from simulator.checks.capacity import (
    GivesBackWhenShort,
    NoMoreHostsThanAllowed,
    NoMoreUnavailableThanAllowed,
    ReserveKept,
    RoomForThoseSignedOut,
)
from simulator.checks.decisions import (
    CanaryFirst,
    FailureBudgetRespected,
    NobodyDisturbedWhilePaused,
    NothingStartsAfterHalt,
    NothingStartsOutsideWindows,
    OneChangePerHost,
    SameInputSameDecision,
    SaysWhyAndWhen,
    SkippedHostsLeftAlone,
)
from simulator.checks.endings import (
    DrainModesAsBefore,
    EveryHostIsCurrent,
    NobodyLeftOnTheRefusedVersion,
    NothingLeftBehind,
    NothingLeftMarked,
    PowerStatesAsBefore,
    ReachesAnEnd,
    SizeAsBefore,
    ZonesAsBefore,
)
from simulator.checks.people import (
    DisconnectedGraceKept,
    GraceKept,
    NobodyCutOff,
    NobodySignedOutTwice,
    SignedOutOnlyByPolicy,
)
from simulator.checks.scope import (
    DrainsOfOthersKept,
    NamesNeverReused,
    NeverBackwards,
    OnlyDecidedHosts,
    StaysInScope,
    TargetPinned,
)
from simulator.checks.watch import Checker, Turn, Violation, Watch

__all__ = ["CHECKERS", "Checker", "Turn", "Violation", "Watch"]

CHECKERS: tuple[type[Checker], ...] = (
    ReserveKept,
    RoomForThoseSignedOut,
    GivesBackWhenShort,
    NoMoreHostsThanAllowed,
    NoMoreUnavailableThanAllowed,
    GraceKept,
    DisconnectedGraceKept,
    SignedOutOnlyByPolicy,
    NobodyCutOff,
    NobodySignedOutTwice,
    CanaryFirst,
    NothingStartsOutsideWindows,
    NobodyDisturbedWhilePaused,
    SkippedHostsLeftAlone,
    NothingStartsAfterHalt,
    FailureBudgetRespected,
    OneChangePerHost,
    SameInputSameDecision,
    SaysWhyAndWhen,
    TargetPinned,
    NeverBackwards,
    NamesNeverReused,
    OnlyDecidedHosts,
    StaysInScope,
    DrainsOfOthersKept,
    EveryHostIsCurrent,
    NobodyLeftOnTheRefusedVersion,
    SizeAsBefore,
    ZonesAsBefore,
    PowerStatesAsBefore,
    DrainModesAsBefore,
    NothingLeftMarked,
    NothingLeftBehind,
    ReachesAnEnd,
)
