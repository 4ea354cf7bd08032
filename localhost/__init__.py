"""A local Azure Functions host for the Python v2 model with Durable Functions, without the .NET runtime."""

from localhost.clock import Clock, RealClock, ScaledClock, VirtualClock, pace
from localhost.events import ActivityFinished, EpisodeFinished, FunctionFinished, InstanceFinished, LogLine
from localhost.faults import ActivityCall, CrashHost, DelayResult, DropResult, HostCrashed, Raise, RunTwice
from localhost.host import Host

__all__ = [
    "ActivityCall",
    "ActivityFinished",
    "Clock",
    "CrashHost",
    "DelayResult",
    "DropResult",
    "EpisodeFinished",
    "FunctionFinished",
    "Host",
    "HostCrashed",
    "InstanceFinished",
    "LogLine",
    "Raise",
    "RealClock",
    "RunTwice",
    "ScaledClock",
    "VirtualClock",
    "pace",
]
