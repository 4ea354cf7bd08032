"""The steps by which a test makes a new session host, as a rollout would ask for them."""

from __future__ import annotations

from datetime import datetime, timedelta

from simulator.builders import MONDAY_MORNING, Office, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.extensions import agent, entra_join
from simulator.operations import Operation


def office(hosts: int = 3, seed: int = 1, start: datetime = MONDAY_MORNING, **options: object) -> Office:
    """An office on a clock of its own, without people unless `people` says otherwise."""
    options.setdefault("people", 0)
    return office_pool(Estate(SteppedClock(start), seed), hosts, **options)  # type: ignore[arg-type]


def clock_of(place: Office) -> SteppedClock:
    """The clock that the office lives by."""
    clock = place.estate.world._clock
    assert isinstance(clock, SteppedClock)
    return clock


def pass_time(place: Office, **spans: float) -> None:
    """Let so much time pass in the office."""
    clock_of(place).advance(timedelta(**spans))
    place.estate.now()


def create_machine(place: Office, name: str, version: str = "1.0.0", zone: str = "1") -> Operation:
    """Ask for a machine of this version and wait until Azure has made it or given up."""
    operation = place.estate.machines.put(
        place.machine_id(name), place.spec_for(name, version, zone), only_if_absent=True
    )
    pass_time(place, minutes=60)
    return operation


def install_agent(place: Office, name: str, token: str | None = None) -> Operation:
    """Install the Virtual Desktop agent with a fresh token (or the one given) and wait for the end of it."""
    if token is None:
        token = place.estate.pools.issue_token(place.pool_id, place.estate.now() + timedelta(hours=2))
    operation = place.estate.extensions.put(place.machine_id(name), "agent", agent(place.pool.name, token))
    pass_time(place, minutes=15)
    return operation


def join_entra(place: Office, name: str) -> Operation:
    """Join the machine to Entra ID and wait for the end of it."""
    operation = place.estate.extensions.put(place.machine_id(name), "join", entra_join())
    pass_time(place, minutes=5)
    return operation


def new_host(place: Office, name: str, version: str = "1.0.0") -> None:
    """A machine, joined and with its agent, and enough time for it to be in service if it ever will be."""
    create_machine(place, name, version)
    join_entra(place, name)
    install_agent(place, name)
    pass_time(place, minutes=20)
